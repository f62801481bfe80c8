from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from scipy import special, stats

from headstart.errors import DataError, SpecError
from headstart.evaluate.comparison.compare import compare_runs, over_seeds, over_seeds_and_images
from headstart.evaluate.comparison.multiple_testing import compact_letters, holm
from headstart.evaluate.comparison.paired_tests import bootstrap_p, difference_interval, mcnemar, resampled_means
from headstart.evaluate.comparison.variance_components import Spread, spread_of, spread_of_difference

IMAGE, OWN, REST = 2.0, 0.5, 0.7  # how much images, a run's view of an image, and chance vary, in probits


def experiment(
    generator: np.random.Generator, means: list[float], seeds: int, n: int, seed_sd: float
) -> dict[str, np.ndarray]:
    """Draw right or wrong for runs with known true accuracies on shared images."""
    total = np.sqrt(IMAGE**2 + OWN**2 + REST**2 + seed_sd**2)
    images = generator.normal(size=n) * IMAGE
    found = {}
    for place, mean in enumerate(means):
        own = generator.normal(size=n) * OWN
        noise = generator.normal(size=(seeds, 1)) * seed_sd + generator.normal(size=(seeds, n)) * REST
        found[f"run {place}"] = special.ndtri(mean) * total + images + own + noise > 0
    return found


def test_mean_and_interval_over_seeds_are_students() -> None:
    values = [0.91, 0.93, 0.95]
    found = over_seeds(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert [found["mean"], found["sd"], found["low"], found["high"]] == pytest.approx([0.93, 0.02, low, high])
    assert over_seeds([0.9])["low"] is None


def test_variance_is_split_as_in_the_analysis_of_variance() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 30)) + np.arange(30) / 10
    seeds, n = scores.shape
    grand, by_seed, by_image = scores.mean(), scores.mean(1), scores.mean(0)
    ms_seed = n * ((by_seed - grand) ** 2).sum() / (seeds - 1)
    ms_image = seeds * ((by_image - grand) ** 2).sum() / (n - 1)
    rest = ((scores - by_seed[:, None] - by_image + grand) ** 2).sum() / (seeds - 1) / (n - 1)
    found = spread_of(scores)
    assert found.seed_variance == pytest.approx(ms_seed / (n * seeds))
    assert found.image_variance == pytest.approx((ms_image - rest) / (n * seeds))


def test_images_named_one_by_one_give_the_same_split_as_shared_images() -> None:
    scores = np.random.default_rng(1).normal(size=(3, 400)) + np.random.default_rng(2).normal(size=400)
    shuffled = np.stack([np.random.default_rng(k).permutation(400) for k in range(3)])
    named = spread_of(np.take_along_axis(scores, shuffled, axis=1), shuffled)
    assert named.seed_variance == pytest.approx(spread_of(scores).seed_variance)
    assert named.image_variance == pytest.approx(spread_of(scores).image_variance, rel=0.01)


def test_one_seed_on_all_images_has_the_textbook_error() -> None:
    scores = np.random.default_rng(3).normal(size=(1, 50))
    assert spread_of(scores).error == pytest.approx(stats.sem(scores[0]))


def test_the_tail_is_students_where_only_seeds_vary_and_normal_where_only_images_do() -> None:
    assert Spread(0.0, 1.0, 2, 0.0, 9).tail(4.302653) == pytest.approx(0.05, abs=1e-6)
    assert Spread(0.0, 1.0, 4, 0.0, 9).tail(20.0) == pytest.approx(2 * stats.t.sf(20.0, 4), rel=1e-6)
    assert Spread(0.0, 0.0, 0, 1.0, 9).tail(1.959964) == pytest.approx(0.05, abs=1e-6)
    assert Spread(0.0, 1.0, 2, 0.0, 9).half_width() == pytest.approx(4.302653, abs=1e-4)
    mixed = Spread(0.0, 0.3, 2, 0.7, 10**9)
    draws = np.random.default_rng(4)
    sample = np.sqrt(0.3) * draws.standard_t(2, 400_000) + np.sqrt(0.7) * draws.normal(size=400_000)
    behrens_fisher = (np.abs(sample) > 2.5).mean()
    satterthwaite = 2 * stats.t.sf(2.5, 1 / (0.3**2 / 2))
    assert mixed.tail(2.5) == pytest.approx(0.4 * behrens_fisher + 0.6 * satterthwaite, abs=0.001)


def test_mcnemar_is_the_exact_binomial_test_on_the_images_they_disagree_on() -> None:
    generator = np.random.default_rng(5)
    a, b = generator.random((2, 80)) < 0.7
    few, many = int((a & ~b).sum()), int((b & ~a).sum())
    assert mcnemar(a, b) == pytest.approx(stats.binomtest(few, few + many).pvalue)
    assert mcnemar(a, a.copy()) == 1.0


def test_interval_of_a_difference_by_hand() -> None:
    a, b = np.array([True] * 90 + [False] * 10), np.array([True] * 80 + [False] * 20)
    low, high = difference_interval(a, b)  # 10 against 0: Agresti and Min's 10.5, 0.5 of 102
    assert (low + high) / 2 == pytest.approx(10 / 102)
    assert (high - low) / 2 == pytest.approx(1.959964 * np.sqrt(11 / 102 - (10 / 102) ** 2) / np.sqrt(102))


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("seed", range(8))
def test_runs_share_a_letter_exactly_where_they_do_not_differ(seed: int) -> None:
    runs = 7
    upper = np.triu(np.random.default_rng(seed).random((runs, runs)) < 0.4, 1)
    differs = upper | upper.T
    letters = compact_letters(differs)
    for a, b in itertools.combinations(range(runs), 2):
        assert bool(set(letters[a]) & set(letters[b])) == (not differs[a, b])
    assert all(letters)


def test_letters_start_with_the_best() -> None:
    differs = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], dtype=bool)
    assert compact_letters(differs) == ["a", "ab", "b"]


def test_bootstrap_spread_agrees_with_the_split_of_variance() -> None:
    # many seeds, so that the share of the rest, which the bootstrap counts three times, is small
    scores = experiment(np.random.default_rng(6), [0.8], 40, 400, 0.3)["run 0"].astype(np.float64)
    means = resampled_means({"a": scores}, draws=4000)["a"]
    assert means.mean() == pytest.approx(scores.mean(), abs=0.003)
    assert means.std() == pytest.approx(spread_of(scores).error, rel=0.06)


def test_bootstrap_of_runs_shares_the_images() -> None:
    scores = experiment(np.random.default_rng(7), [0.8], 1, 500, 0.0)["run 0"].astype(np.float64)
    means = resampled_means({"a": scores, "b": scores.copy()}, draws=200)
    assert (means["a"] == means["b"]).all()
    assert bootstrap_p(means["a"] - means["b"]) == 1.0


def test_every_answer_right_still_leaves_an_interval() -> None:
    mean, low, high = over_seeds_and_images(np.ones((3, 50), dtype=bool))
    assert (mean, high) == (1.0, 1.0)
    assert low == pytest.approx(0.9287, abs=1e-3)  # Wilson's for 50 of 50


def test_a_clear_winner_a_tie_and_a_loser_are_told_apart() -> None:
    runs = experiment(np.random.default_rng(8), [0.9, 0.9, 0.6], 3, 1500, 0.02)
    found = compare_runs(runs, baseline="run 2")
    assert [row["tied_with_best"] for row in found["ranking"]] == [True, True, False]
    assert [row["letters"] for row in found["ranking"]] == ["a", "a", "b"]
    assert found["ranking"][2]["run"] == "run 2"
    assert "no evidence" in found["pairwise"][0]["verdict"]
    assert [row["b"] for row in found["against_baseline"]] == ["run 2", "run 2"]
    assert all(row["significant"] and row["difference"] > 0.2 for row in found["against_baseline"])
    assert "no evidence that it is better than" in found["answer"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert compare_runs(runs, baseline="run 2") == found


def test_seeds_that_change_nothing_are_compared_by_exact_mcnemar() -> None:
    generator = np.random.default_rng(9)
    a, b = generator.random((2, 200)) < 0.8
    found = compare_runs({"a": np.stack([a] * 3), "b": np.stack([b] * 3)})
    assert found["pairwise"][0]["test"] == "exact McNemar"
    assert found["pairwise"][0]["p"] == pytest.approx(mcnemar(a, b))


def test_a_baseline_that_leads_reads_as_the_run_minus_the_baseline() -> None:
    runs = experiment(np.random.default_rng(10), [0.9, 0.6], 3, 800, 0.0)
    row = compare_runs(runs, baseline="run 0")["against_baseline"][0]
    assert (row["a"], row["b"]) == ("run 1", "run 0")
    assert row["low"] < row["difference"] < row["high"] < 0
    assert row["verdict"].startswith("run 1 is worse than run 0: -3")


def test_losses_rank_from_the_least() -> None:
    generator = np.random.default_rng(11)
    low = generator.exponential(size=(3, 400))
    found = compare_runs({"low": low, "high": low + 1 + generator.normal(size=(3, 400)) * 0.1}, higher_is_better=False)
    assert found["best"] == "low"
    assert "low is better than high: -1" in found["pairwise"][0]["verdict"]


def test_one_run_alone_is_ranked_and_compared_with_nothing() -> None:
    found = compare_runs({"only": np.ones((1, 9), dtype=bool)})
    assert found["pairwise"] == []
    assert "nothing to compare" in found["answer"]
    assert "one seed only" in found["notes"][0]


def test_runs_on_other_images_are_refused() -> None:
    with pytest.raises(DataError, match="same test images"):
        compare_runs({"a": np.ones((1, 9), dtype=bool), "b": np.ones((1, 8), dtype=bool)})
    with pytest.raises(SpecError, match="did you mean 'scratch'"):
        compare_runs({"scratch": np.ones((1, 9), dtype=bool)}, baseline="scrach")


def false_claims(experiments: int, runs: int, seeds: int, n: int, seed_sd: float, accuracy: float) -> float:
    wrong = 0
    for each in range(experiments):
        drawn = experiment(np.random.default_rng([12, each]), [accuracy] * runs, seeds, n, seed_sd)
        wrong += any(row["significant"] for row in compare_runs(drawn, draws=2)["pairwise"])
    return wrong / experiments


def coverage(experiments: int, seeds: int, n: int, seed_sd: float, accuracy: float) -> float:
    held = 0
    for each in range(experiments):
        drawn = experiment(np.random.default_rng([14, each]), [accuracy], seeds, n, seed_sd)["run 0"]
        _, low, high = over_seeds_and_images(drawn)
        held += low <= accuracy <= high
    return held / experiments


def test_among_equal_runs_a_difference_is_claimed_rarely() -> None:
    assert false_claims(150, 4, 3, 300, 0.1, 0.85) <= 0.07


def best_kept(experiments: int, seeds: int, n: int, seed_sd: float) -> tuple[float, float]:
    """Return how often the best run is in the race, and the share of those far behind that are not."""
    kept, out = 0, 0
    means = [0.9, *[0.895] * 5, *[0.8] * 6]
    for each in range(experiments):
        drawn = experiment(np.random.default_rng([17, each]), means, seeds, n, seed_sd)
        tied = {row["run"] for row in compare_runs(drawn, draws=2)["ranking"] if row["tied_with_best"]}
        kept += "run 0" in tied
        out += sum(f"run {place}" not in tied for place in range(6, 12))
    return kept / experiments, out / experiments / 6


def test_the_best_run_stays_in_the_race_and_those_far_behind_do_not() -> None:
    kept, out = best_kept(60, 3, 1000, 0.1)
    assert kept >= 0.93
    assert out >= 0.8


def test_of_two_runs_the_test_of_the_pair_decides() -> None:
    generator = np.random.default_rng(18)
    for _ in range(40):
        found = compare_runs(experiment(generator, [0.9, 0.88], 1, 300, 0.0), draws=2)
        assert found["ranking"][1]["tied_with_best"] is not found["pairwise"][0]["significant"]


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    assert 0.91 <= coverage(300, 3, 300, 0.1, 0.85) <= 0.99


# (seeds, sd of a seed in probits): 0.1 is about 0.5 points of accuracy at 95 % and 1.6 points at 70 %
SITUATIONS = [(3, 0.0), (3, 0.05), (3, 0.1), (3, 0.2), (5, 0.1), (5, 0.2), (10, 0.2)]


@pytest.mark.slow
@pytest.mark.parametrize("n", [300, 2000])
@pytest.mark.parametrize(("seeds", "seed_sd"), [(2, 0.1), *SITUATIONS, (3, 0.5)])
def test_over_1000_experiments_at_most_one_in_twenty_claims_a_difference_that_is_none(
    seeds: int, seed_sd: float, n: int
) -> None:
    found = false_claims(1000, 4, seeds, n, seed_sd, 0.9)
    print(f"seeds {seeds}, sd of a seed {seed_sd}, n {n}: false claims {100 * found:.1f} %")
    assert found <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("n", [300, 2000])
@pytest.mark.parametrize(("seeds", "seed_sd"), SITUATIONS)
def test_over_500_experiments_the_best_run_is_ruled_out_in_at_most_one_in_twenty(
    seeds: int, seed_sd: float, n: int
) -> None:
    kept, out = best_kept(500, seeds, n, seed_sd)
    shown = f"the best is kept {100 * kept:.1f} %, those behind ruled out {100 * out:.1f} %"
    print(f"seeds {seeds}, sd {seed_sd}, n {n}: {shown}")
    assert kept >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("pair_seeds", [False, True])
@pytest.mark.parametrize(("seeds", "seed_sd", "n"), [(3, 0.0, 300), (3, 0.1, 300), (3, 0.1, 2000), (5, 0.2, 2000)])
def test_two_equal_runs_are_told_apart_in_about_one_in_twenty_experiments_at_most(
    seeds: int, seed_sd: float, n: int, pair_seeds: bool
) -> None:
    wrong = 0
    for each in range(1000):
        drawn = experiment(np.random.default_rng([15, each]), [0.85, 0.85], seeds, n, seed_sd)
        wrong += compare_runs(drawn, pair_seeds=pair_seeds, draws=2)["pairwise"][0]["significant"]
    print(f"two runs, seeds {seeds} (paired {pair_seeds}), sd {seed_sd}, n {n}: false claims {wrong / 10:.1f} %")
    assert wrong <= 50 + 14  # two standard errors of a count of 1,000 experiments


@pytest.mark.slow
@pytest.mark.parametrize("n", [300, 2000])
@pytest.mark.parametrize(("seeds", "seed_sd"), [(1, 0.0), *SITUATIONS])
@pytest.mark.parametrize("accuracy", [0.7, 0.95])
def test_over_1000_experiments_intervals_cover_93_to_97_percent(
    seeds: int, seed_sd: float, n: int, accuracy: float
) -> None:
    found = coverage(1000, seeds, n, seed_sd, accuracy)
    print(f"seeds {seeds}, sd of a seed {seed_sd}, n {n}, accuracy {accuracy}: coverage {100 * found:.1f} %")
    assert 0.93 <= found <= 0.97


def test_the_interval_of_a_difference_agrees_with_its_p_value() -> None:
    runs = experiment(np.random.default_rng(14), [0.9, 0.86], 3, 500, 0.05)
    spread = spread_of_difference(*(run.astype(np.float64) for run in runs.values()))
    beyond = abs(spread.mean) > spread.half_width()
    assert beyond == (spread.p_value() < 0.05)
