"""What a training has measured so far: sums of an epoch, a row for each epoch, and which epoch was best."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

Row = dict[str, float | int | None]
Score = tuple[float, float]  # the monitored measure and the other one; higher is better


@dataclass
class Tally:
    """Sums over the samples of an epoch."""

    loss: float = 0.0
    correct: float = 0.0
    count: int = 0

    def add(self, loss: float, correct: float, count: int) -> None:
        """Add the sums of a batch."""
        self.loss, self.correct, self.count = self.loss + loss, self.correct + correct, self.count + count

    def means(self) -> tuple[float | None, float | None]:
        """Return the mean loss and the accuracy, or None for both if nothing was counted."""
        return (self.loss / self.count, self.correct / self.count) if self.count else (None, None)


class Stopwatch:
    """Seconds of the current epoch, including those before an interruption."""

    def __init__(self) -> None:
        self._began, self._earlier = time.perf_counter(), 0.0

    def restart(self, earlier: float = 0.0) -> None:
        """Start again, with `earlier` seconds already spent."""
        self._began, self._earlier = time.perf_counter(), earlier

    def resume(self) -> None:
        """Count from now on, in addition to the seconds already spent."""
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._earlier + time.perf_counter() - self._began


class History:
    """The rows of the epochs so far and the best epoch on validation.

    Epoch 0 is the network before its first step. It is a candidate like every other epoch, so that no training
    returns a network that is worse on validation than the one it started from.

    Args:
        monitor: "validation_score", "validation_accuracy" or "validation_loss"; a tie is decided by the loss, or by the
            accuracy where the loss is monitored. The score is the accuracy where no other merit is given.
        patience: epochs without improvement before the training stops; None never stops.
    """

    def __init__(self, monitor: str, patience: int | None) -> None:
        self.monitor, self.patience = monitor, patience
        self.rows: list[Row] = []
        self.start: Row | None = None
        self.best: tuple[Score, int] | None = None
        self.improved = False  # by the latest epoch
        self.stopped = False

    def begin(self, loss: float | None, accuracy: float | None, merit: float | None = None) -> None:
        """Take in what the starting network scores on validation, `merit` by the study's metric."""
        self.start = {"validation_loss": loss, "validation_accuracy": accuracy}
        self._judge(0, loss, accuracy, merit)

    def add(self, row: Row, merit: float | None = None) -> None:
        """Append the row of an epoch and judge it, by its merit where the score is monitored."""
        self.rows.append(row)
        epoch = int(row["epoch"] or 0)
        self._judge(epoch, row["validation_loss"], row["validation_accuracy"], merit)
        if self.patience is not None and self.best is not None and epoch - self.best[1] >= self.patience:
            self.stopped = True

    def _judge(self, epoch: int, loss: float | None, accuracy: float | None, merit: float | None) -> None:
        self.improved = False
        if loss is None or accuracy is None or not math.isfinite(loss):
            return
        own = accuracy if merit is None or self.monitor != "validation_score" else merit
        pair = (float(own), -float(loss))
        score = pair[::-1] if self.monitor == "validation_loss" else pair
        if self.best is None or score > self.best[0]:
            self.best, self.improved = (score, epoch), True

    def measures_of(self, epoch: int) -> tuple[float, float]:
        """Return validation accuracy and loss of an epoch; 0 is the start."""
        row = self.start if epoch == 0 else self.rows[epoch - 1]
        assert row is not None
        return float(row["validation_accuracy"] or 0.0), float(row["validation_loss"] or 0.0)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint stores."""
        best = [*self.best[0], self.best[1]] if self.best else None
        return {"rows": self.rows, "start": self.start, "best": best, "stopped": self.stopped}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what a checkpoint stored."""
        self.rows, self.start, self.stopped = list(state["rows"]), state["start"], bool(state["stopped"])
        best = state["best"]
        self.best = ((best[0], best[1]), best[2]) if best else None
