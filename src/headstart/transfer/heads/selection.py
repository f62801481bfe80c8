"""Choosing among configurations on validation rows: scores, the best so far, the scale of the logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from headstart.evaluate.metrics.scoring import merit, score_of
from headstart.models.heads import class_probabilities
from headstart.transfer.heads.feature_rows import wide

T = TypeVar("T")
Rank = tuple[float, float, tuple[float, ...]]

ACCURACY = "accuracy"
MEASURED = (ACCURACY, "log_loss")  # what every score holds


@dataclass(frozen=True)
class Score:
    """How well logits fit labels.

    Args:
        accuracy: share of rows right; with several labels a row, share of (row, class) pairs right.
        log_loss: mean negative log-likelihood (nats), a row; with several labels, per (row, class).
        value: by the metric that chooses, where that is neither of these.
    """

    accuracy: float
    log_loss: float
    value: float | None = None


def score(logits: Float[Tensor, "n c"], labels: Tensor, metric: str = ACCURACY) -> Score:
    """Return the score of logits against labels int64 [n] or bool [n, C].

    Raises:
        SpecError: unknown metric.
        DataError: the metric is not defined for these labels.
    """
    double = wide(logits.device)
    if labels.dim() == 2:
        right = ((logits > 0) == labels).to(double).mean()
        loss = functional.binary_cross_entropy_with_logits(logits.to(double), labels.to(double))
    else:
        right = (logits.argmax(1) == labels).to(double).mean()
        loss = functional.cross_entropy(logits, labels, reduction="none").to(double).mean()
    value = None if metric in MEASURED else _value(logits, labels, metric)
    return Score(float(right), float(loss), value)


def _value(logits: Tensor, labels: Tensor, metric: str) -> float:
    found = class_probabilities(logits.float(), multi_label=labels.dim() == 2)
    return score_of(found.cpu().numpy(), labels.cpu().numpy(), metric)


@dataclass
class Selection(Generic[T]):
    """The configurations tried, and the best of them.

    The metric decides; of equals the lower log loss, then the simpler configuration, then the one tried first. With
    several labels a row the log loss decides in place of the accuracy, which hardly differs between configurations.
    What has no finite log loss comes last.

    Args:
        multi_label: whether rows have several labels.
        metric: a name in METRICS.
        tried: settings and measurements of every configuration.
        chosen: the settings of the best.
        best: its entry among those tried.
    """

    multi_label: bool = False
    metric: str = ACCURACY
    tried: list[dict[str, Any]] = field(default_factory=list)
    chosen: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    _rank: Rank | None = None
    _value: T | None = None

    def offer(
        self,
        settings: dict[str, Any],
        result: Score | None,
        make: Callable[[], T],
        *,
        simplicity: tuple[float, ...] = (),
        also: dict[str, Any] | None = None,
        keep: dict[str, Any] | None = None,
    ) -> None:
        """Note one configuration; `make` is called only if it is the best so far.

        Args:
            settings: what was tried.
            result: its score on validation rows, or None where there are none.
            make: gives what to keep of the best.
            simplicity: larger for what is regularised more; compared among equals.
            also: measurements to note beside the settings (iterations, convergence).
            keep: settings found on the way that a refit needs (epochs, temperature); noted too.
        """
        entry = {**settings, **(keep or {}), **(also or {})}
        entry["validation_accuracy"] = None if result is None else result.accuracy
        entry["validation_log_loss"] = None if result is None else result.log_loss
        if result is not None and result.value is not None:
            entry[f"validation_{self.metric}"] = result.value
        self.tried.append(entry)
        rank = self._ranked(result, simplicity)
        if self._rank is None or rank > self._rank:
            self._rank, self._value = rank, make()
            self.chosen, self.best = {**settings, **(keep or {})}, entry

    @property
    def value(self) -> T:
        """What was kept of the best configuration."""
        assert self._rank is not None, "nothing was offered"
        value: T = self._value  # type: ignore[assignment]
        return value

    def _ranked(self, result: Score | None, simplicity: tuple[float, ...]) -> Rank:
        if result is None or not math.isfinite(result.log_loss):
            return (-math.inf, -math.inf, ())
        if self.metric == "log_loss" or (self.metric == ACCURACY and self.multi_label):
            return (0.0, -result.log_loss, simplicity)
        merits = result.accuracy if self.metric == ACCURACY else merit(result.value, self.metric)
        return (merits, -result.log_loss, simplicity)


def best_scale(
    logits: Float[Tensor, "n c"], labels: Tensor, *, start: float = 1.0, steps: int = 30, tolerance: float = 1e-4
) -> float:
    """Return the factor on the logits with the least log loss, by safeguarded Newton steps (it is convex).

    Targets are drawn from 1 towards chance by 1 / (n + 2) (Platt 1999), so that logits that are always
    right keep a finite scale.

    Args:
        logits: [n, C].
        labels: int64 [n] or bool [n, C].
        start: the first guess.
        steps: the maximum number.
        tolerance: relative change at which to stop.
    """
    scale, ceiling, double = start, 1e6, wide(logits.device)
    doubt = 1 / (len(labels) + 2)
    target = labels.to(logits.dtype) * (1 - doubt) + doubt / 2 if labels.dim() == 2 else None
    if target is None:
        aim = (1 - doubt) * logits.gather(1, labels[:, None])[:, 0] + doubt * logits.mean(1)
    for _ in range(steps):
        if target is not None:
            p = torch.sigmoid(scale * logits)
            slope = ((p - target) * logits).to(double).mean()
            bend = (p * (1 - p) * logits.square()).to(double).mean()
        else:
            p = torch.softmax(scale * logits, 1)
            mean = (p * logits).sum(1)
            slope = (mean - aim).to(double).mean()
            bend = ((p * logits.square()).sum(1) - mean.square()).to(double).mean()
        step = float(slope) / max(float(bend), 1e-12)
        proposal = min(max(scale - step, scale / 4), scale * 4, ceiling)
        if abs(proposal - scale) <= tolerance * scale:
            return proposal
        scale = proposal
    return scale
