from __future__ import annotations

import numpy as np
import pytest

from headstart.fewshot import power_law
from headstart.fewshot.power_law import draw_curves

SIZES = np.array([2.0, 4.0, 10.0])
RUNS = [np.array([0.50, 0.64]), np.array([0.60, 0.74]), np.array([0.70, 0.80])]
AHEAD = np.array([10.0, 20.0])


def brute_force(draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw everything from the prior and weight it by the likelihood: ([draws, 2] errors ahead, weights)."""
    generator = np.random.default_rng(0)
    first = generator.random(draws)
    floor = generator.random(draws)
    exponent = generator.choice(power_law._EXPONENTS, draws)
    offset = generator.choice(power_law._OFFSETS, draws, p=power_law._OFFSET_PRIOR)
    size = generator.choice(power_law._DEVIATIONS, draws, p=power_law._DEVIATION_PRIOR)
    spread = generator.choice(power_law._SPREADS, draws)
    shrinking = generator.choice(power_law._SHRINKING, draws)
    every = np.append(SIZES, AHEAD[1:]) / SIZES[0]
    drop = 0.75 - 0.57
    distance = np.log(every)[:, None] - np.log(every)
    root = np.linalg.cholesky(np.exp(-0.5 * (distance / power_law._LENGTH) ** 2) + 1e-9 * np.eye(len(every)))
    smooth = (generator.standard_normal((draws, len(every))) @ root.T) * (drop * size)[:, None]
    remains = ((every + offset[:, None]) / (1 + offset[:, None])) ** -exponent[:, None]
    error = floor[:, None] + (first - floor)[:, None] * remains + smooth
    log = np.where(floor <= first, 2 * np.log1p(-np.minimum(floor / first, 1 - 1e-12)), -np.inf)
    for k, run in enumerate(RUNS):
        sd = spread * every[k] ** -shrinking
        log = log - (len(run) - 1) * np.log(sd) - ((run - run.mean()) ** 2).sum() / (2 * sd**2)
        variance = sd**2 / len(run) + power_law._LEAST_SD**2
        log = log - 0.5 * np.log(variance) - (1 - run.mean() - error[:, k]) ** 2 / (2 * variance)
    weights = np.exp(log - log.max())
    return error[:, [2, 3]], weights / weights.sum()


def quantiles(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order = np.argsort(values)
    return np.interp([0.025, 0.5, 0.975], np.cumsum(weights[order]), values[order])


@pytest.mark.long
def test_the_posterior_is_that_of_weighting_draws_from_the_prior() -> None:
    errors, weights = brute_force(1_500_000)
    assert 1 / (weights**2).sum() > 1000  # draws that count
    found = draw_curves(SIZES, RUNS, AHEAD, draws=20_000, seed=1)
    assert found is not None
    for place in range(2):
        expected = quantiles(errors[:, place], weights)
        got = np.quantile(found.error[:, place], [0.025, 0.5, 0.975])
        np.testing.assert_allclose(got, expected, atol=0.004)
    gain = found.error[:, 0] - found.error[:, 1]
    np.testing.assert_allclose(
        np.quantile(gain, [0.025, 0.5, 0.975]), quantiles(errors[:, 0] - errors[:, 1], weights), atol=0.004
    )


def test_the_same_seed_gives_the_same_curves() -> None:
    one, two, other = (draw_curves(SIZES, RUNS, AHEAD, draws=500, seed=seed) for seed in (1, 1, 2))
    assert one is not None and two is not None and other is not None
    assert np.array_equal(one.error, two.error)
    assert not np.array_equal(one.error[: len(other.error)], other.error[: len(one.error)])


def test_an_error_that_rises_with_labels_is_outside_the_bounds() -> None:
    rising = [np.array([0.90, 0.902]), np.array([0.60, 0.602]), np.array([0.30, 0.302])]
    assert draw_curves(SIZES, rising, AHEAD, draws=2000, seed=0) is None


def test_misfit_is_small_on_a_power_law_and_large_on_a_zigzag() -> None:
    sizes = np.array([1.0, 2.0, 5.0, 10.0, 20.0])
    law = [1 - 0.1 - 0.4 * n**-0.5 + np.array([-0.002, 0.002]) for n in sizes]
    good = draw_curves(sizes, law, AHEAD, draws=2000, seed=0)
    assert good is not None and np.abs(good.misfit).max() < 1.0
    assert good.exponent == pytest.approx(0.5, abs=0.15)
    assert good.floor == pytest.approx(0.1, abs=0.08)
    bent = [run + shift for run, shift in zip(law, (0, 0.08, -0.08, 0.08, 0), strict=True)]
    bad = draw_curves(sizes, bent, AHEAD, draws=2000, seed=0)
    assert bad is None or np.abs(bad.misfit).max() > 5
