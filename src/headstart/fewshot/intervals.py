"""Intervals for mean accuracies over episodes, and for their differences.

Two questions, two intervals. *These classes*: with the same images and classes, what would infinitely many episodes
give? Episodes are then independent draws. *New classes*: what would episodes from other classes of the same kind
give? Episodes then share classes and images, and the classes are what is left out in turn. The first interval shrinks
with the number of episodes; the second stays as wide as the number of classes demands.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import special
from scipy.special import expit, logit

from headstart.errors import DataError
from headstart.fewshot.beta_binomial import accuracy_bounds

RESAMPLES = 4000
_FEW = 300  # episodes, up to which the bootstrap of an accuracy near 100 % is too narrow
_FEW_DIFFERENCES = 30
_FEW_OTHERS = 5  # episodes that differ from the rest, under which they say too little about the spread


@dataclass(frozen=True)
class Interval:
    """A mean with its interval.

    Args:
        mean, low, high: as shares of 1.
        level: how often such intervals cover the truth.
        over: "episodes" or "classes": what varies.
        n: how many of them.
    """

    mean: float
    low: float
    high: float
    level: float
    over: str
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def episode_interval(
    accuracy: Float[np.ndarray, " e"], queries: int, *, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the interval of the mean accuracy for the same images and classes; it is inside 0 to 1.

    Up to 300 episodes it is the posterior interval of a beta-binomial model (see `beta_binomial`); for more, the
    percentile bootstrap over episodes, which assumes nothing about their distribution.

    Args:
        accuracy: [e] share of queries that were right.
        queries: how many queries each episode has, over all its classes.
        level: how often such intervals cover the truth.
        seed: of the bootstrap.

    Raises:
        DataError: fewer than two episodes.
    """
    exact = _at_least_two(accuracy)
    if len(exact) <= _FEW or np.ptp(exact) == 0:
        right = np.round(exact * queries).astype(np.int64)
        low, high = accuracy_bounds(right, queries, level=level)
    else:
        low, high = _bootstrap(exact, level, seed)
    return Interval(float(exact.mean()), low, high, level, "episodes", len(exact))


def difference_interval(gap: Float[np.ndarray, " e"], queries: int, *, level: float = 0.95, seed: int = 0) -> Interval:
    """Return the interval of a mean difference of accuracies for the same images and classes; it is inside -1 to 1.

    The percentile bootstrap over episodes. Of few episodes it is too narrow (of 5 it covered 92.8 % in simulation),
    so that under 30 Student's t is used. Where the episodes hardly differ, it is at least `least_half_width` to each
    side.

    Args:
        gap: [e] difference of the accuracies in each episode.
        queries: how many queries each episode has, over all its classes.
        level: how often such intervals cover the truth.
        seed: of the bootstrap.

    Raises:
        DataError: fewer than two episodes.
    """
    exact = _at_least_two(gap)
    mean, e = float(exact.mean()), len(exact)
    if e < _FEW_DIFFERENCES:
        half = float(special.stdtrit(e - 1, 0.5 + level / 2) * exact.std(ddof=1) / np.sqrt(e))
        low, high = mean - half, mean + half
    else:
        low, high = _bootstrap(exact, level, seed)
    least = least_half_width(exact, queries, level)
    low, high = max(min(low, mean - least), -1.0), min(max(high, mean + least), 1.0)
    return Interval(mean, low, high, level, "episodes", e)


def least_half_width(gap: Float[np.ndarray, " e"], queries: int, level: float = 0.95) -> float:
    """Return what a difference may be off by although the episodes show no spread; 0 where they do show one.

    Episodes show none where fewer than five of them, and fewer than half, have another difference than the most
    frequent one. What they have not shown may still be: as much as the accuracy may be below 100 % where every query
    of so many episodes was right (`beta_binomial`).
    """
    e = len(gap)
    others = e - int(np.unique(np.round(gap, 6), return_counts=True)[1].max())
    if others >= min(_FEW_OTHERS, e / 2):
        return 0.0
    return 1 - accuracy_bounds(np.full(e, queries), queries, level=level)[0]


def _at_least_two(values: Float[np.ndarray, " e"]) -> Float[np.ndarray, " e"]:
    if len(values) < 2:
        raise DataError(f"{len(values)} episode: an interval needs at least 2")
    return values.astype(np.float64)


def _bootstrap(values: Float[np.ndarray, " e"], level: float, seed: int) -> tuple[float, float]:
    """Return percentile bounds of the mean. Episodes take few different values: a resample is a multinomial draw."""
    e = len(values)
    distinct, counts = np.unique(np.round(values, 6), return_counts=True)
    generator = np.random.default_rng(seed)
    step = max(1, (1 << 22) // len(distinct))
    means = [
        generator.multinomial(e, counts / e, size=min(step, RESAMPLES - start)) @ distinct / e
        for start in range(0, RESAMPLES, step)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def class_interval(
    accuracy: Float[np.ndarray, " e"], classes: Int[np.ndarray, "e ways"], *, level: float = 0.95
) -> Interval | None:
    """Return the interval of the mean accuracy for new classes of the same kind, inside 0 to 1, or None.

    Student's interval on the log odds, with the standard error of a jackknife over classes (Arvesen 1969). None
    where the data say nothing about other classes: leaving a class out leaves no episode, as when every episode
    holds all the classes, or all episodes have the same accuracy.
    """
    found = _jackknife(accuracy, classes)
    if found is None or np.ptp(accuracy) == 0:
        return None
    half = float(special.stdtrit(found.freedom, 0.5 + level / 2)) * found.error / (found.mean * (1 - found.mean))
    low, high = (float(bound) for bound in expit(logit(found.mean) + np.array([-half, half])))
    return Interval(found.mean, low, high, level, "classes", found.classes)


def class_difference_interval(
    gap: Float[np.ndarray, " e"], classes: Int[np.ndarray, "e ways"], *, level: float = 0.95
) -> Interval | None:
    """Return the interval of a mean difference for new classes, inside -1 to 1, or None (see `class_interval`)."""
    found = _jackknife(gap, classes)
    if found is None or np.ptp(gap) == 0:
        return None
    half = float(special.stdtrit(found.freedom, 0.5 + level / 2)) * found.error
    low, high = max(found.mean - half, -1.0), min(found.mean + half, 1.0)
    return Interval(found.mean, low, high, level, "classes", found.classes)


@dataclass(frozen=True)
class _Jackknife:
    """A mean over episodes, and its standard error and degrees of freedom as a mean over classes."""

    mean: float
    error: float
    freedom: float
    classes: int


def _jackknife(values: Float[np.ndarray, " e"], classes: Int[np.ndarray, "e ways"]) -> _Jackknife | None:
    """Compute the mean again without the episodes of each class in turn; None where that leaves no episode."""
    e, ways = classes.shape
    names, numbers = np.unique(classes, return_inverse=True)
    c = len(names)
    numbers = numbers.reshape(e, ways)
    values = values.astype(np.float64)
    present = np.bincount(numbers.ravel(), minlength=c)
    if c < ways + 2 or (present == e).any():
        return None
    sums = np.bincount(numbers.ravel(), weights=np.repeat(values, ways), minlength=c)
    without = (values.sum() - sums) / (e - present)
    variance = (c - 1) / c * float(((without - without.mean()) ** 2).sum())
    # Leaving a class out also leaves out its episodes' noise. That part is known and subtracted, which leaves the
    # rest less certain than c - 1 degrees of freedom say.
    noise = float(values.var(ddof=1)) / e
    own = max(variance - noise * (c - 1) * ways / (c - ways) + noise, noise, 0.25 * variance)
    freedom = (c - 1) * (min(1.0, own / variance) if variance > 0 else 1.0)
    return _Jackknife(float(values.mean()), float(np.sqrt(own)), freedom, c)
