from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from headstart.report.read.board_scores import board_scores
from headstart.report.read.study_files import Outcome, Record

LABELS = np.array([0, 1, 0, 1, 1, 0])


def outcome(predicted: list[int], rows: list[int] | None = None, **more: Any) -> Outcome:
    said, labels = np.array(predicted), LABELS[: len(predicted)]
    sure = np.full(len(said), 0.8)
    right = said == labels
    chances = np.where(np.eye(2, dtype=bool)[said], 0.8, 0.2)
    numbers = np.arange(len(said)) if rows is None else np.array(rows)
    known = {"chances": (chances, labels), **more}
    return Outcome(numbers, labels, said, sure, np.where(right, 0.8, 0.2), right, **known)


def record(run: str, seed: int, found: Outcome | None = None, episodes: Any = None) -> Record:
    return Record(run, seed, Path(), None, {}, outcome=found, episodes=episodes, key=f"{run} {seed}")


def by_run(**runs: dict[int, Outcome]) -> dict[str, dict[int, Record]]:
    return {run: {seed: record(run, seed, each) for seed, each in seeds.items()} for run, seeds in runs.items()}


TO_FIRST = np.tile([0.8, 0.2], (4, 1))
GOOD, POOR = outcome([0, 1, 0, 1, 1, 1]), outcome([1, 1, 1, 1, 0, 1])


def test_accuracy_is_right_or_wrong_by_seed_and_image() -> None:
    found = board_scores(by_run(a={0: GOOD, 1: POOR}, b={0: POOR}), "images", "accuracy", None)
    assert found.metric == "accuracy" and found.images is None and found.fold is None and found.notes == ()
    assert found.scores["a"].dtype == bool
    assert found.scores["a"].tolist() == [GOOD.correct.tolist(), POOR.correct.tolist()]
    assert found.scores["b"].tolist() == [POOR.correct.tolist()]


def test_images_are_put_in_the_order_of_their_rows() -> None:
    turned = outcome([0, 1, 0, 1, 1, 1], rows=[5, 4, 3, 2, 1, 0])
    found = board_scores(by_run(a={0: turned}), "images", "accuracy", None)
    assert found.scores["a"].tolist() == [GOOD.correct.tolist()[::-1]]


def test_a_metric_that_is_no_mean_over_images_has_numbers_whose_mean_it_is() -> None:
    found = board_scores(by_run(a={0: GOOD}, b={0: POOR}), "images", "f1_macro", None)
    assert found.metric == "f1_macro" and found.notes == ()
    for run, each in (("a", GOOD), ("b", POOR)):
        expected = f1_score(LABELS, each.predicted, average="macro")
        assert found.scores[run].mean() == pytest.approx(expected)


def test_a_metric_that_is_not_defined_gives_way_to_accuracy_with_a_note() -> None:
    one_class = outcome([0])  # a ROC area needs both classes
    found = board_scores(by_run(a={0: one_class}), "images", "roc_auc", None)
    assert found.metric == "accuracy" and found.scores["a"].tolist() == [[True]]
    assert found.notes == (
        "ROC AUC is not defined for these test images, so the ranking uses accuracy; choices followed ROC AUC",
    )


def test_seeds_with_images_of_their_own_are_compared_where_all_runs_have_them() -> None:
    one, other = GOOD, outcome([0, 1, 0, 1, 1, 1], rows=[2, 3, 4, 5, 6, 7])
    found = board_scores(by_run(a={0: one, 1: other, 2: one}, b={0: one, 1: other}), "images", "accuracy", None)
    assert found.images is not None
    assert found.images.tolist() == [[0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 6, 7]]
    assert {run: len(table) for run, table in found.scores.items()} == {"a": 2, "b": 2}
    assert found.notes == (
        "each seed has its own test images",
        "compared on the 2 seeds that every run has; 1 other results are left out",
    )


def test_a_run_that_lacks_the_seed_of_the_others_is_left_out() -> None:
    other = outcome([0, 1, 0, 1, 1, 1], rows=[2, 3, 4, 5, 6, 7])
    found = board_scores(by_run(a={0: GOOD}, b={0: POOR}, c={1: other}), "images", "accuracy", None)
    assert set(found.scores) == {"a", "b"}


def test_the_folds_of_a_repeat_are_one_row() -> None:
    folds = {0: outcome([0, 1, 1], rows=[4, 0, 2]), 1: outcome([1, 1, 0], rows=[1, 5, 3])}
    found = board_scores(by_run(a=folds), "images", "accuracy", 2)
    right = dict(zip([4, 0, 2, 1, 5, 3], [*folds[0].correct, *folds[1].correct], strict=True))
    assert found.scores["a"].tolist() == [[right[row] for row in range(6)]] and found.images is None
    assert found.fold is not None and found.fold.tolist() == [[0, 1, 0, 1, 0, 1]]


def test_balanced_accuracy_weighs_the_classes_of_all_folds_together() -> None:
    """Worked by hand: 3 of 4 images of each class are right, 75 %; each fold alone has 3 of 3 and 0 of 1, 50 %."""
    right = replace(outcome([0, 0, 0, 0], [0, 1, 2, 3]), chances=(TO_FIRST, np.array([0, 0, 0, 1])))
    left = replace(outcome([1, 1, 1, 1], [4, 5, 6, 7]), chances=(TO_FIRST[:, ::-1], np.array([1, 1, 1, 0])))
    found = board_scores(by_run(a={0: right, 1: left}), "images", "balanced_accuracy", 2)
    assert found.metric == "balanced_accuracy" and found.scores["a"].mean() == pytest.approx(0.75)


def test_episodes_are_compared_by_accuracy_on_the_seeds_that_all_runs_have() -> None:
    accuracy = {seed: np.array([0.5, 0.75, 1.0]) + 0.01 * seed for seed in range(3)}
    runs = {
        "a": {seed: record("a", seed, episodes=accuracy[seed]) for seed in (0, 1, 2)},
        "b": {seed: record("b", seed, episodes=accuracy[seed] / 2) for seed in (0, 1)},
    }
    found = board_scores(runs, "episodes", "f1_macro", None)
    assert found.metric == "accuracy" and np.allclose(found.scores["b"], [accuracy[0] / 2, accuracy[1] / 2])
    assert found.images is not None and found.images.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.notes == ("compared on the 2 seeds that every run has; 1 other results are left out",)
    alone = board_scores({"a": {0: runs["a"][0]}}, "episodes", "accuracy", None)
    assert alone.images is None and alone.notes == ()


def test_a_seed_that_repeats_a_result_counts_once() -> None:
    runs = by_run(a={0: GOOD, 1: GOOD, 2: POOR})
    runs["a"][1] = replace(runs["a"][1], key="a 0")
    assert len(board_scores(runs, "images", "accuracy", None).scores["a"]) == 2
