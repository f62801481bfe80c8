"""Score against labels: a power law with its uncertainty, and what the next doubling is expected to bring.

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
from headstart.evaluate.metrics.names import measure_name
from headstart.fewshot.power_law import draw_curves
from headstart.fewshot.score_scale import ScoreScale, scale_of

DRAWS = 4000
_GRID = 40  # numbers of labels at which the curve is drawn
_LEAST_SIZES = 3  # a straight line in log-log through two sizes fits anything
_LEAST_SD = 2e-3  # of a mean accuracy: no finite test set knows it better
_MISFIT = 1e-3  # probability of so poor a fit, below which nothing is predicted


@dataclass(frozen=True)
class CurvePoint:
    """The scores at one number of labels.

    Args:
        labels: per class, or in all.
        mean, low, high: over seeds, with the 95 % interval, inside the metric's bounds (of one seed all are equal).
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
        floor, scale, exponent: of error = floor + scale · labels^-exponent, medians; NaN where nothing was fitted. The
            error is the distance from the best possible score.
        next_labels: twice the most labels measured.
        expected, expected_low, expected_high: score there.
        gain, gain_low, gain_high: against the fitted score at the most labels measured, more being better whichever way
            the metric points; medians and 95 % intervals.
        grid: (labels, fitted score, low, high) for drawing.
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
    scores: Mapping[int, Sequence[float]] | Mapping[float, Sequence[float]],
    *,
    metric: str = "accuracy",
    unit: str = "labels per class",
    seed: int = 0,
) -> LearningCurve:
    """Fit the score against the number of labels and say what twice as many are expected to bring.

    Args:
        scores: by number of labels, over seeds.
        metric: of the scores; a name in METRICS.
        unit: of the numbers of labels, for the words.
        seed: of the draws from the posterior.

    Raises:
        DataError: nothing measured, a number of labels that is not positive, a score outside the metric's bounds.
        SpecError: an unknown metric.
    """
    scale = scale_of(metric, (score for run in scores.values() for score in run))
    sizes, runs = _checked(scores, scale)
    points = _points(sizes, runs, scale)
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
    gains = [float(q) for q in np.quantile(curves[:, -2] - curves[:, -1], [0.025, 0.5, 0.975])]
    certain, words = _in_words(points, ahead, unit, gains, scale)
    drawn = [
        (float(n), *_scores(mid, bottom, top, scale))
        for n, mid, bottom, top in zip(grid, middle, low, high, strict=True)
    ]
    gain_low, gain, gain_high = (scale.gain(each) for each in gains)
    return LearningCurve(
        points=points,
        floor=scale.gain(found.floor),
        scale=scale.gain(found.scale),
        exponent=found.exponent,
        next_labels=ahead,
        expected=drawn[-1][1],
        expected_low=drawn[-1][2],
        expected_high=drawn[-1][3],
        gain=gain,
        gain_low=gain_low,
        gain_high=gain_high,
        grid=drawn,
        certain=certain,
        words=words,
    )


def _scores(middle: float, low: float, high: float, scale: ScoreScale) -> tuple[float, float, float]:
    """Return a share with its interval as scores."""
    return (float(scale.score(middle)), *(float(end) for end in scale.interval(low, high)))  # type: ignore[return-value]


def _checked(
    scores: Mapping[int, Sequence[float]] | Mapping[float, Sequence[float]], scale: ScoreScale
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the numbers of labels and the scores at each, as shares of 1."""
    if not scores:
        raise DataError("a learning curve needs scores at one number of labels at least; there are none")
    by_size: dict[float, Sequence[float]] = {float(n): run for n, run in scores.items()}
    sizes = sorted(by_size)
    if sizes[0] <= 0:
        raise DataError(f"a learning curve over {sizes[0]} labels: every number of labels must be above 0")
    runs = [np.array([scale.share(score) for score in by_size[n]], dtype=np.float64) for n in sizes]
    low, high = scale.interval(0.0, 1.0)
    for n, run in zip(sizes, runs, strict=True):
        if not len(run) or not np.all((run >= 0) & (run <= 1)):
            named = "accuracies" if scale.metric == "accuracy" else f"values of {scale.metric}"
            got = list(by_size[n])
            raise DataError(
                f"the {named} at {n} labels must be one or more numbers from {low:g} to {high:g}; got {got}"
            )
    return np.array(sizes, dtype=np.float64), runs


def _points(sizes: np.ndarray, runs: list[np.ndarray], scale: ScoreScale) -> list[CurvePoint]:
    return [
        CurvePoint(float(n), *_scores(*_mean_of(run), scale), seeds=len(run))
        for n, run in zip(sizes, runs, strict=True)
    ]


def _mean_of(run: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of shares with Student's interval on the log odds, which stays inside 0 to 1."""
    mean, count = float(run.mean()), len(run)
    if count < 2:
        return mean, mean, mean
    middle = float(np.clip(mean, _LEAST_SD, 1 - _LEAST_SD))
    error = max(float(run.std(ddof=1)) / np.sqrt(count), _LEAST_SD)
    half = float(stats.t.ppf(0.975, count - 1)) * error / (middle * (1 - middle))
    low, high = (float(bound) for bound in expit(logit(middle) + np.array([-half, half])))
    return mean, min(low, mean), max(high, mean)


def _in_words(
    points: list[CurvePoint], ahead: float, unit: str, gains: Sequence[float], scale: ScoreScale
) -> tuple[bool, str]:
    low, gain, high = gains
    start = f"From {points[-1].labels:g} to {ahead:g} {unit}:"
    spread = f"{_amount(low, scale, '+')} to {_amount(high, scale, '+')}"
    better = "points more are" if scale.percent else f"better {measure_name(scale.metric)} is"
    if high - low > max(2 * gain, 0.02):
        points_ = " points" if scale.percent else f" in {measure_name(scale.metric)}"
        return False, f"{start} the data do not say; anything from {spread}{points_} fits them."
    if high < 0.005:
        more = f"{_amount(max(high, 0.0), scale)} {better} expected at most (95 % interval {spread})"
        return True, f"{start} {more}; labels are not the bottleneck."
    return True, f"{start} {_amount(gain, scale)} {better} expected (95 % interval {spread})."


def _amount(share: float, scale: ScoreScale, sign: str = "") -> str:
    """Return a gain in points, or in the unit of the metric."""
    return f"{100 * share:{sign}.1f}" if scale.percent else f"{scale.gain(share):{sign}.3f}"


def _unknown(points: list[CurvePoint], ahead: float, unit: str, why: str) -> LearningCurve:
    nothing = float("nan")
    words = f"From {points[-1].labels:g} to {ahead:g} {unit}: the data do not say; {why}."
    return LearningCurve(points, *(nothing,) * 3, ahead, *(nothing,) * 6, [], False, words)
