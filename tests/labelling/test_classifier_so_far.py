from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifierCV

from headstart.evaluate.metrics.intervals import wilson
from headstart.labelling.classifier_so_far import LEAST, Gain, fit_so_far


def scene(n: int = 240, spread: float = 0.8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, n)
    vectors = np.eye(3, 6)[truth] * 2 + 1 + spread * generator.standard_normal((n, 6))
    return vectors.astype(np.float32), truth


def test_it_learns_from_the_chosen_labels_and_is_measured_on_the_random_ones() -> None:
    vectors, truth = scene()
    labels = np.where(np.arange(240) < 120, truth, -1)
    at_random = np.arange(240) < 60
    found = fit_so_far(vectors, labels, at_random, ("a", "b", "c"))
    assert found is not None and found.taught == 60 and found.probabilities.shape == (240, 3)
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(240), abs=1e-5)
    right = int((found.probabilities[:60].argmax(axis=1) == truth[:60]).sum())
    low, high = wilson(right, 60)
    assert found.accuracy == {"value": right / 60, "low": low, "high": high, "n": 60}
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    oracle = RidgeClassifierCV(alphas=np.logspace(-3, 2, 12)).fit(unit[60:120], truth[60:120]).predict(unit)
    assert (oracle == found.probabilities.argmax(axis=1)).mean() > 0.93
    swapped = labels.copy()
    swapped[:60] = (truth[:60] + 1) % 3  # labels of the random sample do not teach
    again = fit_so_far(vectors, swapped, at_random, ("a", "b", "c"))
    assert again is not None and np.array_equal(again.probabilities, found.probabilities)


def test_the_curve_is_that_of_the_first_labels_on_the_same_images() -> None:
    vectors, truth = scene()
    labels, at_random = truth.copy(), np.arange(240) < 80
    order = np.arange(240)[::-1].copy()
    found = fit_so_far(vectors, labels, at_random, ("a", "b", "c"), order)
    assert found is not None and [count for count, _ in found.curve] == [40, 80, 160]
    half = np.full(240, -1)
    half[-80:] = truth[-80:]  # the first 80 in the order of the labels
    half[:80] = truth[:80]
    alone = fit_so_far(vectors, half, at_random, ("a", "b", "c"), order)
    assert alone is not None and found.curve[1][1] == alone.accuracy and found.curve[2][1] == found.accuracy
    assert found.gain is not None and found.gain.labels == 80
    difference = 100 * (found.accuracy["value"] - alone.accuracy["value"])  # type: ignore[operator]
    assert found.gain.points == pytest.approx(difference, abs=1e-9)
    assert found.gain.low < found.gain.points < found.gain.high


def test_a_gain_needs_a_sample_that_can_tell() -> None:
    vectors, truth = scene()
    few = np.arange(240) < LEAST - 1
    found = fit_so_far(vectors, truth, few, ("a", "b", "c"))
    assert found is not None and found.gain is None and len(found.curve) == 1
    assert Gain(50, 0.2, -0.5, 0.9).pays is False and Gain(50, 0.2, -0.5, 1.0).pays is True


def test_one_class_is_no_classifier() -> None:
    vectors, truth = scene(60)
    labels = np.where(truth == 1, 1, -1)
    assert fit_so_far(vectors, labels, np.zeros(60, dtype=bool), ("a", "b", "c")) is None
    unmeasured = fit_so_far(vectors, truth, np.zeros(60, dtype=bool), ("a", "b", "c"))
    assert unmeasured is not None and unmeasured.accuracy["value"] is None and unmeasured.accuracy["n"] == 0
