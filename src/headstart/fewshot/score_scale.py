"""Scores of any metric as shares of 1, where more is better, and back: the scale that a power law is fitted on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from headstart.errors import choose
from headstart.evaluate.metrics.scoring import METRICS

_ROOM = 1.5  # a loss without a greatest value is measured in so many times the largest that was observed
_POINTS = (0.0, 1.0)  # bounds of what is read in per cent


@dataclass(frozen=True)
class ScoreScale:
    """How the scores of a metric become shares.

    Args:
        metric: its name.
        worst, best: the scores that become 0 and 1.
    """

    metric: str
    worst: float
    best: float

    @property
    def percent(self) -> bool:
        """Return whether scores are read in per cent."""
        return (self.worst, self.best) == _POINTS

    def share(self, score: float) -> float:
        """Return a score as a share of 1, more being better."""
        return (score - self.worst) / (self.best - self.worst)

    def score(self, share: float) -> float:
        """Return the score that a share is."""
        return self.worst + share * (self.best - self.worst)

    def interval(self, low: float, high: float) -> tuple[float, float]:
        """Return the scores between two shares, the smaller first."""
        ends = self.score(low), self.score(high)
        return min(ends), max(ends)

    def gain(self, share: float) -> float:
        """Return a difference of shares in the unit of the metric; more is better."""
        return share * abs(self.best - self.worst)


def scale_of(metric: str, scores: Iterable[float]) -> ScoreScale:
    """Return the scale of a metric; of one without a greatest value, by the largest of these scores.

    Raises:
        SpecError: an unknown metric, with the nearest name.
    """
    known = choose("metric", metric, METRICS)
    low, high = known.bounds
    if not math.isfinite(high):
        high = _ROOM * max(max(scores, default=0.0), 1e-6)
    return ScoreScale(metric, low, high) if known.higher_is_better else ScoreScale(metric, high, low)
