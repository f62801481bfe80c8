from __future__ import annotations

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as tm
from scipy import special

from headstart.errors import DataError
from headstart.evaluate.metrics.calibration import (
    apply_temperature,
    bin_of,
    calibration_error,
    fit_temperature,
    reliability,
)


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


def test_the_fitted_temperature_is_where_the_log_loss_is_least() -> None:
    labels, probabilities = honest(400, 5, 2)
    best = fit_temperature(labels, probabilities)

    def loss(t: float) -> float:
        return -float(np.log(apply_temperature(probabilities, t)[np.arange(400), labels]).mean())

    assert all(loss(best) <= loss(t) + 1e-9 for t in np.linspace(0.3, 3, 200))


def test_probabilities_of_zero_in_single_precision_are_bearable() -> None:
    labels = np.array([0, 1, 1])
    probabilities = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    assert np.isfinite(apply_temperature(probabilities, fit_temperature(labels, probabilities))).all()


def test_no_validation_images_no_temperature() -> None:
    with pytest.raises(DataError, match="needs validation images"):
        fit_temperature(np.zeros(0, dtype=np.int64), np.zeros((0, 3)))


def test_calibration_error_agrees_with_torchmetrics() -> None:
    labels, probabilities = honest(700, 4, 3)
    probabilities = special.softmax(np.log(probabilities) * 2, axis=1)
    expected = tm.multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), 4, n_bins=15)
    found = calibration_error(probabilities.max(1), probabilities.argmax(1) == labels)
    assert found["value"] == pytest.approx(float(expected), abs=1e-6)


def test_the_reliability_curve_adds_up_to_the_calibration_error() -> None:
    labels, probabilities = honest(500, 4, 4)
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    rows = reliability(confidence, correct)
    total = sum(row["n"] * abs(row["accuracy"] - row["confidence"]) for row in rows) / 500
    assert total == pytest.approx(calibration_error(confidence, correct)["value"])
    assert sum(row["n"] for row in rows) == 500
    assert all(row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"] for row in rows)


def test_bins_are_closed_above() -> None:
    assert bin_of(np.array([0.0, 0.2, 0.20001, 1.0]), 5).tolist() == [0, 0, 1, 4]
