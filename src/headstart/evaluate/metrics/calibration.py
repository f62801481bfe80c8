"""Are the probabilities to be believed? Reliability, calibration error, and temperature scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, special

from headstart.errors import DataError
from headstart.evaluate.metrics.intervals import RESAMPLES, Estimate, multiplicities, pivotal, wilson

BINS = 15


def bin_of(confidence: Float[np.ndarray, " n"], bins: int = BINS) -> Int[np.ndarray, " n"]:
    """Return the bin 0 … bins - 1 of each confidence; bins are equally wide and closed above."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)


def calibration_error(
    confidence: Float[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    bins: int = BINS,
    draws: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Return the expected calibration error of the top class (Guo et al. 2017) with its interval.

    It is biased upwards, more so with few images; the interval (basic bootstrap) takes that back out.
    """
    place, gap = bin_of(confidence, bins), correct - confidence
    n = len(place)
    gaps = np.zeros((n, bins), dtype=np.float64)
    gaps[np.arange(n), place] = gap
    spread = [np.abs(held @ gaps).sum(axis=1) / n for held in multiplicities(n, draws, seed)]
    return pivotal(float(np.abs(gaps.sum(axis=0)).sum() / n), np.concatenate(spread), n)


def reliability(
    confidence: Float[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], bins: int = BINS
) -> list[dict[str, Any]]:
    """Return the reliability curve: for each bin that holds images, mean confidence and accuracy.

    Returns:
        Rows with low, high (edges), n, confidence, accuracy, accuracy_low, accuracy_high (Wilson, 95 %).
    """
    place = bin_of(confidence, bins)
    rows = []
    for each in np.unique(place):
        inside = place == each
        n, right = int(inside.sum()), int(correct[inside].sum())
        low, high = wilson(right, n)
        rows.append(
            {
                "low": each / bins,
                "high": (each + 1) / bins,
                "n": n,
                "confidence": float(confidence[inside].mean()),
                "accuracy": right / n,
                "accuracy_low": float(low),
                "accuracy_high": float(high),
            }
        )
    return rows


def fit_temperature(labels: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n c"]) -> float:
    """Return the temperature, between 0.05 and 20, with the least log loss on these (validation) images.

    Source: Guo et al. 2017, "On calibration of modern neural networks".

    Raises:
        DataError: there are no images.
    """
    if len(labels) == 0:
        raise DataError("a temperature needs validation images, and there are none: keep some for validation")
    logits = _logits(probabilities)
    own = logits[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float(np.mean(special.logsumexp(logits * scale, axis=1) - own * scale))

    bounds = (np.log(0.05), np.log(20.0))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def apply_temperature(probabilities: Float[np.ndarray, "n c"], temperature: float) -> Float[np.ndarray, "n c"]:
    """Return softmax(log p / temperature), float64: above 1 less sure, below 1 surer; the order stays."""
    return np.asarray(special.softmax(_logits(probabilities) / temperature, axis=1))


def _logits(probabilities: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    least = np.finfo(probabilities.dtype).tiny
    return np.asarray(np.log(np.maximum(probabilities, least).astype(np.float64)))
