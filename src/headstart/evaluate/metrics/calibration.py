"""Whether probabilities can be trusted: reliability curve, calibration error, temperature scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from headstart.errors import DataError
from headstart.evaluate.metrics.intervals import LEVEL, RESAMPLES, Estimate, wilson

BINS = 15
LEAST, MOST = 0.05, 20.0  # temperatures
SPREAD = 0.7  # of the prior on the log of the temperature; see fit_temperature


def bin_of(confidence: Float[np.ndarray, " n"], bins: int = BINS) -> Int[np.ndarray, " n"]:
    """Return the bin 0 … bins - 1 of each confidence; bins are equally wide and closed above."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)


def binned_calibration_error(
    confidence: Float[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], bins: int = BINS
) -> float:
    """Return the usual expected calibration error of the top class (Guo et al. 2017).

    It is biased upwards: even probabilities that are exactly right have a positive one, the larger the fewer images.
    """
    right, total, _ = _sums(confidence, correct, bins)
    return float(np.abs(right - total).sum() / len(confidence))


def calibration_error(
    confidence: Float[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    bins: int = BINS,
    draws: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Return the expected calibration error of the top class, less its bias, with an interval.

    Images and their correctness are drawn again, twice: with each bin's observed accuracy, which says how far the
    binned error is above the error that it was drawn with (its bias, which is taken off the value; Kumar, Liang &
    Ma 2019) and how much it varies; and with each bin's mean confidence as the accuracy, which says how large the
    binned error of perfectly calibrated probabilities would be. The lower end takes off the larger of both upward
    deviations, so it is 0 where the probabilities may be calibrated; the upper end adds the downward variation to
    the binned error, without taking the bias off, since the bias itself is uncertain.
    """
    n = len(confidence)
    right, total, held = _sums(confidence, correct, bins)
    mean = np.clip(total / held, 0.0, 1.0)
    accuracy = (right + mean) / (held + 1)  # one image more, as calibrated: a bin of one image still varies
    generator = np.random.default_rng(seed)
    sizes = generator.multinomial(n, held / n, size=draws)
    calibrated = np.abs(generator.binomial(sizes, mean) - sizes * mean).sum(axis=1) / n
    again = np.abs(generator.binomial(sizes, accuracy) - sizes * mean).sum(axis=1) / n
    drawn_with = float((held * np.abs(accuracy - mean)).sum() / n)
    binned = float(np.abs(right - total).sum() / n)
    below, above = (0.5 - LEVEL / 2), (0.5 + LEVEL / 2)
    upward = max(float(np.quantile(calibrated, above)), float(np.quantile(again, above)) - drawn_with)
    low = max(0.0, binned - upward)
    high = min(1.0, binned + float(again.mean() - np.quantile(again, below)))
    value = min(max(binned - (float(again.mean()) - drawn_with), low), high)
    return Estimate(value=value, low=low, high=high, n=n)


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
    """Return the temperature, between 0.05 and 20, with the least penalised log loss on validation images.

    Guo et al. 2017, with two safeguards for small samples. The targets are drawn from 1 towards chance by 1 / (n + 2)
    (Platt 1999), so that images that are all classified correctly do not ask for certainty; the heads that fit a
    scale of their own do the same, which leaves their probabilities as they are. And the log of the temperature has
    a normal prior around 0 with standard deviation 0.7: a factor of 2 is one deviation, and a hundred images
    outweigh it. The deviation was chosen on four data sets (benchmarks/calibration.py).

    Raises:
        DataError: there are no images.
    """
    n = len(labels)
    if n == 0:
        raise DataError("a temperature needs validation images, and there are none: keep some for validation")
    logits = _logits(probabilities)
    doubt = 1 / (n + 2)
    aim = (1 - doubt) * logits[np.arange(n), labels] + doubt * logits.mean(axis=1)

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        likelihood = float(np.sum(special.logsumexp(logits * scale, axis=1) - aim * scale))
        return likelihood + log_temperature**2 / (2 * SPREAD**2)

    from scipy import optimize  # a saved model needs it no more

    bounds = (np.log(LEAST), np.log(MOST))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def apply_temperature(probabilities: Float[np.ndarray, "n c"], temperature: float) -> Float[np.ndarray, "n c"]:
    """Return softmax(log p / temperature), float64: above 1 less confident, below 1 more; the order stays."""
    return np.asarray(special.softmax(_logits(probabilities) / temperature, axis=1))


def calibrated(probabilities: Float[np.ndarray, "n c"], temperature: float) -> Float[np.ndarray, "n c"]:
    """Return `apply_temperature` as float32; at a temperature of 1 the probabilities as they are, to the last bit."""
    return probabilities if temperature == 1.0 else apply_temperature(probabilities, temperature).astype(np.float32)


def _sums(
    confidence: np.ndarray, correct: np.ndarray, bins: int
) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"], Int[np.ndarray, " b"]]:
    """Return for each bin with images: correct ones, the sum of confidences, and the number of images."""
    place = bin_of(confidence, bins)
    held = np.bincount(place, minlength=bins)
    used = held > 0
    right, total = (np.bincount(place, weights=each, minlength=bins)[used] for each in (correct, confidence))
    return right, total, held[used]


def _logits(probabilities: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    least = np.finfo(probabilities.dtype).tiny
    return np.asarray(np.log(np.maximum(probabilities, least).astype(np.float64)))
