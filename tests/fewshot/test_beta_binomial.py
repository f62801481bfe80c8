from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headstart.fewshot.beta_binomial import _CONCENTRATIONS, accuracy_bounds


def by_hand(right: np.ndarray, queries: int, level: float, prior: float) -> tuple[float, float]:
    """The posterior on a fine grid of accuracies, with scipy's beta-binomial distribution."""
    p = (np.arange(4000) + 0.5) / 4000
    density = np.zeros_like(p)
    for concentration in _CONCENTRATIONS:
        a, b = p[:, None] * concentration, (1 - p)[:, None] * concentration
        density += np.exp(stats.betabinom.logpmf(right, queries, a, b).sum(axis=1))
    density *= stats.beta.pdf(p, prior, prior)
    below = np.cumsum(density) / density.sum()
    low, high = np.interp([(1 - level) / 2, (1 + level) / 2], below, p + 0.5 / 4000)
    return float(low), float(high)


@pytest.mark.parametrize(
    ("right", "queries", "level", "prior"),
    [
        ([69, 65, 65, 56, 64], 100, 0.95, 0.5),
        ([3, 9], 20, 0.95, 0.5),
        ([3, 9], 20, 0.8, 1.0),
        ([72, 74, 75, 70, 75, 75], 75, 0.9, 0.5),
    ],
)
def test_bounds_are_quantiles_of_the_posterior(right: list[int], queries: int, level: float, prior: float) -> None:
    found = accuracy_bounds(np.array(right), queries, level=level, prior=prior)
    assert found == pytest.approx(by_hand(np.array(right), queries, level, prior), abs=2e-3)


def test_all_right_is_not_certainty_and_all_wrong_neither() -> None:
    low, high = accuracy_bounds(np.full(5, 75), 75)
    assert high == 1.0
    assert low == pytest.approx(by_hand(np.full(5, 75), 75, 0.95, 0.5)[0], abs=2e-3)
    assert 0.93 < low < 0.99
    mirrored = accuracy_bounds(np.zeros(5, dtype=np.int64), 75)
    assert mirrored == pytest.approx((0.0, 1 - low), abs=1e-9)


def test_more_episodes_and_more_queries_make_it_narrower() -> None:
    def width(episodes: int, queries: int) -> float:
        right = np.round(queries * np.linspace(0.7, 0.9, episodes)).astype(np.int64)
        low, high = accuracy_bounds(right, queries)
        return high - low

    assert width(5, 75) > 1.5 * width(20, 75) > 2 * width(200, 75)
    assert width(5, 10) > width(5, 75)
