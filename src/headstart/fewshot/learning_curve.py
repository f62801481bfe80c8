"""Accuracy against labels: a power law with its uncertainty, and what the next doubling is expected to bring.

The error falls as a + b · n^-c in most measured learning curves (Hestness et al. 2017, 1712.00409; Hoiem et al. 2021,
Learning curves for analysis of deep networks, 2010.11029). The floor a, b and c are fitted by weighted least squares;
the uncertainty comes from fitting again to resampled seeds and to the error that each mean carries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from headstart.errors import DataError

RESAMPLES = 2000
_LEAST_SIZES = 3  # a straight line in log-log through two sizes fits anything
_EXPONENTS = np.geomspace(0.05, 2.0, 400)
_LEAST_SD = 2e-3  # of a mean accuracy: no finite test set knows it better


@dataclass(frozen=True)
class CurvePoint:
    """The accuracies at one number of labels.

    Args:
        labels: per class, or in all.
        mean, low, high: over seeds, with the 95 % interval (Student's t; of one seed: none, low = high = mean).
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
        floor, scale, exponent: of error = floor + scale · labels^-exponent; NaN where nothing could be fitted.
        next_labels: twice the most labels measured.
        expected, expected_low, expected_high: accuracy there.
        gain, gain_low, gain_high: against the fitted accuracy at the most labels measured, as shares of 1.
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
        seed: of the resampling.

    Raises:
        DataError: nothing measured, a number of labels that is not positive, an accuracy outside 0..1.
    """
    sizes, runs = _checked(accuracies)
    points = [_point(n, run) for n, run in zip(sizes, runs, strict=True)]
    means, sds = np.array([run.mean() for run in runs]), _sds(runs)
    ahead = 2 * float(sizes[-1])
    if len(sizes) < _LEAST_SIZES:
        why = f"{len(sizes)} size{'s' * (len(sizes) != 1)} measured, at least {_LEAST_SIZES} are needed"
        return _unknown(points, ahead, unit, why)
    grid = np.geomspace(sizes[0], ahead, 40)
    best = _fit(sizes, (1 - means)[None], sds)[0]
    generator = np.random.default_rng(seed)
    freedom = np.maximum([len(run) - 1 for run in runs], 4)
    noisy = means + sds * generator.standard_t(freedom, size=(RESAMPLES, len(sizes)))
    drawn = _fit(sizes, np.clip(1 - noisy, 1e-6, 1.0), sds)
    curves = np.array([1 - _error(parameters, grid) for parameters in drawn])
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    fitted = 1 - _error(best, grid)
    gains = np.array([_gain(parameters, sizes[-1]) for parameters in drawn])
    gain, (gain_low, gain_high) = _gain(best, sizes[-1]), np.quantile(gains, [0.025, 0.975])
    certain, words = _in_words(
        points, ahead, unit, gain, float(gain_low), float(gain_high), _misfit(best, sizes, means, sds)
    )
    return LearningCurve(
        points=points,
        floor=float(best[0]),
        scale=float(best[1]),
        exponent=float(best[2]),
        next_labels=ahead,
        expected=float(fitted[-1]),
        expected_low=float(low[-1]),
        expected_high=float(high[-1]),
        gain=gain,
        gain_low=float(gain_low),
        gain_high=float(gain_high),
        grid=[tuple(map(float, row)) for row in zip(grid, fitted, low, high, strict=True)],  # type: ignore[misc]
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


def _point(labels: float, run: np.ndarray) -> CurvePoint:
    mean = float(run.mean())
    half = 0.0
    if len(run) > 1:
        half = float(stats.t.ppf(0.975, len(run) - 1) * run.std(ddof=1) / np.sqrt(len(run)))
    return CurvePoint(float(labels), mean, mean - half, mean + half, len(run))


def _sds(runs: list[np.ndarray]) -> np.ndarray:
    """The standard error of each mean; the spread over seeds is pooled, since few seeds know it poorly."""
    freedom = sum(len(run) - 1 for run in runs)
    squares = sum(float(((run - run.mean()) ** 2).sum()) for run in runs)
    spread = np.sqrt(squares / freedom) if freedom else 0.01
    return np.array([max(spread / np.sqrt(len(run)), _LEAST_SD) for run in runs])


def _error(parameters: np.ndarray, labels: np.ndarray | float) -> np.ndarray:
    floor, scale, exponent = parameters
    return np.asarray(floor + scale * np.power(labels, -exponent))


def _fit(sizes: np.ndarray, errors: np.ndarray, sds: np.ndarray) -> np.ndarray:
    """Weighted least squares of floor, scale and exponent for each row of errors [r, n]: [r, 3].

    For a given exponent floor and scale are linear and not negative: a minimum inside, or on one of two edges.
    """
    weights = sds**-2
    x = sizes ** -_EXPONENTS[:, None]  # [c, n]
    s0, s1, s2 = weights.sum(), x @ weights, x**2 @ weights
    t0, t1 = errors @ weights, (errors * weights) @ x.T  # [r], [r, c]
    determinant = s0 * s2 - s1**2
    inside_floor = (s2 * t0[:, None] - s1 * t1) / determinant
    inside_scale = (s0 * t1 - s1 * t0[:, None]) / determinant
    edge = inside_floor < 0
    floor = np.where(edge, 0.0, inside_floor)
    scale = np.where(edge, t1 / s2, inside_scale)
    flat = scale < 0
    floor, scale = np.where(flat, (t0 / s0)[:, None], floor), np.where(flat, 0.0, scale)
    misfit = s0 * floor**2 + s2 * scale**2 + 2 * s1 * floor * scale - 2 * (t0[:, None] * floor + t1 * scale)
    best = misfit.argmin(axis=1)
    rows = np.arange(len(errors))
    return np.stack([floor[rows, best], scale[rows, best], _EXPONENTS[best]], axis=1)


def _gain(parameters: np.ndarray, most: float) -> float:
    return float(_error(parameters, most) - _error(parameters, 2 * most))


def _misfit(parameters: np.ndarray, sizes: np.ndarray, means: np.ndarray, sds: np.ndarray) -> float:
    """The probability of so poor a fit if the power law held (1 where there is no freedom left)."""
    freedom = len(sizes) - 3
    if freedom < 1:
        return 1.0
    squares = float((((1 - means) - _error(parameters, sizes)) ** 2 / sds**2).sum())
    return float(stats.chi2.sf(squares, freedom))


def _in_words(
    points: list[CurvePoint], ahead: float, unit: str, gain: float, low: float, high: float, fits: float
) -> tuple[bool, str]:
    start = f"From {points[-1].labels:g} to {ahead:g} {unit}:"
    spread = f"(95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    if fits < 0.001:
        return False, f"{start} the data do not say; the measured points do not follow a power law."
    if high - low > max(2 * gain, 0.02):
        return (
            False,
            f"{start} the data do not say; anything in {100 * low:+.1f} to {100 * high:+.1f} points fits them.",
        )
    if high < 0.005:
        return (
            True,
            f"{start} at most {100 * max(high, 0):.1f} points more are expected {spread}; labels are not what lacks.",
        )
    return True, f"{start} {100 * gain:.1f} points more are expected {spread}."


def _unknown(points: list[CurvePoint], ahead: float, unit: str, why: str) -> LearningCurve:
    nothing = float("nan")
    words = f"From {points[-1].labels:g} to {ahead:g} {unit}: the data do not say; {why}."
    return LearningCurve(points, *(nothing,) * 3, ahead, *(nothing,) * 6, [], False, words)
