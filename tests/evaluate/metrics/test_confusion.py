from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from headstart.evaluate.metrics.confusion import (
    Counts,
    averages,
    confusion_matrix,
    count,
    count_resampled,
    effective_images,
    image_shares,
    matthews,
    precision_recall_f1,
)

LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
PREDICTED = np.array([0, 0, 1, 1, 3, 2, 2, 0, 0])  # class 3 has no images, class 4 neither side


def test_counts_are_worked_out_by_hand() -> None:
    counts = count(LABELS, PREDICTED, 5)
    assert counts.support.tolist() == [[3, 2, 4, 0, 0]]
    assert counts.predicted.tolist() == [[4, 2, 2, 1, 0]]
    assert counts.agreed.tolist() == [[2, 1, 2, 0, 0]]


def test_precision_recall_and_f1_are_worked_out_by_hand() -> None:
    precision, recall, f1 = precision_recall_f1(count(LABELS, PREDICTED, 5))
    assert precision[0] == pytest.approx([1 / 2, 1 / 2, 1, 0, np.nan], nan_ok=True)
    assert recall[0] == pytest.approx([2 / 3, 1 / 2, 1 / 2, 0, np.nan], nan_ok=True)
    assert f1[0] == pytest.approx([4 / 7, 1 / 2, 2 / 3, 0, np.nan], nan_ok=True)


def test_averages_are_worked_out_by_hand() -> None:
    found = {name: value[0] for name, value in averages(count(LABELS, PREDICTED, 5)).items()}
    assert found["precision_macro"] == pytest.approx(2 / 4)
    assert found["recall_macro"] == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 4)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)
    assert found["precision_weighted"] == pytest.approx((3 / 2 + 2 / 2 + 4) / 9)
    assert found["recall_weighted"] == pytest.approx(5 / 9)
    assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(LABELS, PREDICTED))


def test_matthews_is_zero_where_one_side_is_constant() -> None:
    assert matthews(count(np.array([0, 0, 1]), np.array([1, 1, 1]), 2)).tolist() == [0.0]
    assert matthews(count(np.array([1, 1]), np.array([1, 1]), 2)).tolist() == [0.0]


def test_resampled_counts_are_those_of_resampled_images() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 200)
    predicted = np.where(generator.random(200) < 0.7, labels, generator.integers(0, 3, 200))
    again = count_resampled(labels, predicted, 3, 4000, 1)
    once = count(labels, predicted, 3)
    assert (again.support.sum(axis=1) == 200).all()
    assert (again.predicted.sum(axis=1) == 200).all()
    assert (again.agreed <= np.minimum(again.support, again.predicted)).all()
    for name in ("support", "predicted", "agreed"):
        share = getattr(once, name)[0] / 200
        assert getattr(again, name).mean(axis=0) == pytest.approx(200 * share, abs=0.6)
        assert getattr(again, name).std(axis=0) == pytest.approx(np.sqrt(200 * share * (1 - share)), rel=0.06)
    assert (
        count_resampled(labels, predicted, 3, 5, 1).agreed == count_resampled(labels, predicted, 3, 5, 1).agreed
    ).all()
    assert (
        count_resampled(labels, predicted, 3, 5, 2).agreed != count_resampled(labels, predicted, 3, 5, 1).agreed
    ).any()


def test_the_confusion_matrix_has_true_classes_in_rows() -> None:
    found = confusion_matrix(LABELS, PREDICTED, 5)
    assert found.tolist() == sk.confusion_matrix(LABELS, PREDICTED, labels=range(5)).tolist()
    assert found[2].tolist() == [2, 0, 2, 0, 0]


def test_classes_of_equal_difficulty_are_worth_the_harmonic_number_of_images() -> None:
    def of(*support: float) -> float:
        row = np.array([support], dtype=np.float64)
        return effective_images(Counts(row, row, row))

    assert of(10, 10, 10) == pytest.approx(30)
    assert of(2, 98) == pytest.approx(4 / (1 / 2 + 1 / 98))
    assert of(10, 0, 10) == pytest.approx(20)


def test_the_predictions_of_an_image_share_it() -> None:
    assert image_shares(np.array([4, 9, 4, 4])).tolist() == pytest.approx([1 / 3, 1, 1 / 3, 1 / 3])


def test_each_resample_has_averages_of_its_own() -> None:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 4, 60)
    predicted = np.where(generator.random(60) < 0.6, labels, generator.integers(0, 4, 60))
    halves = [count(labels[part], predicted[part], 4) for part in (slice(0, 20), slice(20, 60))]
    both = Counts(*(np.concatenate([getattr(h, n) for h in halves]) for n in ("support", "predicted", "agreed")))
    together, alone = averages(both), [averages(half) for half in halves]
    assert list(together) == list(alone[0])
    for name, values in together.items():
        assert values == pytest.approx([each[name][0] for each in alone])
        scorer = {"f1_macro": sk.f1_score, "f1_weighted": sk.f1_score}.get(name)
        if scorer is not None:
            expected = scorer(labels[:20], predicted[:20], average=name.removeprefix("f1_"), zero_division=0)
            assert values[0] == pytest.approx(expected)


def test_a_class_with_a_single_image_and_prediction_counts_in_full() -> None:
    counts = count(np.array([0, 0, 1]), np.array([0, 0, 1]), 2)
    precision, recall, f1 = precision_recall_f1(counts)
    assert precision.tolist() == recall.tolist() == f1.tolist() == [[1.0, 1.0]]
    assert {name: value.tolist() for name, value in averages(counts).items()} == {
        name: [1.0] for name in averages(counts)
    }


def test_a_class_of_one_image_counts_as_any_other() -> None:
    labels, predicted = np.array([0, 0, 1]), np.array([0, 1, 1])
    counts = count(labels, predicted, 3)
    found = averages(counts)
    assert set(found) == {
        *(f"{name}_{kind}" for name in ("precision", "recall", "f1") for kind in ("macro", "weighted")),
        "balanced_accuracy",
        "mcc",
    }
    assert found["balanced_accuracy"][0] == pytest.approx((0.5 + 1) / 2)
    assert found["f1_macro"][0] == pytest.approx(2 / 3)  # of both 2 · 1 / (2 + 1) and 2 · 1 / (1 + 2)
    assert found["mcc"][0] == pytest.approx(0.5)  # (2 · 3 - 4) / √((9 - 5) (9 - 5))
    assert effective_images(counts) == pytest.approx(4 / (1 / 2 + 1))
    assert averages(count(np.array([0, 0]), np.array([0, 1]), 2))["mcc"][0] == 0.0  # all labels are equal
