from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as tm
from scipy import special
from sklearn import metrics as sk

from headstart.errors import DataError
from headstart.evaluate.metrics.calibration import calibration_error, reliability
from headstart.evaluate.metrics.intervals import mean_loss, proportion, wilson
from headstart.evaluate.metrics.metrics import brier_scores, evaluate, log_losses, mean_losses, within_top


def example(n: int, classes: int, seed: int, signal: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    scores = generator.normal(size=(n, classes))
    scores[np.arange(n), labels] += signal
    return labels, np.asarray(torch.tensor(scores).softmax(1).numpy())


def names(classes: int) -> list[str]:
    return [f"class {c:03}" for c in range(classes)]


SINGLE: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda y, p: sk.accuracy_score(y, p.argmax(1)),
    "balanced_accuracy": lambda y, p: sk.balanced_accuracy_score(y, p.argmax(1)),
    "top5_accuracy": lambda y, p: sk.top_k_accuracy_score(y, p, k=5, labels=np.arange(p.shape[1])),
    "precision_macro": lambda y, p: sk.precision_score(y, p.argmax(1), average="macro", zero_division=0),
    "precision_weighted": lambda y, p: sk.precision_score(y, p.argmax(1), average="weighted", zero_division=0),
    "recall_macro": lambda y, p: sk.recall_score(y, p.argmax(1), average="macro", zero_division=0),
    "recall_weighted": lambda y, p: sk.recall_score(y, p.argmax(1), average="weighted", zero_division=0),
    "f1_macro": lambda y, p: sk.f1_score(y, p.argmax(1), average="macro", zero_division=0),
    "f1_weighted": lambda y, p: sk.f1_score(y, p.argmax(1), average="weighted", zero_division=0),
    "mcc": lambda y, p: sk.matthews_corrcoef(y, p.argmax(1)),
    "log_loss": lambda y, p: sk.log_loss(y, p, labels=np.arange(p.shape[1])),
    "brier": lambda y, p: float(((p - np.eye(p.shape[1])[y]) ** 2).sum(1).mean()),
    "roc_auc": lambda y, p: sk.roc_auc_score(y, p, multi_class="ovr", average="macro"),
    "map": lambda y, p: sk.average_precision_score(np.eye(p.shape[1])[y], p, average="macro"),
}


@pytest.mark.parametrize("measure", sorted(SINGLE))
@pytest.mark.parametrize(("n", "classes", "seed"), [(400, 7, 0), (90, 12, 1), (1000, 6, 2)])
def test_each_measure_agrees_with_scikit_learn_or_torchmetrics(measure: str, n: int, classes: int, seed: int) -> None:
    labels, probabilities = example(n, classes, seed)
    found = evaluate(labels, probabilities, names(classes), draws=20)[measure]
    assert found["value"] == pytest.approx(SINGLE[measure](labels, probabilities), abs=2e-6)
    assert found["low"] <= found["value"] <= found["high"]
    assert found["n"] == n


def test_figures_per_class_agree_with_scikit_learn() -> None:
    labels, probabilities = example(500, 9, 3)
    predicted = probabilities.argmax(1)
    rows = evaluate(labels, probabilities, names(9), draws=20)["per_class"]
    precision, recall, f1, support = sk.precision_recall_fscore_support(labels, predicted, zero_division=0)
    assert [row["precision"]["value"] for row in rows] == pytest.approx(list(precision))
    assert [row["recall"]["value"] for row in rows] == pytest.approx(list(recall))
    assert [row["f1"]["value"] for row in rows] == pytest.approx(list(f1))
    assert [row["n"] for row in rows] == list(support)
    for c, row in enumerate(rows):
        assert row["roc_auc"]["value"] == pytest.approx(sk.roc_auc_score(labels == c, probabilities[:, c]))
        assert row["pr_auc"]["value"] == pytest.approx(sk.average_precision_score(labels == c, probabilities[:, c]))


def test_confusion_matrix_agrees_with_scikit_learn() -> None:
    labels, probabilities = example(300, 6, 4)
    found = evaluate(labels, probabilities, names(6), draws=20)["confusion"]
    assert found == sk.confusion_matrix(labels, probabilities.argmax(1)).tolist()


def test_tied_scores_are_handled_as_scikit_learn_does() -> None:
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 3, 200)
    probabilities = generator.multinomial(4, [1 / 3] * 3, 200) / 4
    found = evaluate(labels, probabilities, names(3), draws=20)
    assert found["roc_auc"]["value"] == pytest.approx(sk.roc_auc_score(labels, probabilities, multi_class="ovr"))
    assert found["map"]["value"] == pytest.approx(
        sk.average_precision_score(np.eye(3)[labels], probabilities, average="macro")
    )


def test_the_result_says_what_was_scored() -> None:
    labels, probabilities = example(90, 6, 16)
    found = evaluate(labels, probabilities, names(6), draws=10)
    assert (found["kind"], found["n"], found["classes"]) == ("single-label", 90, names(6))
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    assert found["reliability"] == reliability(confidence, correct, 15)
    assert found["ece"] == calibration_error(confidence, correct, 15, 10, 0)


def test_float32_probabilities_give_the_same_figures_to_six_digits() -> None:
    labels, probabilities = example(300, 6, 6)
    wide = evaluate(labels, probabilities, names(6), draws=20)
    slim = evaluate(labels, probabilities.astype(np.float32), names(6), draws=20)
    for measure in SINGLE:
        assert slim[measure]["value"] == pytest.approx(wide[measure]["value"], abs=1e-5)


def test_a_class_without_images_or_predictions_is_left_out_of_the_averages() -> None:
    labels, probabilities = example(200, 6, 7)
    padded = np.hstack([probabilities, np.zeros((200, 1))])
    with_absent, without = (
        evaluate(labels, padded, names(7), draws=20),
        evaluate(labels, probabilities, names(6)),
    )
    for measure in SINGLE:
        assert with_absent[measure]["value"] == pytest.approx(without[measure]["value"], abs=1e-9)
    row = with_absent["per_class"][6]
    assert row["n"] == 0
    assert [row[m]["value"] for m in ("precision", "recall", "f1", "roc_auc", "pr_auc")] == [None] * 5


def test_a_class_predicted_but_absent_counts_as_zero_like_scikit_learn() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sk.f1_score(labels, probabilities.argmax(1), average="macro", zero_division=0)
        balanced = sk.balanced_accuracy_score(labels, probabilities.argmax(1))
    found = evaluate(labels, probabilities, names(3), draws=50)
    assert found["f1_macro"]["value"] == pytest.approx(expected)
    assert found["balanced_accuracy"]["value"] == pytest.approx(balanced)


def test_perfect_predictions_keep_an_interval_with_width() -> None:
    labels = np.arange(60) % 6
    found = evaluate(labels, np.eye(6)[labels], names(6))
    for measure in ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "mcc"):
        assert found[measure]["value"] == pytest.approx(1.0)
        assert found[measure]["high"] == pytest.approx(1.0)
        assert 0.85 < found[measure]["low"] < 0.97


def test_one_image_is_scored() -> None:
    found = evaluate(np.array([1]), np.array([[0.2, 0.8]]), ["a", "b"])
    assert found["accuracy"]["value"] == 1.0
    assert found["accuracy"]["low"] == pytest.approx(0.2065, abs=1e-3)
    assert found["roc_auc"]["value"] is None


def test_the_result_is_json_and_the_same_each_time() -> None:
    labels, probabilities = example(150, 8, 8)
    first, second = (json.dumps(evaluate(labels, probabilities, names(8)), allow_nan=False) for _ in range(2))
    assert first == second


def test_columns_of_a_model_with_more_classes_are_found_by_name() -> None:
    labels, probabilities = example(100, 3, 9)
    found = evaluate(
        labels,
        np.hstack([np.zeros((100, 1)), probabilities[:, ::-1]]),
        ["a", "b", "c"],
        train_classes=["x", "c", "b", "a"],
    )
    assert found["accuracy"] == evaluate(labels, probabilities, ["a", "b", "c"])["accuracy"]
    assert found["classes"] == ["x", "c", "b", "a"]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_top_k_agrees_with_scikit_learn(k: int) -> None:
    labels, probabilities = example(200, 7, 12)
    expected = sk.top_k_accuracy_score(labels, probabilities, k=k, labels=np.arange(7))
    assert within_top(labels, probabilities, k).mean() == pytest.approx(expected)


def test_among_equal_probabilities_the_first_columns_are_the_top() -> None:
    probabilities = np.full((4, 4), 0.25)
    assert within_top(np.arange(4), probabilities, 1).tolist() == [True, False, False, False]
    assert within_top(np.arange(4), probabilities, 3).tolist() == [True, True, True, False]
    assert within_top(np.arange(4), probabilities, 1).tolist() == (probabilities.argmax(1) == np.arange(4)).tolist()


def test_top5_accuracy_is_given_from_six_classes_on() -> None:
    assert "top5_accuracy" not in evaluate(*example(20, 5, 0), names(5), draws=2)
    assert "top5_accuracy" in evaluate(*example(20, 6, 0), names(6), draws=2)


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_averages_agree_with_torchmetrics_where_every_class_has_images(average: str) -> None:
    labels, probabilities = example(300, 8, 13)
    found = evaluate(labels, probabilities, names(8), draws=200)
    given = {"preds": torch.tensor(probabilities), "target": torch.tensor(labels), "num_classes": 8}
    for name, measure in (
        ("precision", tm.multiclass_precision),
        ("recall", tm.multiclass_recall),
        ("f1", tm.multiclass_f1_score),
        ("roc_auc", tm.multiclass_auroc),
        ("map", tm.multiclass_average_precision),
    ):
        if average == "macro" or name in ("precision", "recall", "f1"):
            key = name if name in ("roc_auc", "map") else f"{name}_{average}"
            assert found[key]["value"] == pytest.approx(float(measure(**given, average=average)), abs=1e-6)
    assert found["mcc"]["value"] == pytest.approx(float(tm.multiclass_matthews_corrcoef(**given)), abs=1e-6)
    binned = float(tm.multiclass_calibration_error(**given, n_bins=15))
    assert found["binned_ece"] == pytest.approx(binned, abs=1e-6)
    assert found["ece"]["low"] <= found["ece"]["value"] <= min(found["binned_ece"], found["ece"]["high"])


def test_each_class_has_the_interval_of_its_own_images() -> None:
    labels, probabilities = example(120, 3, 14)
    found = evaluate(labels, probabilities, names(3), draws=400)
    predicted = probabilities.argmax(1)
    for c, row in enumerate(found["per_class"]):
        correct = int(((predicted == c) & (labels == c)).sum())
        assert (row["n"], row["predicted"], row["correct"]) == ((labels == c).sum(), (predicted == c).sum(), correct)
        assert row["recall"] == proportion(correct, int((labels == c).sum()))
        assert row["precision"] == proportion(correct, int((predicted == c).sum()))
        assert row["f1"]["n"] == row["n"]
        assert row["f1"]["low"] < row["f1"]["value"] < row["f1"]["high"]


def test_a_class_told_apart_perfectly_has_the_interval_of_its_few_images() -> None:
    labels = np.array([0] * 5 + [1] * 95)
    rows = evaluate(labels, np.eye(2)[labels], ["rare", "frequent"], draws=50)["per_class"]
    rare, frequent = rows
    assert rare["roc_auc"]["low"] == frequent["roc_auc"]["low"] == pytest.approx(wilson(5, 5)[0])
    assert rare["pr_auc"]["low"] == pytest.approx(wilson(5, 5)[0])
    assert frequent["pr_auc"]["low"] == pytest.approx(wilson(95, 95)[0])


def test_balanced_accuracy_without_mistakes_is_as_sure_as_its_rare_classes_allow() -> None:
    labels = np.array([0] * 5 + [1] * 95)
    found = evaluate(labels, np.eye(2)[labels], ["rare", "frequent"], draws=50)
    worth = 4 / (1 / 5 + 1 / 95)
    assert found["balanced_accuracy"]["low"] == pytest.approx(wilson(worth, worth)[0])
    assert found["accuracy"]["low"] == pytest.approx(wilson(100, 100)[0])


BOUNDS = {"mcc": (-1.0, 1.0), "log_loss": (0.0, 16.0), "brier": (0.0, 2.0)}


@pytest.mark.parametrize("kind", ["perfect", "all wrong", "nearly perfect", "chance", "one image", "flat"])
def test_every_interval_stays_in_bounds_and_contains_the_value(kind: str) -> None:
    n = 1 if kind == "one image" else 40
    labels = np.arange(n) % 6
    shown = (labels + 1) % 6 if kind == "all wrong" else labels.copy()
    if kind == "nearly perfect":
        shown[0] = 3
    probabilities = np.eye(6, dtype=np.float32)[shown]
    if kind == "chance":
        probabilities = example(n, 6, 15, signal=0.0)[1].astype(np.float32)
    if kind == "flat":
        probabilities = np.full((n, 6), 1 / 6, dtype=np.float32)
    found = evaluate(labels, probabilities, names(6), draws=200)
    entries = {name: entry for name, entry in found.items() if isinstance(entry, dict)}
    for row in found["per_class"]:
        entries.update({f"{row['class']} {name}": entry for name, entry in row.items() if isinstance(entry, dict)})
    for name, entry in entries.items():
        if entry["value"] is not None:
            low, high = BOUNDS.get(name, (0.0, 1.0))
            assert low <= entry["low"] <= entry["value"] + 1e-12, (name, entry)
            assert entry["value"] - 1e-12 <= entry["high"] <= high, (name, entry)


def test_log_loss_without_mistakes_allows_for_those_not_seen() -> None:
    labels = np.zeros(50, dtype=np.int64)
    probabilities = np.tile([0.97, 0.02, 0.01], (50, 1))
    found = evaluate(labels, probabilities, names(3), draws=2)
    unseen = -(2 * np.log(0.02) + np.log(0.01)) / 3  # the loss if another class is the true one
    expected = mean_loss(np.full(50, -np.log(0.97)), unseen, 36.05)
    assert found["log_loss"] == pytest.approx(expected, rel=1e-9)
    assert found["log_loss"]["high"] > 4 * found["log_loss"]["value"]
    unseen = 0.97**2 + (2 * (0.98**2 + 0.01**2) + (0.02**2 + 0.99**2)) / 3
    expected = mean_loss(np.full(50, 0.03**2 + 0.02**2 + 0.01**2), unseen, 2.0)
    assert found["brier"] == pytest.approx(expected, rel=1e-9)


def test_the_loss_of_a_mistake_is_that_of_the_mistakes_and_two_expected_ones() -> None:
    labels = np.array([0] * 30 + [1] * 10)
    probabilities = np.tile([0.8, 0.2], (40, 1))
    probabilities[:10] = [0.6, 0.4]
    losses = log_losses(labels, probabilities)
    weights = np.sqrt(np.repeat([0.4, 0.2], [10, 30]))
    unseen = float(np.average(np.repeat([-np.log(0.4), -np.log(0.2)], [10, 30]), weights=weights))
    mistake = (10 * -np.log(0.2) + 2 * unseen) / 12
    found = evaluate(labels, probabilities, names(2), draws=2)["log_loss"]
    assert found == pytest.approx(mean_loss(losses, mistake, 36.05), rel=1e-9)


def test_probabilities_of_zero_and_one_have_the_largest_loss_that_their_type_allows() -> None:
    labels = np.array([0, 1])
    for kind in (np.float32, np.float64):
        probabilities = np.array([[1, 0], [1, 0]], dtype=kind)
        most = -np.log(np.finfo(kind).eps)
        assert log_losses(labels, probabilities) == pytest.approx([0.0, most], abs=1e-6)
        found = evaluate(labels, probabilities, names(2), draws=2)
        assert found["log_loss"]["high"] <= most + 1e-9
        assert brier_scores(labels, probabilities).tolist() == [0.0, 2.0]


def truths(seed: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw 100,000 images of ten classes, 97 % right, with probabilities that are right at temperature 1."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(100_000, 10)) * 35
    labels = np.minimum((special.softmax(scores, 1).cumsum(1) < generator.random((100_000, 1))).sum(1), 9)
    return labels, special.softmax(scores / temperature, 1).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_log_loss_and_brier_intervals_of_50_images_at_97_percent_hold_the_truth(temperature: float) -> None:
    labels, probabilities = truths(0, temperature)
    loss, brier = log_losses(labels, probabilities).mean(), brier_scores(labels, probabilities).mean()
    held = np.zeros(2)
    for seed in range(150):
        rows = np.random.default_rng([1, seed]).integers(0, 100_000, 50)
        found = mean_losses(labels[rows], probabilities[rows])
        held += [
            found["log_loss"]["low"] <= loss <= found["log_loss"]["high"],  # type: ignore[operator]
            found["brier"]["low"] <= brier <= found["brier"]["high"],  # type: ignore[operator]
        ]
    assert (held / 150 >= 0.92).all(), held / 150


def test_a_usual_test_set_is_scored_in_about_a_second() -> None:
    labels, probabilities = example(2893, 101, 11)
    evaluate(labels[:10], probabilities[:10], names(101), draws=5)
    started = time.process_time()
    evaluate(labels, probabilities.astype(np.float32), names(101))
    assert time.process_time() - started < 2.5  # under one on a quiet machine


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        (np.array([], dtype=np.int64), np.zeros((0, 2)), "no images"),
        (np.array([0, 1]), np.zeros((3, 2)), r"need probabilities \[2, 2\], not \[3, 2\]"),
        (np.array([0, 1]), np.array([[2.0, -1.0], [0.5, 0.5]]), "between 0 and 1"),
        (np.array([0, 1]), np.array([[0.2, 0.2], [0.5, 0.5]]), "sum to 1"),
        (np.array([0, 2]), np.array([[0.5, 0.5], [0.5, 0.5]]), "label 2 is outside"),
        (np.array([0, 1]), np.array([[math.nan, 0.5], [0.5, 0.5]]), "finite"),
    ],
)
def test_bad_input_is_refused_in_one_line(labels: np.ndarray, probabilities: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        evaluate(labels, probabilities, ["a", "b"])
    assert "\n" not in str(caught.value)


def drawn(n: int, classes: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw images of uneven classes and somewhat too cautious probabilities."""
    generator = np.random.default_rng(seed)
    share = np.arange(1, classes + 1) / np.arange(1, classes + 1).sum()
    labels = generator.choice(classes, n, p=share)
    scores = generator.normal(size=(n, classes))
    scores[np.arange(n), labels] += 2.5
    return labels, np.asarray(special.softmax(1.3 * scores, axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("scale", [2.0, 8.0, 35.0, 100.0])
@pytest.mark.parametrize("n", [50, 200, 1000])
def test_over_1000_experiments_log_loss_and_brier_intervals_hold_the_truth(
    n: int, scale: float, temperature: float
) -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(200_000, 10)) * scale
    labels = np.minimum((special.softmax(scores, 1).cumsum(1) < generator.random((200_000, 1))).sum(1), 9)
    probabilities = special.softmax(scores / temperature, 1).astype(np.float32)
    truth = {
        "log_loss": float(log_losses(labels, probabilities).mean()),
        "brier": float(brier_scores(labels, probabilities).mean()),
    }
    held = dict.fromkeys(truth, 0)
    for seed in range(1000):
        rows = np.random.default_rng([1, seed]).integers(0, len(labels), n)
        found = mean_losses(labels[rows], probabilities[rows])
        for name, value in truth.items():
            held[name] += found[name]["low"] <= value <= found[name]["high"]  # type: ignore[operator]
    accuracy = (probabilities.argmax(1) == labels).mean()
    shown = ", ".join(f"{name} {count / 10:.1f} %" for name, count in held.items())
    print(f"accuracy {100 * accuracy:.1f} %, temperature {temperature}, n {n}: {shown}")
    assert held["brier"] >= 920
    assert held["log_loss"] >= (920 if temperature >= 1.0 else 890)


@pytest.mark.slow
def test_over_400_experiments_the_intervals_of_one_run_hold_the_truth() -> None:
    truth = evaluate(*drawn(400_000, 6, [0]), names(6), draws=2)
    held = dict.fromkeys(SINGLE, 0)
    for each in range(400):
        found = evaluate(*drawn(600, 6, [1, each]), names(6), draws=400)
        for measure in held:
            held[measure] += found[measure]["low"] <= truth[measure]["value"] <= found[measure]["high"]
    shares = {measure: count / 400 for measure, count in held.items()}
    print("; ".join(f"{measure} {100 * share:.1f} %" for measure, share in sorted(shares.items())))
    assert shares.pop("top5_accuracy") >= 0.93  # nearly all are right: Wilson's interval errs on the wide side
    assert all(0.92 <= share <= 0.985 for share in shares.values()), shares
