from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headstart.errors import DataError
from headstart.fewshot.episodes import sample_episodes
from headstart.fewshot.intervals import class_interval, compare_pairs, episode_interval
from headstart.fewshot.scores import evaluate_episodes

GENERATOR = np.random.default_rng(0)


def coverage(intervals: list[tuple[float, float]], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


def test_episode_interval_is_the_normal_one_for_many_episodes() -> None:
    accuracy = (GENERATOR.binomial(75, 0.8, 4000) / 75).astype(np.float32)
    found = episode_interval(accuracy)
    half = 1.96 * accuracy.std() / np.sqrt(4000)
    assert found.mean == pytest.approx(accuracy.mean(), abs=1e-6)
    assert found.low == pytest.approx(accuracy.mean() - half, rel=2e-4)
    assert found.high == pytest.approx(accuracy.mean() + half, rel=2e-4)
    assert episode_interval(accuracy) == found


def test_interval_of_five_tries_is_students() -> None:
    tries = np.array([69, 65, 65, 56, 64], dtype=np.float32) / 100
    found = episode_interval(tries)
    low, high = stats.t.interval(0.95, 4, loc=tries.mean(), scale=stats.sem(tries))
    assert (found.mean, found.low, found.high) == pytest.approx((tries.mean(), low, high), abs=1e-6)


def test_one_episode_has_no_interval() -> None:
    with pytest.raises(DataError, match="1 episode"):
        episode_interval(np.array([0.5], dtype=np.float32))


@pytest.mark.parametrize(
    ("episodes", "mean"), [(5, 0.7), (20, 0.9), (40, 0.9), pytest.param(200, 0.9, marks=pytest.mark.slow)]
)
def test_episode_intervals_cover_the_known_truth_93_to_97_percent_of_the_time(episodes: int, mean: float) -> None:
    # An episode: its own difficulty from a known distribution (skewed near 1), then 75 queries.
    generator = np.random.default_rng(episodes)
    found = []
    for _ in range(1000):
        difficulty = generator.beta(15 * mean, 15 * (1 - mean), episodes)
        accuracy = (generator.binomial(75, difficulty) / 75).astype(np.float32)
        interval = episode_interval(accuracy)
        found.append((interval.low, interval.high))
    assert 0.93 <= coverage(found, mean) <= 0.97


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


@pytest.mark.parametrize(("classes", "episodes"), [(8, 300), (20, 300), (20, 3000), (60, 600)])
def test_class_intervals_cover_the_truth_of_new_classes_93_to_97_percent_of_the_time(
    classes: int, episodes: int
) -> None:
    generator = np.random.default_rng(classes)
    found = []
    for _ in range(1000):
        interval = class_interval(*class_experiment(generator, classes, episodes))
        assert interval is not None
        found.append((interval.low, interval.high))
    assert 0.93 <= coverage(found, 0.8) <= 0.97


def test_episodes_alone_say_too_much_about_new_classes() -> None:
    generator = np.random.default_rng(1)
    found = [episode_interval(class_experiment(generator, 20, 2000)[0]) for _ in range(60)]
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
        here = episode_interval(judged(*fixed, 300, k)[0])
        same.append((here.low, here.high))
    assert 0.93 <= coverage(same, fixed_truth) <= 0.97
    assert 0.93 <= coverage(new, truth) <= 0.97


def test_no_interval_over_classes_that_are_always_there() -> None:
    accuracy = GENERATOR.random(50).astype(np.float32)
    assert class_interval(accuracy, np.tile(np.arange(5), (50, 1))) is None


def test_paired_comparison_finds_a_small_difference_and_no_false_one() -> None:
    base, chosen = class_experiment(np.random.default_rng(3), 40, 4000)
    noise = np.random.default_rng(4).integers(-2, 3, (2, 4000)) / 75
    pairs = compare_pairs(
        {
            "a": base,
            "b": (base + 0.003 + noise[0]).astype(np.float32),
            "c": (base + noise[1] - noise[1].mean()).astype(np.float32),
        },
        chosen,
    )
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs[0].p < 0.01
    assert pairs[0].verdict.startswith("b is better than a by 0.3")
    assert pairs[0].difference.low < -0.003 < pairs[0].difference.high
    assert pairs[1].verdict == "no evidence of a difference between a and c"
    assert pairs[1].p == pytest.approx(1.0, abs=1e-3)


def test_a_method_does_not_differ_from_itself() -> None:
    accuracy, chosen = class_experiment(np.random.default_rng(3), 20, 100)
    (pair,) = compare_pairs({"a": accuracy, "b": accuracy.copy()}, chosen)
    assert (pair.p, pair.difference.low, pair.difference.high) == (1.0, 0.0, 0.0)


def test_holm_correction_by_hand() -> None:
    generator = np.random.default_rng(8)
    base = generator.random(500)
    shifted = {str(k): (base + shift + generator.normal(0, 0.05, 500)) for k, shift in enumerate((0, 0.004, 0.006))}
    chosen = np.argsort(generator.random((500, 9)), axis=1)[:, :3]
    pairs = compare_pairs(shifted, chosen)
    raw = [stats.ttest_rel(shifted[pair.first], shifted[pair.second]).pvalue for pair in pairs]
    smallest, middle, largest = np.argsort(raw)
    assert pairs[smallest].p == pytest.approx(min(1, 3 * raw[smallest]))
    assert pairs[middle].p == pytest.approx(min(1, max(3 * raw[smallest], 2 * raw[middle])))
    assert pairs[largest].p == pytest.approx(min(1, max(pairs[middle].p, raw[largest])))
