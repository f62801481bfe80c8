from __future__ import annotations

import numpy as np
import pytest
from known_studies import study
from scipy import stats

from headstart.evaluate.comparison import families
from headstart.evaluate.comparison.families import (
    Chance,
    Family,
    best_against_each,
    chances_of,
    paired_chance,
    stepped_down,
    with_one_answer,
)
from headstart.evaluate.comparison.sources import Pairs, paired_pairs, pairs_of, runs_of

ALONE = 1.959964


def even(means: list[float], draws: int = 20_000) -> tuple[Chance, Pairs]:
    """Return runs with independent normal errors of variance 1/2, so that each difference has variance 1."""
    errors = np.random.default_rng(0).normal(size=(draws, len(means))) * np.sqrt(0.5)
    a, b = np.triu_indices(len(means), 1)
    gap = np.array(means)[a] - np.array(means)[b]
    one, none = np.ones(len(a)), np.zeros(len(a))
    pairs = Pairs(a, b, gap, gap, one, 1e6 * one, none, one, none)
    return Chance(errors, one, ALONE * one), pairs


def test_all_pairs_are_corrected_by_the_studentised_range() -> None:
    chance, pairs = even([3.0, 2.0, 1.0, 0.0])
    found = stepped_down(chance, pairs, np.arange(6))
    first = int(np.argmax(np.abs(pairs.centre)))
    assert found.p[first] == pytest.approx(stats.studentized_range.sf(3 * np.sqrt(2), 4, np.inf), abs=0.004)
    assert found.reach * ALONE == pytest.approx(stats.studentized_range.ppf(0.95, 4, np.inf) / np.sqrt(2), abs=0.03)


def test_the_baseline_is_corrected_by_dunnetts_test() -> None:
    chance, pairs = even([2.5, 0.3, 0.2, 0.0])
    chosen = np.array([0, 1, 2])  # the first run is the baseline here
    found = stepped_down(chance, pairs, chosen)
    reference = stats.dunnett(  # huge samples of known variance are the normal case
        *[stats.norm.ppf((np.arange(4000) + 0.5) / 4000) + m for m in (0.3 * 0.0224, 0.2 * 0.0224, 0.0)],
        control=stats.norm.ppf((np.arange(4000) + 0.5) / 4000) + 2.5 * 0.0224,
        random_state=np.random.default_rng(1),
    )
    assert found.p[2] == pytest.approx(float(reference.pvalue[2]), abs=0.006)


def test_the_best_is_corrected_for_having_been_picked_and_those_behind_leave() -> None:
    chance, pairs = even([5.0, 2.6, 0.0])
    found = best_against_each(chance, pairs, 3, 0)
    p = dict(zip(found.pairs.tolist(), found.p.tolist(), strict=True))
    assert p[1] < 0.001 + 3 * stats.studentized_range.sf(5 * np.sqrt(2), 3, np.inf)
    assert p[0] == pytest.approx(2 * stats.norm.sf(2.4), abs=0.003)  # only two are left by then


def test_families_grow_in_strictness_from_the_baseline_over_the_best_to_all_pairs() -> None:
    chance, pairs = even([2.2, 0.0, 0.0, 0.0, 0.0])
    facing = stepped_down(chance, pairs, np.arange(4)).p.max()
    best = best_against_each(chance, pairs, 5, 0).p.max()
    every = stepped_down(chance, pairs, np.arange(10)).p[:4].max()
    assert facing < best <= every + 0.003


def test_draws_vary_as_each_pair_says() -> None:
    drawn = study(np.random.default_rng(4), [0.9, 0.88, 0.7], 3, 400, 0.1)
    runs = runs_of(drawn, list(drawn), None, (), (0.0, 1.0))
    pairs = pairs_of(runs)
    one, every = chances_of(runs, pairs, 20_000, 0)
    np.testing.assert_array_equal(one.errors, every.errors)  # the runs are few
    for place in range(3):
        gap = one.errors[:, pairs.a[place]] - one.errors[:, pairs.b[place]]
        expected = pairs.image_variance[place] + pairs.seed_variance[place] / 3
        assert gap.var() == pytest.approx(expected, rel=0.15)


def test_one_seed_says_nothing_about_which_runs_fail_together_and_images_do() -> None:
    drawn = study(np.random.default_rng(4), [0.9, 0.88, 0.7], 1, 400, 0.1)
    runs = runs_of(drawn, list(drawn), None, (), (0.0, 1.0))
    pairs = paired_pairs(drawn, runs, None)
    rows = np.stack([scores.mean(axis=1) for scores in drawn.values()], axis=1)
    chance = paired_chance(runs, pairs, rows, 20_000, 0)
    for place, (a, b) in enumerate(zip(pairs.a, pairs.b, strict=True)):
        gap = chance.errors[:, a] - chance.errors[:, b]
        assert gap.var() == pytest.approx(pairs.image_variance[place], rel=0.15)
        assert chance.factor[place] * gap.std(ddof=1) == pytest.approx(pairs.scale[place])


def test_of_thirty_equal_runs_that_spread_widely_hardly_a_pair_is_said_to_differ() -> None:
    eased = whole = 0
    for each in range(60):
        drawn = study(np.random.default_rng([6, each]), [0.5] * 30, 2, 300, 0.3)
        runs = runs_of(drawn, list(drawn), None, (), (0.0, 1.0))
        pairs = pairs_of(runs)
        of_one, of_all = (
            stepped_down(chance, pairs, np.arange(len(pairs.a))).p.min() <= 0.05
            for chance in chances_of(runs, pairs, 300, each)
        )
        eased, whole = eased + of_one, whole + of_all
    assert whole <= 2  # 5 % of 60 are 3
    assert eased > whole  # the draws for questions about one run are too few exceptions for all pairs


def test_a_p_counts_the_observed_study_among_the_draws() -> None:
    chance, pairs = even([99.0, 0.0, -50.0], draws=99)
    assert best_against_each(chance, pairs, 3, 0).p == pytest.approx(0.01)  # none of 99 is as large: 1 of 100
    assert stepped_down(chance, pairs, np.array([0, 1])).p == pytest.approx(0.01)


def test_a_difference_counts_only_until_it_is_significant_itself() -> None:
    sizes = [[4, 0, 0], [0, 4, 0], [0, 0, 2], [6, 0, 0], [0, 0, 2], [0, 0, 2]]  # of three differences in six draws
    errors = np.column_stack([np.zeros(6), -np.array(sizes, dtype=float)])
    gap, one, none = np.array([3.0, 5.0, 1.0]), np.ones(3), np.zeros(3)
    a, b = np.zeros(3, dtype=np.int64), np.array([2, 1, 3])
    pairs = Pairs(a, b, gap, gap, 1e-9 * one, 1e6 * one, none, one, none)
    found = stepped_down(Chance(errors, one, one), pairs, np.arange(3))
    # 5: one draw has a larger of all three (6); 3: one of the last two (4); 1: three of the last alone (2)
    assert found.p == pytest.approx([2 / 7, 2 / 7, 4 / 7])


def test_draws_are_counted_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    chance, pairs = even([3.0, 2.0, 1.0, 0.0], draws=50)
    whole = stepped_down(chance, pairs, np.arange(6)), best_against_each(chance, pairs, 4, 0)
    monkeypatch.setattr(families, "_CELLS", 6 * 7)
    parts = stepped_down(chance, pairs, np.arange(6)), best_against_each(chance, pairs, 4, 0)
    for one, other in zip(whole, parts, strict=True):
        assert one.p.tolist() == other.p.tolist() and one.reach == other.reach


def test_a_pair_of_two_families_has_the_larger_p_in_both() -> None:
    one = Family(np.array([4, 1, 7]), np.array([0.04, 0.2, 0.01]), 1.2)
    other = Family(np.array([7, 2, 4]), np.array([0.03, 0.5, 0.01]), 1.1)
    found = with_one_answer(one, other)
    assert found[0].p.tolist() == [0.04, 0.2, 0.03] and found[1].p.tolist() == [0.03, 0.5, 0.04]
    assert [family.reach for family in found] == [1.2, 1.1]
    assert one.p.tolist() == [0.04, 0.2, 0.01]  # those given are not changed
    apart = Family(np.array([3]), np.array([0.5]), 1.0)
    assert [family.p.tolist() for family in with_one_answer(one, apart)] == [one.p.tolist(), [0.5]]
