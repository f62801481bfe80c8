from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from headstart.evaluate.metrics import intervals
from headstart.evaluate.metrics.intervals import (
    UNDEFINED,
    bounded,
    independent_difference,
    mean_loss,
    multiplicities,
    normal_quantile,
    proportion,
    resamples,
    wilson,
    wilson_at,
)


def test_normal_quantiles_are_those_of_the_tables() -> None:
    assert normal_quantile() == pytest.approx(1.959964, abs=1e-6)
    assert normal_quantile(0.9) == pytest.approx(1.644854, abs=1e-6)


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 7), (7, 7), (45, 60), (1, 1)])
def test_wilson_agrees_with_scipy(successes: int, n: int, level: float) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    assert wilson(successes, n, level) == pytest.approx((expected.low, expected.high))
    found = proportion(successes, n, level)
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    assert (found["value"], found["n"]) == (successes / n, n)


def test_the_difference_of_two_proportions_is_newcombes() -> None:
    found = independent_difference(proportion(56, 70), proportion(48, 80))  # table II (a) of Newcombe (1998), method 10
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert independent_difference(proportion(48, 80), proportion(56, 70)) == pytest.approx(
        (-0.2, -0.3339, -0.0524), abs=5e-5
    )
    assert independent_difference(proportion(48, 80), UNDEFINED) is None


def test_without_images_a_proportion_may_be_anything_and_is_undefined() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert proportion(0, 0) == UNDEFINED == {"value": None, "low": None, "high": None, "n": 0}
    assert proportion(0, 0) is not UNDEFINED


@pytest.mark.parametrize("p", [0.0, 1e-9, 0.3, 1 - 1e-9, 1.0])
@pytest.mark.parametrize("n", [0.4, 1, 5.5, 1e9])
def test_wilson_with_any_effective_number_stays_in_bounds_and_contains_the_value(p: float, n: float) -> None:
    low, high = wilson_at(p, n, 4.3)
    assert 0.0 <= low <= p <= high <= 1.0


def test_a_bounded_measure_with_the_error_of_a_proportion_has_the_interval_of_the_proportion() -> None:
    error = math.sqrt(0.8 * 0.2 / 50)
    assert bounded(0.8, error, 999) == pytest.approx({**proportion(40, 50), "n": 999})
    correlation = bounded(0.6, 2 * error, 50, (-1.0, 1.0))
    low, high = wilson(40, 50)
    assert (correlation["low"], correlation["high"]) == pytest.approx((2 * low - 1, 2 * high - 1))
    assert correlation["value"] == 0.6


def test_a_measure_without_spread_has_the_interval_of_its_effective_number_of_images() -> None:
    low, _ = wilson(20, 20)
    assert bounded(1.0, 0.0, 20)["low"] == pytest.approx(low)
    assert bounded(1.0, 0.0, 300, effective=20) == {"value": 1.0, "low": pytest.approx(low), "high": 1.0, "n": 300}
    assert bounded(1.0, math.nan, 20)["low"] == pytest.approx(low)
    assert bounded(0.5, 0.0, 300, effective=20)["low"] == pytest.approx(wilson(10, 20)[0])
    assert bounded(0.5, 0.1, 300, effective=20)["low"] == pytest.approx(wilson(12.5, 25)[0])


@pytest.mark.parametrize(("value", "n"), [(math.nan, 10), (math.inf, 10), (0.5, 0)])
def test_a_bounded_measure_without_value_or_images_is_undefined(value: float, n: int) -> None:
    assert bounded(value, 0.1, n) == UNDEFINED


@pytest.mark.parametrize("error", [0.0, 1e-12, 0.01, 0.4, 3.0, math.nan])
@pytest.mark.parametrize("value", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_bounded_measures_stay_in_bounds(value: float, error: float) -> None:
    found = bounded(value, error, 12)
    assert found["value"] is not None and found["low"] is not None and found["high"] is not None
    assert 0.0 <= found["low"] <= found["value"] <= found["high"] <= 1.0
    assert found["high"] - found["low"] > 0.01 or error == 0.01


def test_the_interval_of_a_mean_loss_is_worked_out_by_hand() -> None:
    found = mean_loss(np.array([0.0, 0.0, 1.0, 0.0]), 1.0, 16.0)
    # with one mistake more: mean 2/5, variance 2/5 - 4/25 = 0.24, error √(0.24 / 4); t with 3 degrees is 3.182
    root, half = math.sqrt(0.4), 3.182446 * math.sqrt(0.06) / (2 * math.sqrt(0.4))
    assert found["value"] == 0.25
    assert found["low"] == pytest.approx(max(0.0, root - half) ** 2, abs=1e-6)
    assert found["high"] == pytest.approx((root + half) ** 2, abs=1e-5)
    assert found["n"] == 4
    narrow = mean_loss(np.array([0.0, 0.0, 1.0, 0.0] * 100), 1.0, 16.0)
    assert narrow["low"] == pytest.approx((math.sqrt(101 / 401) - stats.t.ppf(0.975, 399) * _half(101 / 401, 400)) ** 2)


def _half(share: float, n: int) -> float:
    return math.sqrt(share * (1 - share) / n) / (2 * math.sqrt(share))


def test_the_interval_of_a_mean_loss_stays_in_bounds_and_contains_the_mean() -> None:
    for losses in (np.zeros(1), np.zeros(9), np.full(3, 16.0), np.full(200, 0.7), np.array([0.0, 16.0])):
        found = mean_loss(losses, 3.0, 16.0)
        assert found["value"] is not None and found["low"] is not None and found["high"] is not None
        assert 0.0 <= found["low"] <= found["value"] == losses.mean() <= found["high"] <= 16.0
    assert mean_loss(np.zeros(20), 0.0, 16.0)["high"] == pytest.approx(0.0)


def test_a_level_of_90_percent_is_narrower_than_95() -> None:
    losses = np.random.default_rng(0).exponential(size=50)
    wide, narrow = mean_loss(losses, 2.0, 16.0), mean_loss(losses, 2.0, 16.0, 0.9)
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]  # type: ignore[operator]


def test_losses_of_rare_mistakes_are_covered_where_a_sample_may_contain_none() -> None:
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        losses = np.where(generator.random(50) < 0.03, 2.0, 0.02)
        found = mean_loss(losses, 2.0, 16.0)
        held += found["low"] <= 0.03 * 2.0 + 0.97 * 0.02 <= found["high"]  # type: ignore[operator]
    assert held / 400 >= 0.93  # of percentile intervals of the bootstrap, 78 %


def test_resamples_are_drawn_in_blocks_that_bound_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(resamples(50, 30, 3)))
    assert whole.shape == (30, 50)
    assert (whole.min(), whole.max(), whole.dtype) == (0, 49, np.int32)
    assert np.concatenate(list(resamples(1, 3, 3))).tolist() == [[0], [0], [0]]
    monkeypatch.setattr(intervals, "_CHUNK", 200)
    blocks = list(resamples(50, 30, 3))
    assert [len(block) for block in blocks] == [4] * 7 + [2]
    assert [len(block) for block in resamples(500, 3, 3)] == [1, 1, 1]


def test_multiplicities_count_the_images_of_the_same_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = next(resamples(40, 20, 5))
    (counted,) = multiplicities(40, 20, 5)
    assert (counted == np.stack([np.bincount(row, minlength=40) for row in rows])).all()
    assert next(multiplicities(40, 20, 5)) is counted
    monkeypatch.setattr(intervals, "_CHUNK", 160)
    blocks = list(multiplicities(40, 20, 5))
    assert [block.shape for block in blocks] == [(4, 40)] * 5
    assert (np.concatenate(blocks).sum(axis=1) == 40).all()
