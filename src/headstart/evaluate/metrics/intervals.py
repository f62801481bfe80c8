"""Intervals for one set of images: Wilson for proportions, the bootstrap over images for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TypedDict

import numpy as np
from jaxtyping import Float, Int
from scipy import special

LEVEL = 0.95
RESAMPLES = 1000
_CHUNK = 4_000_000  # indices drawn at once: bounds the memory whatever the number of images


class Estimate(TypedDict):
    """A figure with its 95 % interval; all None where it is not defined (n of it is then 0)."""

    value: float | None
    low: float | None
    high: float | None
    n: int


UNDEFINED = Estimate(value=None, low=None, high=None, n=0)


def normal_quantile(level: float = LEVEL) -> float:
    """Return z such that a standard normal lies within ±z with probability `level`."""
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
    value: float, error: float, n: int, bounds: tuple[float, float] = (0.0, 1.0), level: float = LEVEL
) -> Estimate:
    """Return a measure that lives between `bounds` with a Wilson interval of its effective number of images.

    The effective number is the one at which a proportion of this value would have this standard error
    (Korn & Graubard 1998). The interval stays within the bounds, holds the value, and does not shrink
    to a point where every image is right.

    Args:
        value: the measure.
        error: its standard error, from the bootstrap or the influence of each image.
        n: the number of images behind it.
        bounds: its least and greatest value.
        level: of confidence.
    """
    if not np.isfinite(value) or n == 0:
        return UNDEFINED.copy()
    width = bounds[1] - bounds[0]
    p = min(1.0, max(0.0, (value - bounds[0]) / width))
    spread = error / width
    effective = p * (1 - p) / spread**2 if np.isfinite(spread) and spread > 1e-9 else float(n)
    low, high = wilson_at(p, effective if effective > 0 else n, normal_quantile(level))
    return Estimate(
        value=float(value), low=float(bounds[0] + low * width), high=float(bounds[0] + high * width), n=int(n)
    )


def percentile(value: float, draws: Float[np.ndarray, " b"], n: int, level: float = LEVEL) -> Estimate:
    """Return a mean with the percentile interval of its bootstrap draws."""
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
    return Estimate(value=float(value), low=float(min(low, value)), high=float(max(high, value)), n=int(n))


def pivotal(value: float, draws: Float[np.ndarray, " b"], n: int, level: float = LEVEL) -> Estimate:
    """Return a biased measure with its basic (reversed) bootstrap interval, which takes the bias back out.

    The interval is widened to hold the value and cut at zero.
    """
    low, high = 2 * value - np.quantile(draws, [0.5 + level / 2, 0.5 - level / 2])
    return Estimate(value=float(value), low=float(max(0.0, min(low, value))), high=float(max(high, value)), n=int(n))


def resamples(n: int, count: int, seed: int) -> Iterator[Int[np.ndarray, "b n"]]:
    """Yield bootstrap resamples of n images, `count` rows in all, in blocks of bounded memory."""
    generator = np.random.default_rng(seed)
    block = max(1, min(count, _CHUNK // max(1, n)))
    kind = np.int32 if n < 2**31 else np.int64
    for start in range(0, count, block):
        yield generator.integers(0, n, (min(block, count - start), n), dtype=kind)


@lru_cache(maxsize=2)
def _small(n: int, count: int, seed: int) -> Float[np.ndarray, "b n"]:
    return _times(next(resamples(n, count, seed)), n)


def multiplicities(n: int, count: int, seed: int) -> Iterator[Float[np.ndarray, "b n"]]:
    """Yield how often each of n images stands in each of `resamples`, in the same blocks: what means need of them.

    Those of a few images are kept until others are asked for: several measures go by the same ones.
    """
    if n * count <= _CHUNK:
        yield _small(n, count, seed)
        return
    for rows in resamples(n, count, seed):
        yield _times(rows, n)


def _times(rows: Int[np.ndarray, "b n"], n: int) -> Float[np.ndarray, "b n"]:
    places = (rows + np.arange(len(rows), dtype=np.int64)[:, None] * n).ravel()
    return np.bincount(places, minlength=len(rows) * n).reshape(len(rows), n).astype(np.float64)
