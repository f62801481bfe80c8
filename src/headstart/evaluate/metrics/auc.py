"""Areas under the ROC and precision-recall curves, with the influence of every image on them.

The influence of image k on a measure A is n · ∂A/∂w_k at equal weights. Its mean square over n is the
variance of A under resampling of images (the infinitesimal jackknife; for the ROC area it is DeLong's
estimate), so that no curve has to be drawn again for each bootstrap resample.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

Area = tuple[float, Float[np.ndarray, " n"]]


def roc_area(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> Area:
    """Return the ROC area and the influence [n] of each image; NaN where one side is absent.

    Source: DeLong, DeLong & Clarke-Pearson 1988; Sun & Xu 2014 for the fast form.
    """
    n, count = len(scores), int(positive.sum())
    if count in (0, n):
        return float("nan"), np.zeros(n)
    above, below = np.sort(scores[positive]), np.sort(scores[~positive])
    won = _fraction_below(below, scores[positive])
    lost = 1.0 - _fraction_below(above, scores[~positive])
    area = float(won.mean())
    influence = np.empty(n)
    influence[positive] = (won - area) * (n / count)
    influence[~positive] = (lost - area) * (n / (n - count))
    return area, influence


def average_precision(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> Area:
    """Return the average precision (the step-wise PR area) and the influence [n] of each image.

    NaN without a positive image.
    """
    n, count = len(scores), int(positive.sum())
    if count == 0:
        return float("nan"), np.zeros(n)
    hits = np.sort(scores[positive])
    true_above = count - np.searchsorted(hits, hits, side="left")
    all_above = n - np.searchsorted(np.sort(scores), hits, side="left")
    precision = true_above / all_above
    area = float(precision.mean())
    # what one more image at score s changes at every positive not above it
    gained = np.concatenate([[0.0], np.cumsum(1.0 / all_above)])
    diluted = np.concatenate([[0.0], np.cumsum(precision / all_above)])
    reach = np.searchsorted(hits, scores, side="right")
    influence = -diluted[reach]
    own = precision[np.searchsorted(hits, scores[positive], side="left")]
    influence[positive] += gained[reach[positive]] + own - area
    return area, influence * (n / count)


def macro_area(areas: list[Area]) -> tuple[float, float]:
    """Return the mean of the defined areas and its standard error; (NaN, NaN) if none is defined."""
    known = [(value, influence) for value, influence in areas if np.isfinite(value)]
    if not known:
        return float("nan"), float("nan")
    influence = np.mean([each for _, each in known], axis=0)
    return float(np.mean([value for value, _ in known])), standard_error(influence)


def standard_error(influence: Float[np.ndarray, " n"]) -> float:
    """Return the standard error of a measure from the influence of each of n images."""
    return float(np.sqrt(np.mean(influence**2) / max(1, len(influence) - 1)))


def _fraction_below(ordered: Float[np.ndarray, " m"], values: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    ends = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return ends / (2.0 * len(ordered))
