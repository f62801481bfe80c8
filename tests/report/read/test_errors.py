from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_study import RUNS, make_study

from headstart.evaluate.metrics.confusion import confusion_matrix
from headstart.report.read.errors import _images, confusion_cells, details_of, pool, worst_mistakes
from headstart.report.read.study_files import Outcome, read_study_folder


def outcome(labels: list[int], predicted: list[int], confidence: list[float]) -> Outcome:
    sure = np.array(confidence)
    right = np.array(labels) == np.array(predicted)
    own = np.where(right, sure, (1 - sure) / 2)
    rows = np.arange(len(labels)) * 10
    return Outcome(rows, np.array(labels), np.array(predicted), sure, own, right)


def test_a_cell_counts_its_images_and_names_the_surest_images_first() -> None:
    cells = confusion_cells([outcome([0, 0, 1, 1], [1, 1, 1, 0], [0.6, 0.9, 0.8, 0.7])], 2)
    assert [(c.truth, c.guess, c.count, c.images) for c in cells] == [
        (0, 1, 2, (10, 0)),
        (1, 0, 1, (30,)),
        (1, 1, 1, (20,)),
    ]


def test_an_image_of_two_seeds_counts_once_and_is_listed_once() -> None:
    one = outcome([0, 1], [1, 1], [0.6, 0.9])
    cells = confusion_cells([one, one], 2)
    assert [(c.count, c.images) for c in cells] == [(1, (0,)), (1, (10,))]


def test_an_image_that_three_seeds_predict_differently_is_divided_among_its_cells() -> None:
    first, second = outcome([0, 0], [1, 1], [0.6, 0.9]), outcome([0, 0], [2, 1], [0.6, 0.9])
    cells = confusion_cells([first, first, second], 3)
    assert [(c.truth, c.guess, c.count) for c in cells] == [
        (0, 1, pytest.approx(5 / 3)),
        (0, 2, pytest.approx(1 / 3)),
    ]
    assert sum(cell.count for cell in cells) == pytest.approx(2)


def counts(outcomes: list[Outcome], classes: int) -> np.ndarray:
    """Return the cells as a matrix, the true class in rows."""
    matrix = np.zeros((classes, classes))
    for cell in confusion_cells(outcomes, classes):
        matrix[cell.truth, cell.guess] = cell.count
    return matrix


def test_an_image_counts_once_however_many_seeds_predict_it() -> None:
    labels, predicted = [0, 0, 1], [[0, 1, 1], [0, 0, 1], [1, 1, 0]]  # three seeds
    found = counts([outcome(labels, seed, [0.5] * 3) for seed in predicted], 2)
    assert found == pytest.approx(np.array([[1.0, 1.0], [1 / 3, 2 / 3]]), abs=1e-6)
    mean = np.mean([confusion_matrix(np.array(labels), np.array(seed), 2) for seed in predicted], axis=0)
    assert found == pytest.approx(mean, abs=1e-6)


def test_images_that_are_predicted_once_are_the_confusion_matrix() -> None:
    labels, predicted = [0, 0, 1, 1], [0, 1, 1, 1]
    for classes in (2, 3):
        found = counts([outcome(labels, predicted, [0.5] * 4)], classes)
        assert found.tolist() == confusion_matrix(np.array(labels), np.array(predicted), classes).tolist()


def test_no_class_is_taken_for_another_more_often_than_it_has_images() -> None:
    generator = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], [45, 30, 60])
    seeds = [np.where(generator.random(135) < 0.6, 1, labels) for _ in range(3)]
    found = counts([outcome(labels.tolist(), seed.tolist(), [0.5] * 135) for seed in seeds], 3)
    assert found.sum(axis=1) == pytest.approx([45, 30, 60])
    np.fill_diagonal(found, 0)
    assert found[0].argmax() == 1 and found[0, 1] <= 45


def test_the_worst_mistake_is_wrong_in_most_seeds_with_least_chance_for_the_truth() -> None:
    first = outcome([0, 0, 1], [1, 1, 1], [0.6, 0.9, 0.8])
    second = outcome([0, 0, 1], [1, 0, 1], [0.7, 0.9, 0.8])
    found = worst_mistakes([first, second])
    assert [(m.row, m.truth, m.guess, m.seeds) for m in found] == [(0, 0, 1, 2), (10, 0, 1, 1)]
    assert found[0].confidence == pytest.approx(0.65)


def test_a_confusion_matrix_counts_every_test_image_once(study: Path) -> None:
    details = details_of(read_study_folder(study))["ridge"]
    assert details.seeds == 2
    assert sum(cell.count for cell in details.cells) == pytest.approx(200)
    images = {row["class"]: row["n"] for row in details.per_class}
    for cell in details.cells:
        assert cell.count <= images[cell.truth] + 1e-6
    assert {row["class"] for row in details.per_class} == set(range(10))


def test_seeds_are_pooled_in_order() -> None:
    found = pool([outcome([0, 1], [1, 1], [0.6, 0.9]), outcome([0, 1], [0, 1], [0.7, 0.8])])
    assert found.rows.tolist() == [0, 10, 0, 10] and found.predicted.tolist() == [1, 1, 0, 1]
    assert found.correct.tolist() == [False, True, True, True]


def test_the_guess_of_a_mistake_is_the_most_frequent_one_and_the_list_is_limited() -> None:
    outcomes = [outcome([0, 0, 0], [guess, 2, 0], [0.5, 0.9, 0.9]) for guess in (1, 2, 2)]
    found = worst_mistakes(outcomes)
    assert [(m.row, m.guess, m.seeds) for m in found] == [(10, 2, 3), (0, 2, 3)]  # row 10: lower probability of truth
    assert found[0].own == pytest.approx(0.05) and found[1].confidence == pytest.approx(0.5)
    assert worst_mistakes(outcomes, limit=1) == found[:1]


def test_the_figures_of_a_class_are_means_over_seeds(study: Path) -> None:
    files = read_study_folder(study)
    tables = [r.result["metrics"]["test"]["per_class"] for r in files.records if r.run == "ridge"]
    row = details_of(files)["ridge"].per_class[3]
    recalls = [table[3]["recall"]["value"] for table in tables]
    assert row["recall"] == pytest.approx(np.mean(recalls), abs=1e-5) and recalls[0] != recalls[1]
    assert row["n"] == 20 and "low" not in row  # an interval over images is that of one seed


def test_the_recall_of_a_single_seed_keeps_its_interval_over_images(tmp_path: Path) -> None:
    files = read_study_folder(make_study(tmp_path, RUNS[3:4], classes=4, per_class=5, seeds=1, draws=10))
    (record,) = files.records
    recalls = [row["recall"] for row in record.result["metrics"]["test"]["per_class"]]
    rows = details_of(files)[record.run].per_class
    assert [row["class"] for row in rows] == [0, 1, 2, 3]
    assert [(row["low"], row["high"]) for row in rows] == [(round(r["low"], 5), round(r["high"], 5)) for r in recalls]
    assert len({row["low"] for row in rows}) > 1


def test_a_class_has_as_many_images_as_were_tested_in_all_folds_together() -> None:
    first, second = outcome([0, 0, 1], [0, 1, 1], [0.6, 0.9, 0.8]), outcome([0, 1, 1], [0, 1, 1], [0.6, 0.9, 0.8])
    other = Outcome(
        second.rows + 1, *(getattr(second, name) for name in ("labels", "predicted", "confidence", "own", "correct"))
    )
    assert _images(pool([first, other]), 3) == [3, 3, 0]
    assert _images(pool([first, first]), 2) == [2, 1]  # seeds that test the same images
