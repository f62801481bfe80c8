from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifierCV

from headstart.evaluate.metrics.intervals import wilson
from headstart.labelling.classifier_so_far import LEAST, Fitter, Gain, fit_so_far
from headstart.labelling.suggest import margins_of
from headstart.transfer.heads.fit import HeadJob, fit_heads, probabilities

NAMES = ("a", "b", "c")


def scene(n: int = 240, spread: float = 0.8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, n)
    vectors = np.eye(3, 6)[truth] * 2 + 1 + spread * generator.standard_normal((n, 6))
    return vectors.astype(np.float32), truth


def test_it_is_measured_on_the_random_labels_each_judged_without_itself() -> None:
    vectors, truth = scene()
    labels = np.where(np.arange(240) < 120, truth, -1)
    at_random = np.arange(240) < 40
    found = fit_so_far(vectors, labels, at_random, NAMES)
    assert found is not None and found.taught == 120 and found.probabilities.shape == (240, 3)
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(240), abs=1e-5)
    right = 0
    for row in range(40):
        without = labels.copy()
        without[row] = -1
        fitted = fit_so_far(vectors, without, np.zeros(240, bool), NAMES)  # not measured: that takes the time
        right += fitted is not None and int(fitted.probabilities[row].argmax() == truth[row])
    low, high = wilson(right, 40)
    assert found.accuracy == {"value": right / 40, "low": low, "high": high, "n": 40}
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    oracle = RidgeClassifierCV(alphas=np.logspace(-3, 2, 12)).fit(unit[:120], truth[:120]).predict(unit)
    assert (oracle == found.probabilities.argmax(axis=1)).mean() > 0.97


def test_the_curve_is_that_of_the_first_labels_on_the_same_images() -> None:
    vectors, truth = scene()
    labels, at_random = truth.copy(), np.arange(240) < 80
    order = np.arange(240)[::-1].copy()
    found = fit_so_far(vectors, labels, at_random, NAMES, order)
    assert found is not None and [count for count, _ in found.curve] == [60, 120, 240]
    half = np.full(240, -1)
    half[-120:] = truth[-120:]  # the first 120 in the order of the labels, none of them of the sample
    right = fit_so_far(vectors, half, at_random, NAMES).probabilities[:80].argmax(axis=1) == truth[:80]  # type: ignore[union-attr]
    assert found.curve[1][1]["value"] == pytest.approx(right.mean()) and found.curve[2][1] == found.accuracy
    assert found.gain is not None and found.gain.labels == 120
    difference = 100 * (found.accuracy["value"] - right.mean())  # type: ignore[operator]
    assert found.gain.points == pytest.approx(difference, abs=1e-9)
    assert found.gain.low < found.gain.points < found.gain.high


def test_a_gain_needs_a_sample_that_can_tell() -> None:
    vectors, truth = scene()
    few = np.arange(240) < LEAST - 1
    found = fit_so_far(vectors, truth, few, NAMES)
    assert found is not None and found.gain is None and len(found.curve) == 1
    assert Gain(50, 0.2, -0.5, 0.9).pays is False and Gain(50, 0.2, -0.5, 1.0).pays is True


def test_one_class_is_no_classifier() -> None:
    vectors, truth = scene(60)
    labels = np.where(truth == 1, 1, -1)
    assert fit_so_far(vectors, labels, np.zeros(60, dtype=bool), NAMES) is None
    unmeasured = fit_so_far(vectors, truth, np.zeros(60, dtype=bool), NAMES)
    assert unmeasured is not None and unmeasured.accuracy["value"] is None and unmeasured.accuracy["n"] == 0


@pytest.mark.parametrize("dimensions", [6, 400])  # fewer and more than images that teach
def test_margins_are_those_of_a_ridge_head_without_the_sample_and_with_the_penalty_of_all(dimensions: int) -> None:
    vectors, truth = scene()
    noise = 0.1 * np.random.default_rng(1).standard_normal((240, dimensions - 6))
    wide = np.concatenate([vectors, noise], axis=1).astype(np.float32)
    labels, at_random = np.where(np.arange(240) < 120, truth, -1), np.arange(240) < 40
    wide.flags.writeable = False  # as vectors in the cache are
    found = Fitter(wide).fit(labels, at_random, NAMES)
    assert found is not None and found.margins is not None and found.gain is None
    none = np.zeros(0, dtype=np.int64)
    options = {"leave_one_out": True, "normalise": ["l2-centre"]}
    (first,) = fit_heads(wide, np.maximum(labels, 0), [HeadJob("ridge", np.arange(120), none, 3, options, refit=False)])
    assert found.probabilities == pytest.approx(probabilities(first.head, wide, np.arange(240)), abs=1e-4)
    chosen = {"penalty": [first.chosen["penalty"]], "temperature": first.chosen["temperature"]}
    job = HeadJob("ridge", np.arange(40, 120), none, 3, {**options, **chosen}, refit=False)
    (oracle,) = fit_heads(wide, np.maximum(labels, 0), [job])
    assert found.margins == pytest.approx(margins_of(probabilities(oracle.head, wide, np.arange(240))), abs=1e-3)
    assert Fitter(wide).fit(labels, at_random, NAMES, margins=False).margins is None  # type: ignore[union-attr]
