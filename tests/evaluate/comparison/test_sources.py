from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headstart.evaluate.comparison.sources import Pairs, Runs, paired_pairs, pairs_of, runs_of, student


def pairs(a: np.ndarray, b: np.ndarray, fixed: bool = True) -> tuple[Runs, Pairs]:
    names = ["a", "b"]
    runs = runs_of({"a": a, "b": b}, names, None, names if fixed else (), (0.0, 1.0))
    return runs, pairs_of(runs)


def test_one_seed_gives_bonett_and_prices_interval_by_hand() -> None:
    a, b = np.array([[True] * 90 + [False] * 10]), np.array([[True] * 80 + [False] * 20])
    _, found = pairs(a, b)  # 10 images only a has right, 0 only b: 11 and 1 of 102
    middle = 10 / 102
    error = np.sqrt((12 / 102 - middle**2) / 102)
    assert found.centre[0] == pytest.approx(middle)
    assert found.scale[0] == pytest.approx(error)
    assert found.half_width()[0] == pytest.approx(1.96 * error, rel=0.03)  # t of 99 + some degrees of freedom


@pytest.mark.parametrize(("only_a", "only_b"), [(6, 0), (10, 0), (12, 1), (15, 3), (25, 9)])
def test_the_p_of_one_seed_is_close_to_the_exact_mcnemar_test(only_a: int, only_b: int) -> None:
    a, b = np.ones((2, 1, 200), dtype=bool)
    b[0, :only_a] = False
    a[0, only_a : only_a + only_b] = False
    _, found = pairs(a, b)
    exact = stats.binomtest(only_a, only_a + only_b).pvalue
    assert exact / 2.5 <= found.p_value()[0] <= 2.5 * exact


def test_runs_without_any_disagreement_have_an_interval_and_p_of_one() -> None:
    a = np.random.default_rng(0).random((1, 60)) < 0.8
    _, found = pairs(a, a.copy())
    assert found.p_value()[0] == pytest.approx(1.0)
    assert 0.02 < found.half_width()[0] < 0.1


def test_the_seeds_part_and_the_images_part_are_those_of_the_analysis_of_variance() -> None:
    generator = np.random.default_rng(1)
    scores = generator.normal(size=(4, 300)) + generator.normal(size=300) + generator.normal(size=(4, 1))
    runs = runs_of({"a": scores}, ["a"], None, (), None)
    rest = scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean()
    noise = (rest**2).sum() / (3 * 299) / 300
    assert runs.facts[0].variance == pytest.approx(scores.mean(1).var(ddof=1))
    assert runs.facts[0].noise == pytest.approx(noise, rel=0.1)  # half an image's worth is added
    assert runs.image_variance[0] == pytest.approx(scores.mean(0).var(ddof=1) / 300)


def test_images_named_one_by_one_give_the_same_parts_as_shared_images() -> None:
    generator = np.random.default_rng(2)
    scores = generator.normal(size=(3, 400)) + generator.normal(size=400)
    order = np.stack([np.random.default_rng(k).permutation(400) for k in range(3)])
    named = runs_of({"a": np.take_along_axis(scores, order, axis=1)}, ["a"], order, (), None)
    shared = runs_of({"a": scores}, ["a"], None, (), None)
    assert named.facts[0].noise == pytest.approx(shared.facts[0].noise, rel=0.05)
    assert named.image_variance[0] == pytest.approx(shared.image_variance[0], rel=0.05)


def test_pairing_takes_out_what_the_seeds_of_both_runs_share() -> None:
    generator = np.random.default_rng(3)
    sample = generator.normal(size=(5, 1)) * 0.5  # both runs learned from the same shots
    both = {
        name: generator.normal(size=(5, 400)) * 0.5 + sample + shift > 0 for name, shift in (("a", 0.6), ("b", 0.4))
    }
    runs = runs_of(both, ["a", "b"], None, (), (0.0, 1.0))
    assert paired_pairs(both, runs, None).scale[0] < 0.4 * pairs_of(runs).scale[0]


def test_one_repeat_of_four_folds_leaves_a_quarter_of_the_variance_of_one_training() -> None:
    both = {name: np.arange(400)[None] < right for name, right in (("a", 300), ("b", 340))}
    one, four = (runs_of(both, ["a", "b"], None, (), (0.0, 1.0), folds=folds) for folds in (1, 4))
    assert four.spread.expected() == pytest.approx(one.spread.expected() / 4, rel=0.1)
    differences = [paired_pairs(both, runs, None).seed_variance for runs in (one, four)]
    assert 0.2 < differences[1] / differences[0] < 0.4  # the grid has no room for the widest spreads of one training


@pytest.mark.parametrize("freedom", [5.0, 9.0, 40.0])
def test_the_t_is_students_where_the_variance_is_known_as_from_so_many_degrees_of_freedom(freedom: float) -> None:
    none = np.zeros(1)
    posterior = stats.invgamma(freedom / 2, scale=freedom / 2 * 0.03**2)  # of a variance, estimated as 0.03²
    scale, found = student(none, 100, np.array([posterior.mean()]), np.array([posterior.var()]))
    assert found[0] == pytest.approx(freedom)
    assert scale[0] == pytest.approx(0.03)
    scale, found = student(np.array([0.03**2]), 60, none, none)  # images alone: the textbook's t of one sample
    assert (scale[0], found[0]) == (pytest.approx(0.03), pytest.approx(59, abs=1e-3))


def test_freedom_has_a_limit_whatever_the_unit_of_the_scores() -> None:
    none = np.zeros(2)
    scale, freedom = student(none, 100, np.array([4e-4, 400.0]), none)
    assert freedom.tolist() == [1e6, 1e6]
    assert scale == pytest.approx([0.02, 20.0], rel=1e-5)
