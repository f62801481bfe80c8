"""Rank correlation of two maps, of the weights of two runs, or of the scores of two models."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def rank_correlation(a: Float[np.ndarray, "*s"], b: Float[np.ndarray, "*s"]) -> float:
    """Return Spearman's ρ, entry by entry; 0 where one is constant or not finite."""
    from scipy.stats import spearmanr

    if np.ptp(a) == 0 or np.ptp(b) == 0 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return 0.0
    return float(spearmanr(a.ravel(), b.ravel()).statistic)
