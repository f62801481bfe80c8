"""Two runs on the same images: exact McNemar, and the paired bootstrap over images and seeds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from headstart.evaluate.metrics.intervals import LEVEL, RESAMPLES, multiplicities, normal_quantile


def mcnemar(a: Bool[np.ndarray, " n"], b: Bool[np.ndarray, " n"]) -> float:
    """Return the exact two-sided p of McNemar's test: do a and b err equally often? (McNemar 1947)."""
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    few, both = min(only_a, only_b), only_a + only_b
    return min(1.0, 2.0 * float(special.bdtr(few, both, 0.5))) if both else 1.0


def difference_interval(
    a: Bool[np.ndarray, " n"], b: Bool[np.ndarray, " n"], level: float = LEVEL
) -> tuple[float, float]:
    """Return the interval of accuracy(a) - accuracy(b) on the same images (Agresti & Min 2005)."""
    n = len(a) + 2
    only_a, only_b = int((a & ~b).sum()) + 0.5, int((b & ~a).sum()) + 0.5
    middle = (only_a - only_b) / n
    half = normal_quantile(level) * np.sqrt((only_a + only_b) / n - middle**2) / np.sqrt(n)
    return float(max(-1.0, middle - half)), float(min(1.0, middle + half))


def resampled_means(
    scores: Mapping[str, Float[np.ndarray, "_s n"]], draws: int = RESAMPLES, seed: int = 0
) -> dict[str, Float[np.ndarray, " b"]]:
    """Resample images (the same for every run) and seeds (each run's own); return each run's means [draws].

    Of S seeds, S - 1 are drawn, so that their spread comes out unbiased (Rao & Wu 1988); with one seed
    only images are resampled. The difference of two entries is the paired bootstrap of the two runs.
    """
    names = sorted(scores)
    table = np.concatenate([scores[name] for name in names]).T.astype(np.float64)
    n = len(table)
    by_seed = np.concatenate([weights @ table / n for weights in multiplicities(n, draws, seed)])
    generator = np.random.default_rng([seed, 1])
    found, start = {}, 0
    for name in names:
        seeds = len(scores[name])
        own = by_seed[:, start : start + seeds]
        pick = generator.integers(0, seeds, (len(own), max(1, seeds - 1)))
        found[name] = np.take_along_axis(own, pick, axis=1).mean(axis=1)
        start += seeds
    return found


def bootstrap_p(differences: Float[np.ndarray, " b"]) -> float:
    """Return the two-sided p of no difference: twice the smaller share of resamples beyond zero."""
    n = len(differences)
    below, above = int((differences <= 0).sum()), int((differences >= 0).sum())
    return min(1.0, 2.0 * (min(below, above) + 1) / (n + 1))


def same_rows(scores: Float[np.ndarray, "s n"]) -> bool:
    """Say whether every seed gave the same outcome on every image."""
    return bool((scores == scores[:1]).all())


def disagreements(a: Bool[np.ndarray, " n"], b: Bool[np.ndarray, " n"]) -> dict[str, Int[np.ndarray, " _"]]:
    """Return the places where only a, only b, and neither is right."""
    return {
        "only_a": np.flatnonzero(a & ~b),
        "only_b": np.flatnonzero(b & ~a),
        "neither": np.flatnonzero(~a & ~b),
    }
