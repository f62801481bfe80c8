from __future__ import annotations

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as tm
from scipy import special, stats

from headstart.errors import DataError
from headstart.evaluate.metrics.calibration import (
    apply_temperature,
    bin_of,
    binned_calibration_error,
    calibrated,
    calibration_error,
    fit_temperature,
    reliability,
)
from headstart.evaluate.metrics.intervals import wilson
from headstart.evaluate.metrics.metrics import log_losses
from headstart.transfer.heads.selection import best_scale


def honest(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels from the very probabilities that are reported."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, classes)) * 2
    probabilities = special.softmax(logits, axis=1)
    labels = (probabilities.cumsum(axis=1) < generator.random((n, 1))).sum(axis=1)
    return np.minimum(labels, classes - 1), probabilities


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_that_spoilt_the_probabilities_is_found(true: float) -> None:
    labels, probabilities = honest(8000, 6, 0)
    spoilt = special.softmax(np.log(probabilities) * true, axis=1)
    assert fit_temperature(labels, spoilt) == pytest.approx(true, rel=0.05)


def test_the_right_temperature_restores_the_probabilities_and_the_order_stays() -> None:
    _, probabilities = honest(100, 6, 1)
    spoilt = special.softmax(np.log(probabilities) * 3, axis=1)
    assert apply_temperature(spoilt, 3.0) == pytest.approx(probabilities)
    assert (apply_temperature(spoilt, 0.3).argmax(1) == probabilities.argmax(1)).all()


def penalised_loss(labels: np.ndarray, probabilities: np.ndarray, temperature: float) -> float:
    """Return the objective as it is defined: cross-entropy with Platt's targets, and the prior."""
    n, classes = probabilities.shape
    targets = np.full((n, classes), 1 / (n + 2) / classes)
    targets[np.arange(n), labels] += 1 - 1 / (n + 2)
    cross_entropy = -(targets * np.log(apply_temperature(probabilities, temperature))).sum()
    return float(cross_entropy - stats.norm.logpdf(np.log(temperature), 0, 0.7))


@pytest.mark.parametrize("n", [12, 400])
def test_the_fitted_temperature_is_where_the_penalised_log_loss_is_least(n: int) -> None:
    labels, probabilities = honest(n, 5, 2)
    probabilities = special.softmax(np.log(probabilities) * 1.7, axis=1)
    best = fit_temperature(labels, probabilities)
    least = penalised_loss(labels, probabilities, best)
    for other in (*np.geomspace(0.05, 20, 300), best * 1.003, best / 1.003):
        assert least <= penalised_loss(labels, probabilities, float(other)) + 1e-9


@pytest.mark.parametrize("confidence", [0.6, 0.9, 0.99])
def test_a_dozen_images_that_are_all_right_do_not_ask_for_certainty(confidence: float) -> None:
    labels = np.arange(12) % 3
    probabilities = np.full((12, 3), (1 - confidence) / 2)
    probabilities[np.arange(12), labels] = confidence
    temperature = fit_temperature(labels, probabilities)
    sharpened = apply_temperature(probabilities, temperature).max(axis=1)
    assert 0.35 < temperature < 1.6
    assert 0.85 < sharpened.min() < 0.99


def test_one_confident_mistake_among_a_dozen_does_not_flatten_everything() -> None:
    labels = np.array([0] * 12)
    probabilities = np.tile([0.98, 0.01, 0.01], (12, 1))
    probabilities[0] = [0.01, 0.98, 0.01]
    assert 1.2 < fit_temperature(labels, probabilities) < 2.5


def test_the_temperature_of_a_single_image_is_close_to_one() -> None:
    for own in (0.999, 0.5, 0.001):
        probabilities = np.array([[own, 1 - own]])
        assert 0.5 < fit_temperature(np.array([0]), probabilities) < 3.0


def test_logits_whose_scale_was_fitted_to_the_same_images_are_left_as_they_are() -> None:
    generator = np.random.default_rng(7)
    labels = generator.integers(0, 4, 60)
    logits = generator.normal(size=(60, 4)) + 3 * np.eye(4)[labels]
    scale = best_scale(torch.tensor(logits), torch.tensor(labels), tolerance=1e-9)
    scaled = special.softmax(scale * logits, axis=1)
    assert fit_temperature(labels, scaled) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("images", [1, 2, 4, 10])
def test_calibration_on_few_images_does_not_raise_the_test_log_loss(images: int) -> None:
    """As benchmarks/calibration.py, on drawn logits: heads that are right, too cautious and too sure."""
    for sharpness in (0.4, 1.0, 2.5):
        before, after = 0.0, 0.0
        for seed in range(20):
            labels, probabilities = honest(600 + 10 * images, 10, seed)
            head = special.softmax(sharpness * np.log(probabilities) * 2, axis=1)
            labels = np.where(np.random.default_rng(seed).random(len(labels)) < 0.5, head.argmax(axis=1), labels)
            temperature = fit_temperature(labels[600:], head[600:])
            before += log_losses(labels[:600], head[:600]).mean()
            after += log_losses(labels[:600], apply_temperature(head[:600], temperature)).mean()
        assert after <= 1.01 * before, (sharpness, images)


def test_probabilities_of_zero_in_single_precision_are_accepted() -> None:
    labels = np.array([0, 1, 1])
    probabilities = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    temperature = fit_temperature(labels, probabilities)
    assert 1 < temperature <= 20
    assert np.isfinite(apply_temperature(probabilities, temperature)).all()


def test_no_validation_images_no_temperature() -> None:
    with pytest.raises(DataError, match="needs validation images"):
        fit_temperature(np.zeros(0, dtype=np.int64), np.zeros((0, 3)))


@pytest.mark.parametrize("bins", [10, 15])
def test_the_binned_calibration_error_agrees_with_torchmetrics(bins: int) -> None:
    labels, probabilities = honest(700, 4, 3)
    probabilities = special.softmax(np.log(probabilities) * 2, axis=1)
    expected = tm.multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), 4, n_bins=bins)
    found = binned_calibration_error(probabilities.max(1), probabilities.argmax(1) == labels, bins)
    assert found == pytest.approx(float(expected), abs=1e-6)


def test_the_reliability_curve_adds_up_to_the_binned_calibration_error() -> None:
    labels, probabilities = honest(500, 4, 4)
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    rows = reliability(confidence, correct)
    total = sum(row["n"] * abs(row["accuracy"] - row["confidence"]) for row in rows) / 500
    assert total == pytest.approx(binned_calibration_error(confidence, correct))
    assert sum(row["n"] for row in rows) == 500
    for row in rows:
        inside = (confidence > row["low"]) & (confidence <= row["high"])
        assert row["high"] - row["low"] == pytest.approx(1 / 15)
        assert (row["n"], row["accuracy"]) == (inside.sum(), pytest.approx(correct[inside].mean()))
        assert row["confidence"] == pytest.approx(confidence[inside].mean())
        low, high = wilson(int(correct[inside].sum()), row["n"])
        assert (row["accuracy_low"], row["accuracy_high"]) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(
    ("confidence", "accuracy", "below", "above"),
    [
        # the accuracy varies more than a calibrated one would: 1.96 standard deviations √(0.8 · 0.2) to both sides
        (0.9, 0.8, 1.96 * 0.4, 1.96 * 0.4),
        # a calibrated one would vary more, to 2.24 standard deviations √(0.5 · 0.5), as |z| has no sign
        (0.5, 0.9, 2.2414 * 0.5, 1.96 * 0.3),
    ],
)
def test_the_interval_of_the_calibration_error_of_one_bin_is_worked_out_by_hand(
    confidence: float, accuracy: float, below: float, above: float
) -> None:
    correct = np.arange(10_000) < 10_000 * accuracy
    found = calibration_error(np.full(10_000, confidence), correct, draws=8000)
    gap = abs(confidence - accuracy)
    assert found["value"] == pytest.approx(gap, abs=2e-4)
    assert found["low"] == pytest.approx(gap - below / 100, abs=4e-4)
    assert found["high"] == pytest.approx(gap + above / 100, abs=4e-4)
    assert found["n"] == 10_000


def test_gaps_of_opposite_sign_do_not_cancel() -> None:
    confidence = np.repeat([0.6, 0.9], [4000, 6000])
    correct = np.concatenate([np.arange(4000) < 3200, np.arange(6000) < 4800])  # 80 % in both
    assert binned_calibration_error(confidence, correct) == pytest.approx(0.4 * 0.2 + 0.6 * 0.1)
    assert calibration_error(confidence, correct)["value"] == pytest.approx(0.14, abs=5e-4)


def test_the_calibration_error_of_calibrated_probabilities_has_zero_in_its_interval_and_loses_bias() -> None:
    plain, debiased, held = [], [], 0
    for seed in range(150):
        labels, probabilities = honest(300, 5, 100 + seed)
        confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
        found = calibration_error(confidence, correct, draws=200)
        plain.append(binned_calibration_error(confidence, correct))
        debiased.append(found["value"])
        held += found["low"] == 0.0
    assert held / 150 >= 0.93
    assert np.mean(debiased) < 0.65 * np.mean(plain)


@pytest.mark.parametrize("sharpness", [0.6, 1.6])
@pytest.mark.parametrize("n", [60, 400])
def test_the_interval_of_the_calibration_error_covers_that_of_the_population(sharpness: float, n: int) -> None:
    def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        labels, probabilities = honest(n, 5, seed)
        confidence = special.softmax(sharpness * np.log(probabilities), axis=1).max(1)
        return confidence, probabilities.argmax(1) == labels

    truth = binned_calibration_error(*drawn(200_000, 1))
    held, values = 0, []
    for seed in range(150):
        found = calibration_error(*drawn(n, 1000 + seed), draws=200)
        held += found["low"] <= truth <= found["high"]  # type: ignore[operator]
        values.append(found["value"])
    assert held / 150 >= 0.92
    assert np.mean(values) == pytest.approx(truth, abs=0.03)


def test_calibration_errors_stay_in_bounds() -> None:
    for confidence, right in ((1.0, False), (1.0, True), (0.5, True), (0.0, True), (0.0, False)):
        for n in (1, 2, 40):
            found = calibration_error(np.full(n, confidence), np.full(n, right), draws=50)
            assert 0.0 <= found["low"] <= found["value"] <= found["high"] <= 1.0  # type: ignore[operator]
    assert calibration_error(np.full(40, 1.0), np.full(40, False))["value"] == pytest.approx(1.0, abs=0.03)
    assert calibration_error(np.full(40, 1.0), np.full(40, True))["high"] == 0.0


def test_the_calibration_error_is_the_same_for_the_same_seed() -> None:
    labels, probabilities = honest(80, 4, 6)
    given = probabilities.max(1), probabilities.argmax(1) == labels
    assert calibration_error(*given, seed=1) == calibration_error(*given, seed=1)
    assert calibration_error(*given, seed=1) != calibration_error(*given, seed=2)


def test_bins_are_closed_above() -> None:
    assert bin_of(np.array([0.0, 0.2, 0.20001, 1.0]), 5).tolist() == [0, 0, 1, 4]


def test_confidences_beyond_the_ends_fall_into_the_outer_bins() -> None:
    assert bin_of(np.array([-0.1, 1.0000001])).tolist() == [0, 14]


@pytest.mark.slow
@pytest.mark.parametrize("sharpness", [0.5, 0.8, 1.0, 1.25, 2.0])
@pytest.mark.parametrize("n", [50, 200, 1000])
@pytest.mark.parametrize("scale", [1.0, 3.0, 8.0])
def test_over_400_experiments_the_calibration_error_is_covered(scale: float, n: int, sharpness: float) -> None:
    def drawn(n: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(seed)
        logits = generator.normal(size=(n, 10)) * scale
        labels = np.minimum((special.softmax(logits, 1).cumsum(1) < generator.random((n, 1))).sum(1), 9)
        return special.softmax(sharpness * logits, 1).max(1), logits.argmax(1) == labels

    truth = binned_calibration_error(*drawn(400_000, [0]))
    found = [calibration_error(*drawn(n, [1, seed]), draws=300) for seed in range(400)]
    share = np.mean([each["low"] <= truth <= each["high"] for each in found])  # type: ignore[operator]
    value = np.mean([each["value"] for each in found])  # type: ignore[arg-type]
    print(
        f"scale {scale}, sharpness {sharpness}, n {n}: true {truth:.4f}, mean {value:.4f}, covered {100 * share:.1f} %"
    )
    assert share >= (0.93 if sharpness == 1.0 else 0.90)


def test_at_a_temperature_of_one_probabilities_are_calibrated_as_they_are() -> None:
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], 5).astype(np.float32)
    assert calibrated(probabilities, 1.0) is probabilities
    found = calibrated(probabilities, 2.0)
    assert found.dtype == np.float32 and np.array_equal(found, apply_temperature(probabilities, 2.0).astype(np.float32))
