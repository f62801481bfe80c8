from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headstart.fewshot.comparisons import compare_pairs
from tests.fewshot.test_intervals import class_experiment


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
    assert pairs[0].category == "worse"
    assert pairs[0].verdict.startswith("b is better than a: +0.3 points (+")
    assert "less than 1 point, so it hardly matters" in pairs[0].verdict
    assert pairs[0].difference.low < -0.003 < pairs[0].difference.high
    assert pairs[1].category == "tied"
    assert pairs[1].verdict.startswith("a and c are tied: ")
    assert pairs[1].verdict.endswith("a difference of more than 1 point is unlikely")
    assert pairs[1].p == pytest.approx(1.0, abs=1e-3)


def test_a_method_does_not_differ_from_itself() -> None:
    accuracy, chosen = class_experiment(np.random.default_rng(3), 20, 100)
    (pair,) = compare_pairs({"a": accuracy, "b": accuracy.copy()}, chosen)
    assert (pair.p, pair.difference.low, pair.difference.high) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize(("episodes", "p"), [(2, 0.5), (5, 2 / 32), (8, 2 / 256)])
def test_equal_differences_in_every_episode_are_judged_by_the_sign_test(episodes: int, p: float) -> None:
    chosen = np.tile(np.arange(3), (episodes, 1))
    (pair,) = compare_pairs({"a": np.full(episodes, 0.9), "b": np.full(episodes, 0.5)}, chosen)
    assert pair.p == pytest.approx(p)
    start = "a is better than b: +40.0 points (+40.0 to +40.0); more than 1 point, so it matters"
    assert pair.verdict.startswith(start if p < 0.05 else "cannot tell yet whether a is better than b: +40.0 points")


def test_the_verdict_says_whether_a_difference_holds_for_new_classes() -> None:
    generator = np.random.default_rng(5)
    chosen = np.argsort(generator.random((4000, 12)), axis=1)[:, :5]
    base = generator.binomial(75, 0.8, 4000) / 75
    one_class = base - 0.05 * (chosen == 3).any(axis=1)  # the second is worse on a single class
    pairs = compare_pairs({"a": base, "b": base - 0.02 - 0.004 * generator.random(4000), "c": one_class}, chosen)
    assert pairs[0].verdict.endswith("; on these classes, and it holds for new classes")
    assert pairs[1].verdict.endswith("; on these classes, for new ones it is uncertain")


def independent(generator: np.random.Generator, methods: int, episodes: int) -> dict[str, np.ndarray]:
    return {str(k): 0.8 + 0.05 * generator.standard_normal(episodes) for k in range(methods)}


def test_two_methods_are_judged_by_the_paired_t_test() -> None:
    scores = independent(np.random.default_rng(1), 2, 60)
    (pair,) = compare_pairs(scores, np.tile(np.arange(3), (60, 1)))
    assert pair.p == pytest.approx(stats.ttest_rel(scores["0"], scores["1"]).pvalue)


def test_the_correction_of_the_largest_difference_is_tukeys_where_methods_are_independent() -> None:
    scores = independent(np.random.default_rng(2), 4, 400)
    scores["0"] += 0.008
    pairs = compare_pairs(scores, np.tile(np.arange(3), (400, 1)))
    alone = [stats.ttest_rel(scores[pair.first], scores[pair.second]) for pair in pairs]
    largest = int(np.argmax([abs(each.statistic) for each in alone]))
    expected = stats.studentized_range.sf(abs(alone[largest].statistic) * 2**0.5, 4, 399)
    assert 0.01 < expected < 0.2
    assert pairs[largest].p == pytest.approx(expected, abs=0.015)
    assert pairs[largest].p < 6 * alone[largest].pvalue  # Bonferroni is stricter


def test_a_difference_that_was_claimed_no_longer_counts_for_the_others() -> None:
    scores = independent(np.random.default_rng(2), 3, 400)
    scores["0"] += 0.2  # far away: what is left is one pair
    pairs = compare_pairs(scores, np.tile(np.arange(3), (400, 1)))
    assert pairs[0].p < 0.001 and pairs[1].p < 0.001
    assert pairs[2].p == pytest.approx(stats.ttest_rel(scores["1"], scores["2"]).pvalue, abs=0.015)


@pytest.mark.parametrize(("times", "few", "many"), [(100, 1, 10), pytest.param(300, 6, 24, marks=pytest.mark.slow)])
def test_false_claims_among_equal_methods_are_as_rare_as_wanted(times: int, few: int, many: int) -> None:
    wrong = 0
    for each in range(times):
        generator = np.random.default_rng([4, each])
        difficulty = 0.1 * generator.standard_normal(40)
        scores = {name: gap + difficulty for name, gap in independent(generator, 5, 40).items()}
        wrong += any(pair.category in ("better", "worse") for pair in compare_pairs(scores, np.zeros((40, 3), int)))
    assert few <= wrong <= many  # 5 % are wanted; without the correction it is a quarter


def test_too_few_episodes_cannot_tell_and_say_how_many_would() -> None:
    scores = {"a": np.array([0.9, 0.8, 0.7, 0.9]), "b": np.array([0.7, 0.8, 0.6, 0.9])}
    (pair,) = compare_pairs(scores, np.tile(np.arange(3), (4, 1)))
    gap = scores["a"] - scores["b"]
    needed = (gap.std(ddof=1) * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / gap.mean()) ** 2
    assert pair.category == "cannot tell"
    assert pair.verdict.endswith(f"; about {int(np.ceil(needed))} episodes would settle it")
    wide = compare_pairs(scores, np.tile(np.arange(3), (4, 1)), margin=0.5)[0]
    assert wide.category == "tied" and "50 points" in wide.verdict
