"""The wider intervals of a board, which also count other training images of the same kind."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.errors import StoreError
from headstart.evaluate.comparison.sources import Bounds
from headstart.evaluate.comparison.training_images import FEWEST_SAMPLES, over_splits, with_training_images
from headstart.report.read.board_scores import BoardScores
from headstart.study.results.facts import read_facts

INDEX, ARRAYS = "training_images.json", "training_images.npz"
Table = npt.NDArray[Any]  # [samples, n]: one number an image and sample, in order of the rows


@dataclass(frozen=True)
class Resampled:
    """What heads scored that were fitted on bootstrap samples of the training images.

    Args:
        samples: how many.
        metric: of which the scores are.
        tables: run → test rows and scores.
        corrections: run → factor of the variance over samples.
        left_out: run → why it has none.
    """

    samples: int
    metric: str
    tables: Mapping[str, tuple[npt.NDArray[np.int64], Table]]
    corrections: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


def read_resampled(root: Path) -> Resampled | None:
    """Read training_images.json and .npz of a study folder; None where the study did not ask for them.

    Raises:
        StoreError: one of them is missing, damaged, or not what was written.
    """
    if not (root / INDEX).is_file():
        return None
    facts = read_facts(root / INDEX)
    try:
        with np.load(root / ARRAYS) as arrays:
            tables = {run: (arrays[f"rows{k}"], arrays[f"scores{k}"]) for k, run in enumerate(facts["runs"])}
        corrections = dict(zip(facts["runs"], facts["corrections"], strict=True))
        return Resampled(int(facts["samples"]), str(facts["metric"]), tables, corrections, facts["left_out"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        remedy = f"delete {INDEX} and run the study again"
        raise StoreError(f"{root / ARRAYS}: does not fit {INDEX}, or is damaged ({error}); {remedy}") from error


class WiderIntervals:
    """Intervals of one board that also hold for other training images, from samples of them or from folds.

    Args:
        found: the scores of the board.
        rows: the test images, in order, where every seed has the same.
        resampled: of the study, or None.
        folds: of cross-validation, or None.
        bounds: of a mean score, or None.
    """

    def __init__(
        self,
        found: BoardScores,
        rows: npt.NDArray[np.int64] | None,
        resampled: Resampled | None,
        folds: int | None,
        bounds: Bounds | None,
    ) -> None:
        self.found, self.folds, self.bounds = found, folds, bounds
        self.tables: dict[str, Table] = {}
        self.samples = 0
        self.left_out: Mapping[str, str] = {}
        self.corrections: Mapping[str, float] = {}
        if folds is not None and found.fold is not None:
            self.samples = found.fold.shape[0] * folds
            self.tables = {run: _fold_means(scores, found.fold) for run, scores in found.scores.items()}
        elif resampled is not None and rows is not None and resampled.metric == found.metric:
            self.samples, self.left_out = resampled.samples, resampled.left_out
            self.corrections = resampled.corrections
            self.tables = {run: table for run in found.scores if (table := _aligned(resampled, run, rows)) is not None}

    @property
    def facts(self) -> dict[str, Any] | None:
        """How the intervals were made: "by" ("bootstrap" or "folds"), "samples" and "left_out"; None without any."""
        if not self.tables or self.samples < FEWEST_SAMPLES:
            return None
        known = {run: why for run, why in self.left_out.items() if run in self.found.scores}
        return {"by": "bootstrap" if self.folds is None else "folds", "samples": self.samples, "left_out": known}

    def of_run(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the wider interval of a row of the ranking, never narrower than its own."""
        correction = self.corrections.get(row["run"], 1.0)
        return self._wider(row, self.tables.get(row["run"]), row["mean"], self.bounds, correction)

    def of_pair(self, pair: Mapping[str, Any]) -> dict[str, Any]:
        """Return the wider interval of a difference: both runs learned from the same samples, or in the same folds."""
        a, b = self.tables.get(pair["a"]), self.tables.get(pair["b"])
        width = None if self.bounds is None else self.bounds[1] - self.bounds[0]
        table = None if a is None or b is None else a.astype(np.float64) - b
        if self.folds is not None and table is not None and np.ptp(table) == 0:
            return {"wider_low": pair["low"], "wider_high": pair["high"]}  # no fold says anything about others
        correction = max(self.corrections.get(pair[side], 1.0) for side in ("a", "b"))
        return self._wider(pair, table, pair["difference"], None if width is None else (-width, width), correction)

    def _wider(
        self, row: Mapping[str, Any], table: Table | None, mean: float, bounds: Bounds | None, correction: float
    ) -> dict[str, Any]:
        if table is None or self.samples < FEWEST_SAMPLES:
            return {"wider_low": None, "wider_high": None}
        if self.folds is None:
            found = with_training_images(mean, table, bounds, correction=correction)
        else:
            images = next(iter(self.found.scores.values())).shape[1]
            level = table + (mean - table.mean())  # folds differ in size, and each image counts alike
            found = over_splits(level.tolist(), 1 / (self.folds - 1), bounds, images=images)
        assert found["low"] is not None
        assert found["high"] is not None
        return {"wider_low": min(row["low"], found["low"]), "wider_high": max(row["high"], found["high"])}


def _aligned(resampled: Resampled, run: str, rows: npt.NDArray[np.int64]) -> Table | None:
    """Return the scores of a run in order of the rows; None where it has none, or for other test images."""
    if run not in resampled.tables:
        return None
    own, table = resampled.tables[run]
    order = np.argsort(own, kind="stable")
    return table[:, order] if np.array_equal(own[order], rows) else None


def _fold_means(scores: Table, fold: npt.NDArray[np.int64]) -> Table:
    """Return the mean score of every fold of every repeat.

    Where the metric is no mean over images, it is that of the fold's contributions to the score of the whole repeat, as
    in the ranking: alone, a fold that lacks a rare class would be judged by the others only.
    """
    means: Sequence[float] = [
        float(row[part == number].mean())
        for row, part in zip(scores.astype(np.float64), fold, strict=True)
        for number in range(int(fold.max()) + 1)
    ]
    return np.array(means)
