from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headstart.evaluate.comparison.seed_spread import (
    SAMPLES,
    SEEDS,
    SeedFacts,
    of_folds,
    probit_slope,
    seed_spread,
)

SLOPE = 0.2


def facts(sd: float, seeds: int, noise: float = 0.0) -> SeedFacts:
    return SeedFacts(variance=sd**2 + noise, freedom=seeds - 1, noise=noise, slope=SLOPE)


def test_one_seed_leaves_the_prior_whose_median_is_that_of_recorded_runs() -> None:
    spread = seed_spread([facts(0.0, 1)])
    drawn = np.sqrt(spread.draw(4000, np.random.default_rng(0))[:, 0]) / SLOPE
    assert np.median(drawn) == pytest.approx(SEEDS[0], rel=0.1)
    assert 0.03 < np.quantile(drawn, 0.1) < 0.06
    assert 0.2 < np.quantile(drawn, 0.9) < 0.35


def test_a_repeat_of_four_folds_is_expected_to_spread_half_as_much_as_a_training() -> None:
    assert of_folds(SEEDS, 4) == (SEEDS[0] / 2, SEEDS[1])
    assert of_folds(SAMPLES, 1) == SAMPLES
    spread = seed_spread([facts(0.0, 1)], prior=of_folds(SEEDS, 4))
    drawn = np.sqrt(spread.draw(4000, np.random.default_rng(0))[:, 0]) / SLOPE
    assert np.median(drawn) == pytest.approx(SEEDS[0] / 2, rel=0.15)


def test_many_seeds_decide_by_themselves() -> None:
    for sd in (0.004, 0.02, 0.06):
        assert seed_spread([facts(sd, 200)]).expected()[0] == pytest.approx(sd**2, rel=0.1)


def test_two_seeds_that_happen_to_agree_are_drawn_towards_the_other_runs() -> None:
    others = [facts(0.03, 10) for _ in range(5)]
    alone = float(seed_spread([facts(0.0, 2, noise=1e-5)]).expected()[0])
    among = float(seed_spread([facts(0.0, 2, noise=1e-5), *others]).expected()[0])
    assert alone < among < 0.03**2 * 1.2
    assert among > 0.02**2


def test_a_noisy_run_is_not_taken_for_one_like_the_others() -> None:
    found = np.sqrt(seed_spread([facts(0.08, 5), *[facts(0.01, 5) for _ in range(9)]]).expected())
    assert found[0] > 0.06
    assert (found[1:] < 0.015).all()


def test_an_exception_is_noisy_beside_recorded_runs_and_not_only_beside_its_study() -> None:
    # Where all five runs spread by 0.136 probits, nothing is to be feared that no recorded run has shown ...
    noisy = seed_spread([facts(0.136 * SLOPE, 3)] * 5).draw(40_000, np.random.default_rng(0))[:, 0]
    assert (np.sqrt(noisy) / SLOPE > 0.3).mean() < 0.01
    # ... but among ten that spread by 0.03, one whose three seeds agree by chance may yet be one of 0.1 and more.
    quiet = seed_spread([facts(0.03 * SLOPE, 3)] * 10).draw(40_000, np.random.default_rng(0))[:, 0]
    assert (np.sqrt(quiet) / SLOPE > 0.1).mean() > 0.0025


def test_five_runs_that_are_alike_have_the_spread_that_all_their_seeds_show() -> None:
    found = seed_spread([facts(0.136 * SLOPE, 3)] * 5).expected()
    assert np.sqrt(found) / SLOPE == pytest.approx([0.136] * 5, rel=0.12)


def test_chance_on_few_images_is_not_taken_for_a_spread_of_seeds() -> None:
    found = seed_spread([facts(0.0, 10, noise=0.02**2)] * 5).expected()
    assert (np.sqrt(found) < 0.011).all()
    assert (np.sqrt(seed_spread([facts(0.02, 10)] * 5).expected()) > 0.018).all()


def test_a_deterministic_run_has_no_spread_and_says_nothing_about_the_others() -> None:
    fixed = SeedFacts(variance=0.0, freedom=4, noise=0.0, slope=SLOPE, deterministic=True)
    both = seed_spread([fixed, facts(0.03, 3)])
    assert both.expected()[0] == 0.0
    assert both.expected()[1] == pytest.approx(seed_spread([facts(0.03, 3)]).expected()[0])
    assert (both.draw(50, np.random.default_rng(1))[:, 0] == 0).all()


def test_draws_have_the_mean_and_the_covariance_that_are_given_for_them() -> None:
    spread = seed_spread([facts(0.03, 3), facts(0.02, 2), facts(0.05, 5)])
    drawn = spread.draw(60_000, np.random.default_rng(2))
    assert drawn.mean(axis=0) == pytest.approx(spread.expected(), rel=0.05)
    assert np.cov(drawn, rowvar=False)[0, 2] == pytest.approx(spread.covariance()[0, 2], rel=0.3)
    assert drawn[:, 1].std() == pytest.approx(np.sqrt(spread.covariance()[1, 1]), rel=0.15)


def test_draws_are_mixed_with_their_expectation_in_proportion_to_the_runs_beyond_six() -> None:
    six, twelve = (seed_spread([facts(0.03, 3)] * runs) for runs in (6, 12))
    drawn = six.draw(10, np.random.default_rng(3))
    np.testing.assert_array_equal(six.eased(drawn), drawn)
    drawn = twelve.draw(10, np.random.default_rng(3))
    np.testing.assert_allclose(twelve.eased(drawn), (drawn + twelve.expected()) / 2)


def test_what_is_not_independent_counts_less_towards_the_typical_spread() -> None:
    many = [facts(0.06, 4)] * 10
    unknown = facts(0.0, 1)
    full, half, alone = (float(seed_spread([unknown, *many], weight).expected()[0]) for weight in (1.0, 0.2, 0.0))
    assert alone < half < full


def test_the_slope_is_the_density_of_the_normal_and_never_zero() -> None:
    assert probit_slope(0.9, 10**9) == pytest.approx(stats.norm.pdf(stats.norm.ppf(0.9)))
    assert probit_slope(1.0, 50) == pytest.approx(stats.norm.pdf(stats.norm.ppf(50.5 / 51)))
