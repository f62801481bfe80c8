from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from headstart.evaluate.correlation import rank_correlation


def test_rank_correlation_is_that_of_the_ranks_and_zero_of_a_constant_map() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((5, 6)), rng.random((5, 6))
    expected = np.corrcoef(rankdata(a), rankdata(b))[0, 1]
    assert rank_correlation(a, b) == pytest.approx(expected)
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1.0)
    assert rank_correlation(a, np.zeros((5, 6))) == 0.0
    assert rank_correlation(a, np.full((5, 6), np.nan)) == 0.0
    assert rank_correlation(np.where(a > 0.9, np.inf, a), b) == 0.0


def test_ranks_correlate_as_spearman_has_it() -> None:
    """Of d = (0, 1, 1, 0, 0): 1 - 6 · 2 / (5 · 24) = 0.9."""
    assert rank_correlation(np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 9, 4, 16, 25])) == pytest.approx(0.9)
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
