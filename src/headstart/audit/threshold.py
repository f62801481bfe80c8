"""From which score on two images are called near duplicates, calibrated on pairs that are known to be different.

On the Fisher scale (the inverse hyperbolic tangent) scores of different images thin out exponentially. The tail
is fitted to pairs of different classes, at its upper tenth but by its median, so that the few among them that
are true copies with contradicting labels do not count. The threshold rises where look-alikes abound (digits,
scans); it never falls below the figure found on photographs.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

FEWEST = 200  # pairs of different classes; of fewer, no tail is fitted
_TAIL = 0.9  # quantile above which the tail is fitted
_PAIRS = 0.5  # pairs of different classes that may be expected above the threshold …
_SHARE = 0.0005  # … or this share of all that is reported, if that is more
_HIGHEST = 0.995


def least_score(scores: Floats, different: npt.NDArray[np.bool_], floor: float) -> float:
    """Return the threshold, `floor` or higher.

    Args:
        scores: [m], of all pairs that were compared in detail.
        different: [m], the pair's images are of different classes.
        floor: where there are too few pairs of different classes, and the least of all.
    """
    if int(different.sum()) < FEWEST:
        return floor
    tail = _Tail(scores[different])
    reported = np.sort(scores[scores >= floor])
    for count, score in zip(range(len(reported), 0, -1), reported.tolist(), strict=True):
        bearable = max(_PAIRS, _SHARE * count)
        if score >= tail.score(bearable):
            return max(floor, tail.score(bearable))
    return max(floor, tail.score(_PAIRS))


class _Tail:
    """The exponential upper tail of scores on the Fisher scale."""

    def __init__(self, scores: Floats) -> None:
        values = _fisher(scores)
        self.start = float(np.quantile(values, _TAIL))
        above = values[values > self.start] - self.start
        self.count = len(above)
        self.rate = math.log(2) / max(float(np.median(above)), 1e-9) if len(above) else math.inf

    def score(self, pairs: float) -> float:
        """Return the score above which this many pairs are expected."""
        beyond = math.log(self.count / pairs) / self.rate if self.count > pairs else 0.0
        return min(math.tanh(self.start + beyond), _HIGHEST)


def _fisher(scores: Floats) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = np.arctanh(np.clip(scores.astype(np.float64), -0.9999, 0.9999))
    return values
