from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from headstart.study.results.model_selection import (
    Candidate,
    _resampled_error,
    _standard_error,
    best_single,
    choose,
    representative,
)

LABELS = np.arange(100) % 4
VALIDATION = "the highest validation accuracy"


def judged(root: Path, run: str, wrong: range, seed: int = 0, rows: int = 0) -> Candidate:
    """Write the validation predictions of a run that is wrong on some of a hundred images."""
    said = LABELS.copy()
    said[list(wrong)] = (said[list(wrong)] + 1) % 4
    folder = root / run / f"seed-{seed}"
    folder.mkdir(parents=True)
    arrays = {"rows": np.arange(100) + rows, "labels": LABELS, "probabilities": np.eye(4, dtype=np.float32)[said]}
    np.savez(folder / "predictions.npz", **{f"validation_{name}": value for name, value in arrays.items()})
    return Candidate(run, 1 - len(wrong) / 100, folder)


def test_a_lucky_lead_does_not_unseat_an_ensemble(tmp_path: Path) -> None:
    found = [
        judged(tmp_path, "one", range(5)),
        judged(tmp_path, "many", range(4, 10)),
        judged(tmp_path, "bad", range(40)),
    ]
    # one more image right: 5 for one, 4 for the other differ; the error of the mean of +1 four times, -1 five times
    assert choose(found, {"many"}) == (
        "many",
        "validation accuracy within one standard error of the highest, that of 'one': an ensemble before a single run",
    )
    assert choose(found, set()) == ("one", VALIDATION)
    assert best_single(found, {"one"}) == ("many", f"{VALIDATION}, among single networks")


def test_a_clear_lead_does(tmp_path: Path) -> None:
    found = [judged(tmp_path, "one", range(5)), judged(tmp_path, "many", range(20))]
    assert choose(found, {"many"}) == ("one", VALIDATION)


def test_images_are_paired(tmp_path: Path) -> None:
    # the same difference of two images: alone it is clear, among many that come out differently it is not
    nested = [judged(tmp_path / "a", "one", range(10, 20)), judged(tmp_path / "a", "many", range(10, 22))]
    apart = [judged(tmp_path / "b", "one", range(10, 20)), judged(tmp_path / "b", "many", range(20, 32))]
    assert choose(nested, {"many"})[0] == "one" and choose(apart, {"many"})[0] == "many"


def test_a_lead_of_one_image_is_one_standard_error_whatever_is_rounded(tmp_path: Path) -> None:
    for wrong in range(1, 40):  # 1 / 100, and sqrt((1 / 100 - 1 / 100²) · 100 / 99) / 10
        place = tmp_path / str(wrong)
        found = [judged(place, "one", range(wrong)), judged(place, "many", range(wrong + 1))]
        assert choose(found, {"many"})[0] == "many"


def test_an_ensemble_that_leads_is_taken_as_it_is(tmp_path: Path) -> None:
    found = [judged(tmp_path, "one", range(5)), judged(tmp_path, "many", range(4))]
    assert choose(found, {"many"}) == ("many", VALIDATION)


def test_of_equals_a_network_goes_before_a_baseline_and_the_smaller_before_the_larger(tmp_path: Path) -> None:
    pixels, big, small = (judged(tmp_path, name, range(5)) for name in ("pixels", "big", "small"))
    found = [
        replace(pixels, baseline=True, parameters=1),
        replace(big, parameters=30),
        replace(small, parameters=20),
    ]
    for order in (found, found[::-1]):
        chosen, by = choose(order, set())
        assert chosen == best_single(order, set())[0] == "small"
        same = ", ".join(repr(each.run) for each in order if each.run != "small")
        rules = "a network over a baseline, then the smaller model"
        assert by == f"{VALIDATION}, tied with {same}; ties go to {rules}"
    assert choose([found[0], found[1]], set())[1].endswith("tied with 'pixels'; ties go to a network over a baseline")
    assert choose(found[1:], set())[1].endswith("tied with 'big'; ties go to the smaller model")
    twin = replace(judged(tmp_path, "twin", range(5)), parameters=20)
    assert choose([found[2], twin], set()) == (
        "small",
        f"{VALIDATION}, tied with 'twin'; ties go to the first in the study",
    )
    better = replace(judged(tmp_path, "better pixels", range(4)), baseline=True)
    assert choose([*found, better], set())[0] == "better pixels"


def test_of_runs_that_tie_three_are_named() -> None:
    found = [Candidate(name, 0.9, Path(f"{name}/seed-0")) for name in "abcdef"]
    for count, words in ((4, "'b', 'c', 'd'"), (5, "'b', 'c', 'd' and 1 more"), (6, "'b', 'c', 'd' and 2 more")):
        by = f"{VALIDATION}, tied with {words}; ties go to the first in the study"
        assert best_single(found[:count], set()) == ("a", f"{by}, among single networks")


def test_means_that_differ_by_rounding_are_the_same(tmp_path: Path) -> None:
    thrice = [replace(judged(tmp_path, "large", range(1), s), score=0.8, parameters=9) for s in range(3)]
    once = [replace(judged(tmp_path, "small", range(1), s), score=x) for s, x in enumerate((0.7, 0.8, 0.9))]
    assert np.mean([each.score for each in thrice]) > np.mean([each.score for each in once])
    assert choose([*thrice, *once], set()) == (
        "small",
        f"{VALIDATION}, tied with 'large'; ties go to the smaller model",
    )


def test_a_loss_has_a_lowest_one(tmp_path: Path) -> None:
    found = [replace(judged(tmp_path, name, range(1)), score=-loss) for name, loss in (("a", 0.5), ("b", 0.4))]
    assert choose(found, set(), "log_loss") == ("b", "the lowest validation log loss")
    assert best_single(found, set(), "log_loss") == ("b", "the lowest validation log loss, among single networks")


def test_a_run_with_fewer_seeds_counts_by_its_lead_on_those_of_both(tmp_path: Path) -> None:
    found = [judged(tmp_path, "one", range(30), seed) for seed in (0, 1)]
    found += [judged(tmp_path, "two", range(20), 0), judged(tmp_path, "many", range(29), 0)]
    found += [judged(tmp_path, "many", range(1), 1)]
    # on seed 0 "two" leads "many" by 9 images; seed 1, on which "many" shines, is not one of "two"
    few = f"{VALIDATION} (of 1 of 2 trainings, beside the others' on the same images)"
    assert choose(found, {"many"}) == ("two", few)
    found += [judged(tmp_path, "behind", range(31), 0)]  # 69 %, and "many" has 71 % there
    assert choose(found, {"many"}) == ("two", few)


def test_a_run_with_fewer_seeds_must_lead_by_more_than_chance(tmp_path: Path) -> None:
    def found(name: str, wrong: range, **facts: Any) -> list[Candidate]:
        complete = [judged(tmp_path / name, "complete", range(10, 20), seed) for seed in (0, 1)]
        return [*(replace(each, **facts) for each in complete), judged(tmp_path / name, "few", wrong)]

    close = "validation accuracy within one standard error of the highest, that of 'few'"
    # 10 images are right in "few" alone, and 8 or 5 in the other alone: by the mean of 100 differences of +1 and -1,
    # sqrt((10 + c - lead² / 100) / 99) / 10, a lead of 2 images has an error of 4.3, and one of 5 an error of 3.9
    assert choose(found("chance", range(20, 28)), set()) == ("complete", f"{close}: 2 trainings before 1")
    assert best_single(found("one", range(20, 28)), set())[1] == f"{close}: 2 trainings before 1, among single networks"
    assert choose(found("clear", range(20, 25)), set())[0] == "few"
    assert choose(found("network", range(20, 28), baseline=True), set())[0] == "few"
    together = [*found("ensemble", range(20, 28)), judged(tmp_path / "1", "many", range(20, 28))]
    assert choose(together, {"many"})[0] == "complete"  # an ensemble of few trainings is no surer than they are
    whole = [judged(tmp_path / "2", "many", range(30, 40), seed) for seed in (0, 1)]
    ensemble = f"{close}: an ensemble before a single run"
    assert choose([*together[:3], *whole], {"many"}) == ("many", ensemble)
    # 16 images are right in "few" alone and 8 in "many" alone: a lead of 8 with an error of 4.9
    behind = [judged(tmp_path / "3", "many", range(30, 46), seed) for seed in (0, 1)]
    assert choose([*together[:3], *behind], {"many"})[0] == "complete"


def test_more_trainings_go_first_where_only_a_baseline_has_all(tmp_path: Path) -> None:
    found = [judged(tmp_path, "one", range(20, 28)), *(judged(tmp_path, "two", range(10, 20), k) for k in (0, 1))]
    found += [replace(judged(tmp_path, "floor", range(70), seed), baseline=True) for seed in (0, 1, 2)]
    assert choose(found, set())[0] == "two"


def test_a_run_with_fewer_seeds_does_not_take_the_others_seeds_away(tmp_path: Path) -> None:
    found = [judged(tmp_path, "logistic", range(wrong), seed) for seed, wrong in enumerate((0, 3, 3))]
    found += [judged(tmp_path, "ridge", range(wrong), seed) for seed, wrong in enumerate((0, 0, 1))]
    found += [judged(tmp_path, "tuned", range(0), 0)]  # as good as "ridge" where both were judged
    ties = "tied with 'tuned'; ties go to more trainings"
    for order in (found, found[::-1]):
        assert choose(order, set()) == ("ridge", f"{VALIDATION}, {ties}")
    found[-1] = replace(found[-1], baseline=False)
    found[3:6] = [replace(each, baseline=True) for each in found[3:6]]
    assert choose(found, set())[0] == "tuned"  # ties go to a network first


def test_images_that_do_not_pair_say_nothing_of_noise(tmp_path: Path) -> None:
    found = [judged(tmp_path, "one", range(5)), judged(tmp_path, "many", range(4, 10), rows=100)]
    assert choose(found, {"many"}) == ("one", VALIDATION)


def test_an_image_that_several_seeds_are_judged_on_counts_once(tmp_path: Path) -> None:
    # 29 of 100 images come out differently, 5 more of them well: the standard error is 5.4. Nine seeds that say the
    # same say it once; taken for nine hundred images, the error would be a third of it, and the lead a clear one.
    seeds = range(9)
    found = [judged(tmp_path, "one", range(18, 30), seed) for seed in seeds]
    found += [judged(tmp_path, "many", range(17), seed) for seed in seeds]
    assert choose(found, {"many"})[0] == "many"


@pytest.mark.parametrize("wrong", [3, 30])
def test_several_labels_must_all_be_right(tmp_path: Path, wrong: int) -> None:
    def multi(run: str, flipped: int) -> Candidate:
        truth = np.zeros((100, 4), bool)
        said = truth.astype(np.float32)
        said[range(flipped) if run == "one" else range(100 - flipped, 100), 0] = 1.0
        folder = tmp_path / run / "seed-0"
        folder.mkdir(parents=True)
        np.savez(
            folder / "predictions.npz",
            validation_rows=np.arange(100),
            validation_labels=truth,
            validation_probabilities=said,
        )
        return Candidate(run, 1 - flipped / 100, folder)

    found = [multi("one", 2), multi("many", wrong)]
    assert choose(found, {"many"})[0] == ("many" if wrong == 3 else "one")


def test_an_ensemble_that_changes_nothing_is_not_preferred(tmp_path: Path) -> None:
    found = [judged(tmp_path, "one", range(5)), judged(tmp_path, "many", range(5))]
    assert choose(found, {"many"})[0] == "one"


def test_of_equals_a_network_comes_before_a_baseline_and_the_smaller_first() -> None:
    found = [
        Candidate("pixels", 0.9, Path("pixels/seed-0"), baseline=True, parameters=1),
        Candidate("large", 0.9, Path("large/seed-0"), parameters=20),
        Candidate("small", 0.9, Path("small/seed-0"), parameters=10),
    ]
    assert choose(found, set())[0] == "small"


def test_the_seed_that_is_saved_is_the_median_not_the_luckiest() -> None:
    scores = [(0.90, 0.5), (0.99, 0.1), (0.94, 0.4), (0.94, 0.3), (0.80, 0.9)]
    found = [Candidate("r", s, Path(f"r/seed-{k}"), seed=k, log_loss=loss) for k, (s, loss) in enumerate(scores)]
    assert representative(found, "r").seed == 3


def test_an_ensemble_is_compared_by_the_metric_of_the_study(tmp_path: Path) -> None:
    def with_loss(run: str, own: float) -> Candidate:
        each = judged(tmp_path, run, range(0))
        probabilities = np.full((100, 4), (1 - own) / 3)
        probabilities[np.arange(100), LABELS] = own + np.linspace(-0.01, 0.01, 100)
        arrays = {"rows": np.arange(100), "labels": LABELS, "probabilities": probabilities}
        np.savez(each.folder / "predictions.npz", **{f"validation_{name}": value for name, value in arrays.items()})
        return Candidate(run, -float(-np.log(probabilities[np.arange(100), LABELS]).mean()), each.folder)

    found = [with_loss("one", 0.9), with_loss("many", 0.8)]
    # both are right on every image; by log loss the single run is better on each by about the same
    assert choose(found, {"many"}, "log_loss") == ("one", "the lowest validation log loss")


def test_a_metric_that_is_no_mean_over_images_has_a_resampled_error(tmp_path: Path) -> None:
    close = [judged(tmp_path / "a", "one", range(10, 20)), judged(tmp_path / "a", "many", range(20, 32))]
    clear = [judged(tmp_path / "b", "one", range(5)), judged(tmp_path / "b", "many", range(40))]
    assert choose(close, {"many"}, "mcc")[0] == "many" and choose(clear, {"many"}, "mcc")[0] == "one"


def test_the_standard_error_is_that_of_the_mean_difference_over_images(tmp_path: Path) -> None:
    # images 0-4 go to "many", 50-69 to "one", in seed 0; in seed 1 only 50-59: rows count once, by their mean
    found = [judged(tmp_path, "one", range(5), 0), judged(tmp_path, "many", range(50, 70), 0)]
    found += [judged(tmp_path, "one", range(5), 1), judged(tmp_path, "many", range(50, 60), 1)]
    gap = np.zeros(100)
    gap[:5], gap[50:60], gap[60:70] = -1, 1, 0.5
    assert _standard_error(found, "one", "many", "accuracy") == pytest.approx(gap.std(ddof=1) / 10)
    assert _standard_error(found, "many", "one", "accuracy") == pytest.approx(gap.std(ddof=1) / 10)
    assert _standard_error(found, "one", "many", "brier") == pytest.approx(2 * gap.std(ddof=1) / 10)


def test_two_paired_images_have_a_standard_error_and_one_has_none(tmp_path: Path) -> None:
    def few(run: str, rows: list[int], right: list[bool]) -> Candidate:
        folder = tmp_path / run / "seed-0"
        folder.mkdir(parents=True)
        arrays = {
            "rows": np.array(rows),
            "labels": np.zeros(len(rows), dtype=np.int64),
            "probabilities": np.eye(2)[[0 if each else 1 for each in right]],
        }
        np.savez(folder / "predictions.npz", **{f"validation_{name}": value for name, value in arrays.items()})
        return Candidate(run, 0.0, folder)

    found = [few("one", [1, 2, 3], [True, True, False]), few("two", [2, 3, 4], [True, True, True])]
    found += [few("three", [3, 9], [True, True])]
    assert _standard_error(found, "one", "two", "accuracy") == pytest.approx(np.std([0, -1], ddof=1) / 2**0.5)
    assert _standard_error(found, "one", "three", "accuracy") == 0.0


def test_the_resampled_error_is_the_spread_over_200_resamples_of_the_images(tmp_path: Path) -> None:
    found = [judged(tmp_path, "one", range(10, 20)), judged(tmp_path, "many", range(20, 35))]
    wrong = [np.isin(np.arange(100), range(10, 20)), np.isin(np.arange(100), range(20, 35))]
    draws = np.random.default_rng(0).integers(0, 100, (200, 100))

    def f1(rows: np.ndarray, missed: np.ndarray) -> float:
        said = np.where(missed, (LABELS + 1) % 4, LABELS)
        return float(f1_score(LABELS[rows], said[rows], average="macro"))

    gaps = [f1(rows, wrong[0]) - f1(rows, wrong[1]) for rows in draws]
    assert _standard_error(found, "one", "many", "f1_macro") == pytest.approx(np.std(gaps, ddof=1))


def test_an_undefined_resample_is_left_out_of_the_error() -> None:
    judged = {"labels": np.zeros(4, dtype=np.int64), "probabilities": np.tile([0.7, 0.3], (4, 1))}
    assert _resampled_error(judged, judged, "roc_auc") == 0.0  # no resample has both classes


def test_the_nearest_of_several_ensembles_is_the_rival(tmp_path: Path) -> None:
    found = [judged(tmp_path, "one", range(5)), judged(tmp_path, "z", range(50, 90))]
    found += [judged(tmp_path, "near", range(4, 10))]
    assert choose(found, {"z", "near"})[0] == "near"


def test_where_no_seed_is_common_all_seeds_count() -> None:
    found = [Candidate("a", 0.5, Path("a/seed-0")), Candidate("b", 0.4, Path("b/seed-1"))]
    found += [Candidate("b", 0.8, Path("b/seed-2"))]
    assert best_single(found, set())[0] == "b"  # 0.6 on average
    assert choose(found, set()) == ("b", VALIDATION)
    assert choose(found, set(), "balanced_accuracy") == ("b", "the highest validation balanced accuracy")
    apart = [Candidate(run, score, Path(f"{run}/seed-{k}")) for run, k, score in (("a", 0, 0.5), ("a", 1, 0.7))]
    apart += [Candidate(run, score, Path(f"{run}/seed-{k}")) for run, k, score in (("b", 2, 0.6), ("b", 3, 0.6))]
    alone = Candidate("c", 0.9, Path("c/seed-4"))  # which no other run was judged with: its own score counts
    few = f"{VALIDATION} (of 1 of 2 trainings, beside the others' on the same images)"
    assert choose([*apart, alone], set()) == ("c", few)


def test_complete_runs_of_other_seeds_are_compared_by_those_of_both() -> None:
    found = [Candidate("a", score, Path(f"a/seed-{k}")) for k, score in ((0, 0.9), (1, 0.5))]
    found += [Candidate("b", score, Path(f"b/seed-{k}")) for k, score in ((1, 0.6), (2, 0.1))]
    assert choose(found, set()) == ("b", VALIDATION)


def test_of_an_even_number_of_seeds_the_upper_median_is_saved() -> None:
    found = [Candidate("r", score, Path(f"r/seed-{k}"), seed=k) for k, score in enumerate((0.9, 0.7, 0.8, 0.6))]
    found.append(Candidate("other", 0.75, Path("other/seed-0"), seed=9))
    assert representative(found, "r").seed == 2
