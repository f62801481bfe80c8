from __future__ import annotations

import json

import numpy as np
import pytest
from known_studies import study
from scipy import stats

from headstart.errors import DataError, SpecError
from headstart.evaluate.comparison.compare import Comparison, compare_runs, over_seeds
from headstart.evaluate.comparison.families import (
    Family,
    best_against_each,
    chances_of,
    of_run,
    stepped_down,
    with_one_answer,
)
from headstart.evaluate.comparison.sources import pairs_of, runs_of


def wrong_once(seeds: int, n: int, each: int) -> np.ndarray:
    """Return a run that errs once per seed, every time on another image."""
    scores = np.ones((seeds, n), dtype=bool)
    scores[np.arange(seeds), each + np.arange(seeds)] = False
    return scores


def shares(right: list[int], n: int, seed: int) -> np.ndarray:
    """Return one row a seed with so many right, on random images."""
    generator = np.random.default_rng(seed)
    return np.stack([generator.permutation(n) < count for count in right])


# Worked examples


def test_each_table_is_corrected_for_its_own_question() -> None:
    """Of twelve runs all pairs take the draws of the spreads in full; the best and the baseline, eased ones."""
    drawn = study(np.random.default_rng(6), [0.6] + [0.5] * 11, 2, 300, 0.3)
    found = compare_runs(drawn, baseline="run 11", draws=200, seed=3)
    names = [row["run"] for row in found["ranking"]]
    runs = runs_of(drawn, names, None, (), (0.0, 1.0))
    pairs = pairs_of(runs)
    one, every = chances_of(runs, pairs, 200, 3)

    def by_pair(family: Family) -> dict[tuple[str, str], float]:
        return {(names[pairs.a[k]], names[pairs.b[k]]): p for k, p in zip(family.pairs, family.p, strict=True)}

    facing = np.array(of_run(pairs, names.index("run 11")))
    lead, baseline = with_one_answer(best_against_each(one, pairs, 12, 0), stepped_down(one, pairs, facing))
    for table, expected in (
        ("pairwise", stepped_down(every, pairs, np.arange(66))),
        ("against_best", lead),
        ("against_baseline", baseline),
    ):
        assert {(row["a"], row["b"]): row["p_adjusted"] for row in found[table]} == by_pair(expected)  # type: ignore[literal-required]


def test_the_best_and_the_baseline_are_compared_with_one_answer() -> None:
    disagreed = 0
    for seed in range(2, 6):
        drawn = study(np.random.default_rng(seed), [0.66, 0.57, 0.56, 0.56, 0.55, 0.54, 0.53], 3, 300, 0.2)
        names = sorted(drawn, key=lambda run: -drawn[run].mean())
        found = compare_runs(drawn, baseline=names[1], draws=400, seed=seed)
        first = next(row for row in found["against_best"] if row["b"] == names[1])
        again = next(row for row in found["against_baseline"] if row["a"] == names[0])
        same = ("difference", "low", "high", "p", "p_adjusted", "significant", "category", "matters", "probability")
        assert [first[key] for key in same] == [again[key] for key in same]  # type: ignore[literal-required]
        state = next(row["state"] for row in found["ranking"] if row["run"] == names[1])
        assert (state == "behind") is first["significant"]
        runs = runs_of(drawn, [row["run"] for row in found["ranking"]], None, (), (0.0, 1.0))
        pairs = pairs_of(runs)
        one = chances_of(runs, pairs, 400, seed)[0]
        own = best_against_each(one, pairs, 7, 0), stepped_down(one, pairs, np.array(of_run(pairs, 1)))
        p = [float(family.p[family.pairs == of_run(pairs, 1)[0]][0]) for family in own]
        assert first["p_adjusted"] == max(p)
        disagreed += (p[0] <= 0.05) != (p[1] <= 0.05)
    assert disagreed  # the lists alone would contradict each other in some of these studies


def test_73_points_are_seen_with_three_seeds_and_240_images() -> None:
    found = compare_runs({"pretrained": np.ones((3, 240), dtype=bool), "pixels": shares([65] * 3, 240, 0)})
    row = found["against_best"][0]
    assert (row["a"], row["category"], row["matters"]) == ("pretrained", "better", "yes")
    assert 0 < row["p"] < 1e-4
    assert row["probability"] > 0.999
    assert 0.6 < row["low"] < 0.729 < row["high"] <= 1
    assert found["answer"].startswith("pretrained is best: 100.0 % (")


def test_a_baseline_of_54_percent_is_never_tied_with_94_percent_by_two_seeds() -> None:
    found = compare_runs({"base": shares([26, 26], 48, 1), "net": shares([45, 45], 48, 2)}, baseline="base")
    assert found["against_baseline"][0]["category"] == "better"
    behind = found["ranking"][1]
    assert (behind["run"], behind["state"], behind["tied_with_best"]) == ("base", "behind", False)
    assert found["safe"] == ["net"]
    turned = compare_runs({"base": shares([26, 26], 48, 1), "net": shares([45, 45], 48, 2)}, baseline="net")
    row = turned["against_baseline"][0]
    assert row == found["against_baseline"][0]  # the one that is ahead comes first, whichever is the baseline
    assert (row["a"], row["b"], row["category"]) == ("net", "base", "better")


def test_one_error_in_each_seed_is_no_evidence() -> None:
    found = compare_runs({"a": wrong_once(3, 50, 0), "b": np.ones((3, 50), dtype=bool)})
    row = found["pairwise"][0]
    assert row["difference"] == pytest.approx(0.02)
    assert row["p"] > 0.05
    assert row["category"] == "cannot tell"
    assert row["low"] < 0 < row["high"]


def test_equal_counts_in_all_seeds_never_give_a_p_of_zero() -> None:
    for n in (20, 50, 200):
        for wrong in range(4):
            a, b = np.ones((2, 3, n), dtype=bool)
            a[:, :wrong] = False
            row = compare_runs({"a": a, "b": b}, deterministic=["a", "b"])["pairwise"][0]
            assert row["p"] > 0.05
            assert row["low"] < row["high"]


def test_of_eleven_equal_runs_at_98_percent_a_winner_is_claimed_rarely() -> None:
    claimed = 0
    for each in range(40):
        drawn = study(np.random.default_rng([1, each]), [0.98] * 11, 3, 50, 0.05)
        found = compare_runs(drawn, draws=200)
        claimed += any(row["significant"] for row in found["against_best"] + found["pairwise"])
    assert claimed <= 3


# The simulation of benchmarks/verdict_simulation.py, in small


def counted(studies: int, means: list[float], seeds: int, n: int, spread: float) -> tuple[float, float, float]:
    """Return the share of studies with a false claim, of differences that were told, and of intervals that held."""
    false, told, held = 0, 0.0, 0.0
    for each in range(studies):
        drawn = study(np.random.default_rng([2, each]), means, seeds, n, spread)
        found = compare_runs(drawn, draws=200)
        truth = {f"run {k}": mean for k, mean in enumerate(means)}
        gaps = [(row, truth[row["a"]] - truth[row["b"]]) for row in found["pairwise"]]
        false += any(row["significant"] and row["difference"] * gap <= 0 for row, gap in gaps)
        told += np.mean([row["significant"] for row in found["against_best"]])
        held += np.mean([row["low"] <= gap <= row["high"] for row, gap in gaps])
    return false / studies, told / studies, held / studies


@pytest.mark.parametrize(("seeds", "n", "spread"), [(2, 1000, 0.3), (3, 300, 0.1), (10, 1000, 0.1)])
def test_equal_runs_are_rarely_said_to_differ_and_intervals_hold(seeds: int, n: int, spread: float) -> None:
    false, _, held = counted(50, [0.9] * 4, seeds, n, spread)
    assert false <= 0.11  # 5 %, and two standard errors of 50 studies
    assert held >= 0.93


def test_intervals_are_not_wider_than_they_need_be_where_seeds_and_images_are_many() -> None:
    _, _, held = counted(30, [0.9] * 4, 10, 1000, 0.2)
    assert held <= 0.985


def test_40_points_are_told_by_two_seeds_and_50_images() -> None:
    _, told, _ = counted(30, [0.9] + [0.5] * 9, 2, 50, 0.1)
    assert told >= 0.99


def test_10_points_are_told_by_three_seeds_and_200_images_about_as_often_as_can_be() -> None:
    _, told, _ = counted(30, [0.9] + [0.8] * 4, 3, 200, 0.1)
    assert told >= 0.9


# The answer as a whole


def three() -> tuple[dict[str, np.ndarray], Comparison]:
    runs = study(np.random.default_rng(8), [0.9, 0.9, 0.6], 5, 30_000, 0.0)
    runs["run 1"] = runs["run 0"] ^ (np.random.default_rng(9).random((5, 30_000)) < 0.001)
    return runs, compare_runs(runs, baseline="run 2", margin=0.02)


def test_a_tie_and_a_loser_are_told_and_the_result_is_plain_data() -> None:
    runs, found = three()
    assert [row["state"] for row in found["ranking"]] == ["best", "tied", "behind"]
    assert [row["tied_with_best"] for row in found["ranking"]] == [True, True, False]
    assert [row["letters"] for row in found["ranking"]] == ["a", "a", "b"]
    assert [row["within_margin"] for row in found["ranking"]] == [True, True, False]
    assert found["safe"] == [found["ranking"][0]["run"], found["ranking"][1]["run"]]
    assert [row["b"] for row in found["against_baseline"]] == ["run 2", "run 2"]
    assert all(row["significant"] and row["difference"] > 0.2 for row in found["against_baseline"])
    assert "tied with it: " in found["answer"]
    assert "a difference of more than 2 points is unlikely" in found["against_best"][0]["verdict"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert compare_runs(runs, baseline="run 2", margin=0.02) == found


def test_few_images_cannot_tell_and_say_what_would_settle_it() -> None:
    found = compare_runs(study(np.random.default_rng(3), [0.9, 0.8], 2, 60, 0.05))
    row = found["ranking"][1]
    assert (row["state"], row["tied_with_best"], row["within_margin"]) == ("cannot tell", False, False)
    assert found["against_best"][0]["verdict"].startswith("cannot tell yet whether ")
    assert found["against_best"][0]["verdict"].endswith(" would settle it")
    assert "cannot tell yet" in found["answer"]


def test_the_best_is_compared_with_each_in_the_order_of_the_ranking() -> None:
    found = compare_runs(study(np.random.default_rng(4), [0.9, 0.85, 0.8, 0.6], 2, 200, 0.1))
    assert [row["a"] for row in found["against_best"]] == [found["best"]] * 3
    assert [row["b"] for row in found["against_best"]] == [row["run"] for row in found["ranking"][1:]]
    assert len(found["pairwise"]) == 6
    for row in found["against_best"]:
        assert row["wide_low"] <= row["low"] <= row["difference"] <= row["high"] <= row["wide_high"]
        assert row["p"] <= row["p_adjusted"] <= 1


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize(("a", "b"), [(0, 4), (4, 4), (0, 0), (1, 2)])
def test_differences_stay_within_100_points_on_four_images(seeds: int, a: int, b: int) -> None:
    runs = {"a": np.tile(np.arange(4) < a, (seeds, 1)), "b": np.tile(np.arange(4) < b, (seeds, 1))}
    row = compare_runs(runs)["pairwise"][0]
    assert -1 <= row["low"] <= row["difference"] <= row["high"] <= 1
    assert -1 <= row["wide_low"] <= row["wide_high"] <= 1


def test_losses_rank_from_the_least() -> None:
    generator = np.random.default_rng(11)
    low = generator.exponential(size=(3, 400))
    runs = {"low": low, "high": low + 1 + generator.normal(size=(3, 400)) * 0.1}
    found = compare_runs(runs, baseline="low", higher_is_better=False)
    assert found["best"] == "low"
    row = found["pairwise"][0]
    assert (row["a"], row["category"]) == ("low", "better")
    assert row["low"] <= row["difference"] <= row["high"] < 0
    assert found["against_baseline"][0]["verdict"].startswith("low is better than high: -1")
    assert found["against_baseline"][0]["probability"] > 0.95


def test_a_loss_that_is_higher_by_the_same_on_every_image_has_no_p_of_zero() -> None:
    low = np.random.default_rng(12).exponential(size=(1, 30))
    row = compare_runs({"low": low, "high": low + 0.5}, higher_is_better=False)["pairwise"][0]
    assert row["p"] > 0


def test_one_run_alone_is_ranked_and_compared_with_nothing() -> None:
    found = compare_runs({"only": np.ones((1, 9), dtype=bool)})
    assert found["pairwise"] == found["against_best"] == []
    assert "nothing to compare" in found["answer"]
    assert "one seed only" in found["notes"][0]
    assert compare_runs({"only": np.ones((2, 9), dtype=bool)}, images=np.arange(18).reshape(2, 9))["pairwise"] == []


def test_scores_that_never_vary_are_compared_without_a_warning() -> None:
    runs = {"a": np.full((2, 3), 1.5), "b": np.full((2, 3), 1.5), "c": np.full((2, 3), 2.5)}
    for paired in (False, True):
        found = compare_runs(runs, higher_is_better=False, pair_seeds=paired)
        assert all(0 < row["p"] <= 1 for row in found["pairwise"])


def test_a_run_without_spread_counts_as_deterministic_only_where_that_is_declared() -> None:
    generator = np.random.default_rng(13)
    a, b = (np.tile(generator.random(1000) < share, (3, 1)) for share in (0.9, 0.86))
    free, fixed = compare_runs({"a": a, "b": b}), compare_runs({"a": a, "b": b}, deterministic=["a", "b"])
    assert "all seeds gave the same answers (a, b)" in free["notes"][0]
    assert fixed["notes"] == []
    assert fixed["pairwise"][0]["high"] - fixed["pairwise"][0]["low"] < 0.98 * (
        free["pairwise"][0]["high"] - free["pairwise"][0]["low"]
    )
    only_a, only_b = int((a[0] & ~b[0]).sum()), int((b[0] & ~a[0]).sum())
    exact = stats.binomtest(only_a, only_a + only_b).pvalue
    assert fixed["pairwise"][0]["p"] == pytest.approx(exact, rel=0.4)
    one = compare_runs({"a": a[:1], "b": b[:1]}, deterministic=["a", "b"])
    assert one["pairwise"][0]["p"] == pytest.approx(fixed["pairwise"][0]["p"], rel=0.02)


def test_seeds_that_share_their_training_images_are_paired() -> None:
    generator = np.random.default_rng(14)
    shots = generator.normal(size=(5, 1))
    runs = {name: generator.normal(size=(5, 200)) + shots + shift > 0 for name, shift in (("a", 0.9), ("b", 0.3))}
    apart, paired = compare_runs(runs), compare_runs(runs, pair_seeds=True)
    assert paired["pairwise"][0]["p"] < apart["pairwise"][0]["p"]
    own = compare_runs(runs, images=np.arange(1000).reshape(5, 200))
    assert own["pairwise"][0]["significant"]


def test_what_cannot_be_compared_is_refused() -> None:
    ones = np.ones((1, 9), dtype=bool)
    with pytest.raises(DataError, match="same test images"):
        compare_runs({"a": ones, "b": np.ones((1, 8), dtype=bool)})
    with pytest.raises(SpecError, match="did you mean 'scratch'"):
        compare_runs({"scratch": ones}, baseline="scrach")
    with pytest.raises(SpecError, match="did you mean 'scratch'"):
        compare_runs({"scratch": ones}, deterministic=["scrach"])
    with pytest.raises(DataError, match="declared deterministic, but"):
        compare_runs({"a": wrong_once(2, 9, 0)}, deterministic=["a"])
    with pytest.raises(SpecError, match=r"margin is -0\.1"):
        compare_runs({"a": ones}, margin=-0.1)
    with pytest.raises(DataError, match="no runs"):
        compare_runs({})


def test_mean_and_interval_over_seeds_are_students() -> None:
    values = [0.91, 0.93, 0.95]
    found = over_seeds(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert [found["mean"], found["sd"], found["low"], found["high"]] == pytest.approx([0.93, 0.02, low, high])
    assert over_seeds([0.9])["low"] is None
    inside = over_seeds([0.99, 0.7, 1.0], bounds=(0.0, 1.0))
    assert 0 < float(inside["low"] or 0) < 0.9 < float(inside["high"] or 2) <= 1


def test_refusals_of_other_images_and_other_seeds_are_whole_sentences() -> None:
    ones = np.ones((2, 9), dtype=bool)
    for runs, message in (
        ({"b": ones, "a": ones[:, :8]}, "these have a: 8, b: 9 images"),
        ({"a": ones[:, :0], "b": ones[:, :0].copy()}, "these have a: 0, b: 0 images"),
    ):
        with pytest.raises(DataError) as caught:
            compare_runs(runs)
        assert str(caught.value) == f"runs can be compared only on the same test images; {message}"
    unequal = {"a": ones, "b": ones[:1].copy()}
    for options in ({"pair_seeds": True}, {"images": np.arange(18).reshape(2, 9)}):
        with pytest.raises(
            DataError, match=r"^runs whose seeds belong together need the same seeds; compare those that"
        ):
            compare_runs(unequal, **options)  # type: ignore[arg-type]
    assert compare_runs(unequal)["best"] == "a"
    assert compare_runs({"a": ones[:, :1], "b": ~ones[:, :1]})["best"] == "a"


def test_the_margin_is_returned_and_two_seeds_of_the_same_answers_are_noted() -> None:
    scores = np.random.default_rng(0).random((1, 40)) < 0.8
    found = compare_runs({"a": np.tile(scores, (2, 1))}, margin=0.03)
    assert found["margin"] == 0.03
    assert found["notes"][0].startswith("all seeds gave the same answers (a)")


def test_a_perfect_score_that_rounding_missed_is_perfect() -> None:
    missed = np.full((2, 13), np.nextafter(1.0, 0.0))
    found = compare_runs({"missed": missed, "met": np.ones((2, 13))}, bounds=(0.0, 1.0))
    for row in found["ranking"]:
        assert row["mean"] == 1.0 and row["low"] > 0.6 and row["high"] == pytest.approx(1.0)
    assert found["pairwise"][0]["difference"] == 0.0


def test_runs_that_score_the_same_are_not_said_to_lead_each_other() -> None:
    right = np.random.default_rng(0).random((3, 50)) < 0.8
    said = compare_runs({"a": right, "b": right[:, ::-1].copy()})["answer"]
    assert said.startswith("a and b share the best score: ") and "whether a is better than b: +0.0 points" in said


def test_integers_0_and_1_are_right_or_wrong_and_other_integers_are_numbers() -> None:
    right = np.random.default_rng(0).random((2, 3, 60)) < 0.8
    truth = {"a": right[0], "b": right[1]}
    assert compare_runs({run: rows.astype(np.int64) for run, rows in truth.items()}) == compare_runs(truth)
    found = compare_runs({"a": right[0].astype(np.int64) * 5, "b": right[1] * 3.0})
    assert found["ranking"][0]["mean"] == pytest.approx(5 * right[0].mean())


def test_scores_that_are_not_numbers_are_refused_by_name() -> None:
    losses = np.random.default_rng(0).random((2, 2, 9))
    losses[1, 0, 3] = np.nan
    with pytest.raises(DataError, match="'b' has scores that are not finite numbers"):
        compare_runs({"a": losses[0], "b": losses[1]})


@pytest.mark.parametrize(("images", "seeds"), [(1, 1), (3, 1), (3, 2), (5, 2)])
def test_what_would_settle_a_question_of_very_few_images_does(images: int, seeds: int) -> None:
    def right(n: int) -> dict[str, np.ndarray]:
        return {"a": np.ones((seeds, n), dtype=bool), "b": np.zeros((seeds, n), dtype=bool)}

    needed = compare_runs(right(images))["against_best"][0]["needed"]
    assert needed is not None and needed["images"] is not None
    assert needed["seeds"] is None  # no number of seeds makes up for so few images
    assert compare_runs(right(needed["images"]))["against_best"][0]["significant"]
