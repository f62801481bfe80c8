"""Intervals of few-shot results. Half of the simulated coverages run each time, all of them in `.ci/run thorough`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from headstart.errors import DataError
from headstart.fewshot.beta_binomial import accuracy_bounds
from headstart.fewshot.episodes import sample_episodes
from headstart.fewshot.intervals import (
    class_difference_interval,
    class_interval,
    difference_interval,
    episode_interval,
)
from headstart.fewshot.scores import evaluate_episodes

GENERATOR = np.random.default_rng(0)


def coverage(intervals: list[tuple[float, float]], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


def test_episode_interval_is_the_normal_one_for_many_episodes() -> None:
    accuracy = (GENERATOR.binomial(75, 0.8, 4000) / 75).astype(np.float32)
    found = episode_interval(accuracy, 75)
    half = 1.96 * accuracy.std() / np.sqrt(4000)
    assert found.mean == pytest.approx(accuracy.mean(), abs=1e-6)
    assert found.low == pytest.approx(accuracy.mean() - half, rel=2e-4)
    assert found.high == pytest.approx(accuracy.mean() + half, rel=2e-4)
    assert episode_interval(accuracy, 75) == found


def test_interval_of_five_tries_is_the_beta_binomial_posteriors() -> None:
    tries = np.array([69, 65, 65, 56, 64], dtype=np.float32) / 100
    found = episode_interval(tries, 100)
    assert (found.low, found.high) == accuracy_bounds(np.array([69, 65, 65, 56, 64]), 100)
    assert (found.low, found.high) == pytest.approx((0.565, 0.702), abs=2e-3)
    assert (found.mean, found.over, found.n) == (pytest.approx(0.638), "episodes", 5)


def test_the_difference_of_five_tries_has_students_interval() -> None:
    gaps = np.array([0.04, 0.01, -0.01, 0.03, 0.02])
    found = difference_interval(gaps, 75)
    low, high = stats.t.interval(0.95, 4, loc=gaps.mean(), scale=stats.sem(gaps))
    assert (found.mean, found.low, found.high) == pytest.approx((gaps.mean(), low, high), abs=1e-6)


def test_the_difference_of_thirty_tries_or_more_has_the_bootstraps() -> None:
    gaps = np.random.default_rng(0).integers(-5, 9, 400) / 75
    found = difference_interval(gaps, 75)
    half = 1.96 * gaps.std() / 20
    assert (found.low, found.high) == pytest.approx((gaps.mean() - half, gaps.mean() + half), abs=0.1 * half)


@pytest.mark.parametrize("episodes", [2, 5, 29, 30, 600])
def test_no_difference_in_any_episode_leaves_open_what_so_many_can_have_missed(episodes: int) -> None:
    found = difference_interval(np.zeros(episodes), 75)
    missed = 1 - accuracy_bounds(np.full(episodes, 75), 75)[0]
    assert (found.mean, found.low, found.high) == (0.0, pytest.approx(-missed), pytest.approx(missed))
    # Between the rule of three for queries that are independent and the one for episodes that err as a whole.
    assert 3 / (75 * episodes) < missed < 1 - 0.05 ** (1 / episodes)


def test_one_query_of_hundreds_of_episodes_does_not_show_the_spread() -> None:
    gaps = np.zeros(300)
    gaps[0] = 1 / 75
    found = difference_interval(gaps, 75)
    assert found.low < -4e-4 and found.high > 4e-4
    gaps[:5] = 1 / 75  # five do: the bootstrap takes over
    assert difference_interval(gaps, 75).low > 0


@pytest.mark.parametrize(("episodes", "rare"), [(2, 1e-3), (5, 1e-3), (20, 3e-4), (100, 1e-4), (600, 1e-5)])
def test_intervals_of_rare_differences_cover_the_truth(episodes: int, rare: float) -> None:
    # Only the first method is right on a share of the queries, 1.5 times as many in an episode that is hard.
    generator = np.random.default_rng(episodes)
    found = []
    for _ in range(300):
        hard = generator.choice([0.5, 1.5], episodes)
        gap = generator.binomial(75, rare * hard) / 75
        interval = difference_interval(gap, 75)
        found.append((interval.low, interval.high))
    assert coverage(found, rare) >= 0.93


def test_a_difference_stays_inside_minus_1_to_1() -> None:
    found = difference_interval(np.array([0.4, 0.9]), 20)
    assert (found.low, found.high) == (-1.0, 1.0)
    chosen = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2], [1, 3]])
    elsewhere = class_difference_interval(np.array([0.9, -0.8, 0.9, -0.9, 0.9, -0.9]), chosen)
    assert elsewhere is not None
    assert elsewhere.low == -1.0
    assert elsewhere.high == 1.0


@pytest.mark.parametrize("interval", [episode_interval, difference_interval])
def test_one_episode_has_no_interval(interval: Callable[[np.ndarray, int], object]) -> None:
    with pytest.raises(DataError, match="1 episode"):
        interval(np.array([0.5], dtype=np.float32), 20)


@pytest.mark.long
@pytest.mark.parametrize(
    ("episodes", "mean", "concentration"),
    [
        (2, 0.8, 15),
        pytest.param(3, 0.95, 60, marks=pytest.mark.slow),
        (5, 0.7, 15),
        pytest.param(5, 0.99, 60, marks=pytest.mark.slow),
        (20, 0.9, 15),
        pytest.param(20, 0.99, 60, marks=pytest.mark.slow),
        pytest.param(40, 0.9, 15, marks=pytest.mark.slow),
        (100, 0.97, 15),
        pytest.param(200, 0.9, 15, marks=pytest.mark.slow),
        pytest.param(500, 0.97, 15, marks=pytest.mark.slow),
    ],
)
def test_episode_intervals_cover_the_known_truth(episodes: int, mean: float, concentration: float) -> None:
    # An episode: its own difficulty from a known distribution (skewed near 1), then 75 queries.
    generator = np.random.default_rng(episodes)
    found = []
    for _ in range(150):
        difficulty = generator.beta(concentration * mean, concentration * (1 - mean), episodes)
        accuracy = (generator.binomial(75, difficulty) / 75).astype(np.float32)
        interval = episode_interval(accuracy, 75)
        assert 0 <= interval.low <= interval.mean <= interval.high <= 1
        found.append((interval.low, interval.high))
    assert 0.92 <= coverage(found, mean) <= 0.985


def test_equal_episodes_are_not_certainty_however_many() -> None:
    found = episode_interval(np.ones(1000, dtype=np.float32), 75)
    assert 0.999 < found.low < 1.0 == found.high


def class_experiment(generator: np.random.Generator, classes: int, episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Episodes of 5 of so many classes: each class has its own difficulty, each pair its own confusion."""
    easy = generator.normal(0.0, 0.05, classes)
    pairs = generator.normal(0.0, 0.02, (classes, classes))
    pairs = np.triu(pairs, 1)
    chosen = np.argsort(generator.random((episodes, classes)), axis=1)[:, :5]
    level = 0.8 + easy[chosen].mean(axis=1)
    for a in range(5):
        for b in range(a + 1, 5):
            level += (pairs + pairs.T)[chosen[:, a], chosen[:, b]] / 10
    accuracy = generator.binomial(75, np.clip(level, 0, 1)) / 75
    return accuracy.astype(np.float32), chosen


@pytest.mark.long
@pytest.mark.parametrize(
    ("classes", "episodes"), [(8, 300), (60, 600), *(pytest.param(20, n, marks=pytest.mark.slow) for n in (300, 3000))]
)
def test_class_intervals_cover_the_truth_of_new_classes(classes: int, episodes: int) -> None:
    generator = np.random.default_rng(classes)
    found = []
    for _ in range(600):
        interval = class_interval(*class_experiment(generator, classes, episodes))
        assert interval is not None
        found.append((interval.low, interval.high))
    assert 0.93 <= coverage(found, 0.8) <= 0.975


def test_class_intervals_stay_inside_0_to_1() -> None:
    chosen = np.argsort(np.random.default_rng(0).random((40, 8)), axis=1)[:, :5]
    accuracy = np.where((chosen == 3).any(axis=1), 0.88, 1.0)
    found = class_interval(accuracy, chosen)
    assert found is not None
    assert 0 < found.low < found.mean < found.high < 1
    assert (found.over, found.n) == ("classes", 8)


def test_class_interval_is_that_of_a_jackknife_worked_out_by_hand() -> None:
    # Two ways of four classes, each pair once or twice; the noise of episodes is small beside that of classes.
    chosen = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2], [1, 3]])
    accuracy = np.array([0.9, 0.8, 0.5, 0.6, 0.7, 0.7])
    without = np.array([accuracy[(chosen != c).all(axis=1)].mean() for c in range(4)])
    variance = 3 / 4 * ((without - without.mean()) ** 2).sum()
    noise = accuracy.var(ddof=1) / 6
    own = max(variance - noise * 3 * 2 / 2 + noise, noise, variance / 4)
    freedom = 3 * min(1, own / variance)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(own)
    difference = class_difference_interval(accuracy, chosen)
    assert difference is not None
    assert (difference.low, difference.high) == pytest.approx((0.7 - half, min(0.7 + half, 1)))
    found = class_interval(accuracy, chosen)
    assert found is not None
    odds = np.log(0.7 / 0.3) + np.array([-1, 1]) * half / 0.21
    assert (found.low, found.high) == pytest.approx(tuple(1 / (1 + np.exp(-odds))))


def test_episodes_that_are_all_alike_say_nothing_of_new_classes() -> None:
    chosen = np.argsort(np.random.default_rng(0).random((40, 8)), axis=1)[:, :5]
    assert class_interval(np.full(40, 0.8), chosen) is None
    assert class_interval(np.ones(40), chosen) is None
    assert class_difference_interval(np.zeros(40), chosen) is None


def test_episodes_alone_say_too_much_about_new_classes() -> None:
    generator = np.random.default_rng(1)
    found = [episode_interval(class_experiment(generator, 20, 2000)[0], 75) for _ in range(60)]
    assert coverage([(i.low, i.high) for i in found], 0.8) < 0.6


@pytest.mark.slow
def test_intervals_cover_the_truth_of_real_prototype_episodes() -> None:
    """The whole way: Gaussian classes of random difficulty, images, episodes, nearest prototypes, 1,000 times."""

    def world(generator: np.random.Generator, classes: int, images: int) -> tuple[np.ndarray, np.ndarray]:
        centres = 0.8 * generator.standard_normal((classes, 1, 16))
        spread = np.exp(0.5 * generator.standard_normal((classes, 1, 1)))
        x = centres + spread * generator.standard_normal((classes, images, 16))
        return x.reshape(-1, 16).astype(np.float32), np.repeat(np.arange(classes), images)

    def judged(x: np.ndarray, y: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        scores = evaluate_episodes(x, sample_episodes(y, 5, 5, 15, count, seed), ["prototypes"])["prototypes"]
        return scores.accuracy, scores.classes

    generator = np.random.default_rng(11)
    truth = float(np.mean([judged(*world(generator, 800, 20), 4000, k)[0].mean() for k in range(100)]))
    fixed = world(generator, 20, 40)
    fixed_truth = float(judged(*fixed, 400_000, 10_000)[0].mean())
    new, same = [], []
    for k in range(1000):
        interval = class_interval(*judged(*world(generator, 20, 40), 300, k))
        assert interval is not None
        new.append((interval.low, interval.high))
        here = episode_interval(judged(*fixed, 300, k)[0], 75)
        same.append((here.low, here.high))
    assert 0.93 <= coverage(same, fixed_truth) <= 0.97
    assert 0.93 <= coverage(new, truth) <= 0.97


def test_no_interval_over_classes_that_are_always_there() -> None:
    accuracy = GENERATOR.random(50).astype(np.float32)
    assert class_interval(accuracy, np.tile(np.arange(5), (50, 1))) is None
