"""Intervals for one set of images: Wilson for proportions, its form for other bounded measures, losses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, TypedDict

import numpy as np
from jaxtyping import Float, Int
from scipy import special

LEVEL = 0.95
RESAMPLES = 1000
_CHUNK = 4_000_000  # indices drawn at once: bounds the memory whatever the number of images


class Estimate(TypedDict):
    """A figure with its 95 % interval; all None where it is undefined (its n is then 0)."""

    value: float | None
    low: float | None
    high: float | None
    n: int


UNDEFINED = Estimate(value=None, low=None, high=None, n=0)


def normal_quantile(level: float = LEVEL) -> float:
    """Return z such that a standard normal is within ±z with probability `level`."""
    return float(special.ndtri(0.5 + level / 2))


def wilson(successes: float | int, n: float | int, level: float = LEVEL) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson 1927)."""
    return wilson_at(successes / n, n, normal_quantile(level)) if n > 0 else (0.0, 1.0)


def wilson_at(p: float | int, n: float | int, reach: float) -> tuple[float, float]:
    """Return Wilson's interval of a proportion p of n (perhaps an effective number) at ± `reach` errors."""
    centre = (p + reach**2 / (2 * n)) / (1 + reach**2 / n)
    half = reach / (1 + reach**2 / n) * np.sqrt(p * (1 - p) / n + reach**2 / (4 * n**2))
    return float(max(0.0, min(p, centre - half))), float(min(1.0, max(p, centre + half)))


def proportion(successes: float | int, n: int, level: float = LEVEL) -> Estimate:
    """Return successes / n with its Wilson interval; undefined for n = 0."""
    if n == 0:
        return UNDEFINED.copy()
    low, high = wilson(successes, n, level)
    return Estimate(value=float(successes / n), low=float(low), high=float(high), n=int(n))


def bounded(
    value: float,
    error: float,
    n: int,
    bounds: tuple[float, float] = (0.0, 1.0),
    *,
    effective: float | int | None = None,
) -> Estimate:
    """Return a bounded measure with a Wilson interval of its effective number of images.

    The effective number is the one at which a proportion of this value would have this standard error
    (Korn & Graubard 1998). The interval stays within the bounds, contains the value, and keeps a width
    where every image is right.

    Args:
        value: the measure.
        error: its standard error, from the bootstrap or the influence of each image.
        n: the number of images behind it.
        bounds: its least and greatest value.
        effective: the effective number where the standard error is zero; n unless given.
    """
    if not np.isfinite(value) or n == 0:
        return UNDEFINED.copy()
    width = bounds[1] - bounds[0]
    p = min(1.0, max(0.0, (value - bounds[0]) / width))
    spread = error / width
    found = p * (1 - p) / spread**2 if np.isfinite(spread) and spread > 1e-9 else 0.0
    low, high = wilson_at(p, found if found > 0 else effective or n, normal_quantile())
    return Estimate(
        value=float(value), low=float(bounds[0] + low * width), high=float(bounds[0] + high * width), n=int(n)
    )


def mean_loss(losses: Float[np.ndarray, " n"], mistake: float, most: float, level: float = LEVEL) -> Estimate:
    """Return a mean of losses between 0 and `most` with an interval that allows for mistakes not yet seen.

    At high accuracy nearly all of the mean comes from a few mistakes, and a small sample may contain none: the
    bootstrap then sees no spread. One more image with the loss of a mistake is added, as Agresti and Coull add
    successes and failures, and Student's interval is taken of the square root of the mean, on which scale sums
    of rare events have a constant variance. The value itself is the plain mean.

    Args:
        losses: of each image.
        mistake: the loss that an image that is classified wrongly is expected to have.
        most: the largest possible loss.
        level: of confidence.
    """
    n = len(losses)
    value = float(losses.mean())
    centre = (n * value + mistake) / (n + 1)
    variance = (float(losses @ losses) + mistake**2) / (n + 1) - centre**2
    reach = float(special.stdtrit(max(1, n - 1), 0.5 + level / 2))
    root = np.sqrt(max(centre, np.finfo(np.float64).tiny))
    half = reach * np.sqrt(max(variance, 0.0) / n) / (2 * root)
    low, high = max(0.0, root - half) ** 2, min(most, (root + half) ** 2)
    return Estimate(value=value, low=float(min(low, value)), high=float(max(high, value)), n=n)


class Difference(NamedTuple):
    """The difference of two measures with its 95 % interval."""

    value: float
    low: float
    high: float


def independent_difference(first: Estimate, second: Estimate) -> Difference | None:
    """Return first - second, of measures on different images, with a 95 % interval from those of the two.

    The distances from each value to its limits are added in quadrature (Zou & Donner 2008), so that intervals that
    are not symmetric stay so; of two Wilson intervals this is Newcombe's interval (1998, method 10). None where one
    of them is undefined.
    """
    value, low, high = _figures(first)
    other, least, most = _figures(second)
    gap = value - other
    if math.isnan(gap):
        return None
    return Difference(gap, gap - math.hypot(value - low, most - other), gap + math.hypot(high - value, other - least))


def _figures(estimate: Estimate) -> tuple[float, float, float]:
    value, low, high = (math.nan if x is None else x for x in (estimate["value"], estimate["low"], estimate["high"]))
    return value, low, high


def resamples(n: int, count: int, seed: int) -> Iterator[Int[np.ndarray, "b n"]]:
    """Yield bootstrap resamples of n images, `count` rows in all, in blocks of bounded memory."""
    generator = np.random.default_rng(seed)
    block = max(1, min(count, _CHUNK // max(1, n)))
    for start in range(0, count, block):
        yield generator.integers(0, n, (min(block, count - start), n), dtype=np.int32)


@lru_cache(maxsize=2)
def _small(n: int, count: int, seed: int) -> Float[np.ndarray, "b n"]:
    return _times(next(resamples(n, count, seed)), n)


def multiplicities(n: int, count: int, seed: int) -> Iterator[Float[np.ndarray, "b n"]]:
    """Yield how often each of n images occurs in each of `resamples`, in the same blocks.

    The counts of small samples are cached, since several measures use the same resamples.
    """
    if n * count <= _CHUNK:
        yield _small(n, count, seed)
        return
    for rows in resamples(n, count, seed):
        yield _times(rows, n)


def _times(rows: Int[np.ndarray, "b n"], n: int) -> Float[np.ndarray, "b n"]:
    places = (rows + np.arange(len(rows), dtype=np.int64)[:, None] * n).ravel()
    return np.bincount(places, minlength=len(rows) * n).reshape(len(rows), n).astype(np.float64)
