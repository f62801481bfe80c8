"""Accuracy against labels: a power law with its uncertainty, and what the next doubling is expected to bring.

The curves come from the posterior of `power_law`, which allows for a power law that is not exact: an interval that took
the law for granted would be too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from headstart.errors import DataError
from headstart.fewshot.power_law import draw_curves

DRAWS = 4000
_GRID = 40  # numbers of labels at which the curve is drawn
_LEAST_SIZES = 3  # a straight line in log-log through two sizes fits anything
_LEAST_SD = 2e-3  # of a mean accuracy: no finite test set knows it better
_MISFIT = 1e-3  # probability of so poor a fit, below which nothing is predicted


@dataclass(frozen=True)
class CurvePoint:
    """The accuracies at one number of labels.

    Args:
        labels: per class, or in all.
        mean, low, high: over seeds, with the 95 % interval, inside 0 to 1 (of one seed: low = high = mean).
        seeds: how many.
    """

    labels: float
    mean: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class LearningCurve:
    """A fitted learning curve.

    Args:
        points: what was measured.
        floor, scale, exponent: of error = floor + scale · labels^-exponent, medians; NaN where nothing was fitted.
        next_labels: twice the most labels measured.
        expected, expected_low, expected_high: accuracy there.
        gain, gain_low, gain_high: against the fitted accuracy at the most labels measured, as shares of 1; medians
            and 95 % intervals.
        grid: (labels, fitted accuracy, low, high) for drawing.
        certain: whether the data say anything about the next doubling.
        words: the answer in one sentence.
    """

    points: list[CurvePoint]
    floor: float
    scale: float
    exponent: float
    next_labels: float
    expected: float
    expected_low: float
    expected_high: float
    gain: float
    gain_low: float
    gain_high: float
    grid: list[tuple[float, float, float, float]]
    certain: bool
    words: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def learning_curve(
    accuracies: Mapping[int, Sequence[float]] | Mapping[float, Sequence[float]],
    *,
    unit: str = "labels per class",
    seed: int = 0,
) -> LearningCurve:
    """Fit accuracy against the number of labels and say what twice as many are expected to bring.

    Args:
        accuracies: by number of labels, over seeds.
        unit: of the numbers of labels, for the words.
        seed: of the draws from the posterior.

    Raises:
        DataError: nothing measured, a number of labels that is not positive, an accuracy outside 0..1.
    """
    sizes, runs = _checked(accuracies)
    points = _points(sizes, runs)
    ahead = 2 * float(sizes[-1])
    if len(sizes) < _LEAST_SIZES:
        why = f"{len(sizes)} size{'s' * (len(sizes) != 1)} measured, at least {_LEAST_SIZES} are needed"
        return _unknown(points, ahead, unit, why)
    grid = np.geomspace(sizes[0], ahead, _GRID)
    found = draw_curves(sizes, runs, np.append(grid, sizes[-1]), draws=DRAWS, seed=seed)
    if found is None or stats.chi2.sf(float((found.misfit**2).sum()), len(sizes)) < _MISFIT:
        return _unknown(points, ahead, unit, "the measured points do not follow a power law")
    curves = np.clip(1 - found.error, 0.0, 1.0)
    low, middle, high = np.quantile(curves[:, :-1], [0.025, 0.5, 0.975], axis=0)
    gain_low, gain, gain_high = (float(q) for q in np.quantile(curves[:, -2] - curves[:, -1], [0.025, 0.5, 0.975]))
    certain, words = _in_words(points, ahead, unit, gain, gain_low, gain_high)
    return LearningCurve(
        points=points,
        floor=found.floor,
        scale=found.scale,
        exponent=found.exponent,
        next_labels=ahead,
        expected=float(middle[-1]),
        expected_low=float(low[-1]),
        expected_high=float(high[-1]),
        gain=gain,
        gain_low=gain_low,
        gain_high=gain_high,
        grid=[tuple(map(float, row)) for row in zip(grid, middle, low, high, strict=True)],  # type: ignore[misc]
        certain=certain,
        words=words,
    )


def _checked(
    accuracies: Mapping[int, Sequence[float]] | Mapping[float, Sequence[float]],
) -> tuple[np.ndarray, list[np.ndarray]]:
    if not accuracies:
        raise DataError("a learning curve needs accuracies at one number of labels at least; there are none")
    by_size: dict[float, Sequence[float]] = {float(n): run for n, run in accuracies.items()}
    sizes = sorted(by_size)
    if sizes[0] <= 0:
        raise DataError(f"a learning curve over {sizes[0]} labels: every number of labels must be above 0")
    runs = [np.asarray(by_size[n], dtype=np.float64) for n in sizes]
    for n, run in zip(sizes, runs, strict=True):
        if not len(run) or not np.all((run >= 0) & (run <= 1)):
            raise DataError(f"the accuracies at {n} labels must be one or more numbers from 0 to 1; got {run.tolist()}")
    return np.array(sizes, dtype=np.float64), runs


def _points(sizes: np.ndarray, runs: list[np.ndarray]) -> list[CurvePoint]:
    return [_point(n, run) for n, run in zip(sizes, runs, strict=True)]


def _point(labels: float, run: np.ndarray) -> CurvePoint:
    """Return the mean with Student's interval on the log odds, which stays inside 0 to 1."""
    mean, count = float(run.mean()), len(run)
    if count < 2:
        return CurvePoint(float(labels), mean, mean, mean, count)
    middle = float(np.clip(mean, _LEAST_SD, 1 - _LEAST_SD))
    error = max(float(run.std(ddof=1)) / np.sqrt(count), _LEAST_SD)
    half = float(stats.t.ppf(0.975, count - 1)) * error / (middle * (1 - middle))
    low, high = (float(bound) for bound in expit(logit(middle) + np.array([-half, half])))
    return CurvePoint(float(labels), mean, min(low, mean), max(high, mean), count)


def _in_words(
    points: list[CurvePoint], ahead: float, unit: str, gain: float, low: float, high: float
) -> tuple[bool, str]:
    start = f"From {points[-1].labels:g} to {ahead:g} {unit}:"
    spread = f"{100 * low:+.1f} to {100 * high:+.1f}"
    if high - low > max(2 * gain, 0.02):
        return False, f"{start} the data do not say; anything from {spread} points fits them."
    if high < 0.005:
        more = f"{100 * max(high, 0):.1f} points more are expected at most (95 % interval {spread})"
        return True, f"{start} {more}; labels are not the bottleneck."
    return True, f"{start} {100 * gain:.1f} points more are expected (95 % interval {spread})."


def _unknown(points: list[CurvePoint], ahead: float, unit: str, why: str) -> LearningCurve:
    nothing = float("nan")
    words = f"From {points[-1].labels:g} to {ahead:g} {unit}: the data do not say; {why}."
    return LearningCurve(points, *(nothing,) * 3, ahead, *(nothing,) * 6, [], False, words)
