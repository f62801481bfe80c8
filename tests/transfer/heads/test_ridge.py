"""Ridge heads against scikit-learn."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from head_subject import CLASSES, data, fit, parts, scores
from sklearn.linear_model import Ridge, RidgeClassifier

from headstart.transfer.heads import ridge
from headstart.transfer.heads.fit import HeadJob, fit_heads


@pytest.mark.parametrize("shape", [(160, 12), (40, 60)], ids=["more rows", "more features"])
@pytest.mark.parametrize("penalty", [1e-4, 0.1, 10.0])
def test_ridge_agrees_with_scikit_learn(shape: tuple[int, int], penalty: float) -> None:
    features, labels = data(*shape)
    train, validation = parts(len(features))
    found = fit("ridge", features, labels, penalty=[10.0, penalty, 1e-4], normalise="standardise")
    wide = features.astype(np.float64)
    standard = (wide - wide[train].mean(0)) / wide[train].std(0)
    theirs = Ridge(alpha=penalty * len(train)).fit(standard[train], np.eye(CLASSES)[labels[train]])
    expected = theirs.predict(standard)
    alone = fit("ridge", features, labels, penalty=penalty, normalise="standardise", temperature=1.0)
    np.testing.assert_allclose(scores(alone, features), expected, atol=2e-4)
    entry = next(entry for entry in found.tried if entry["penalty"] == penalty)
    assert entry["validation_accuracy"] == pytest.approx((expected[validation].argmax(1) == labels[validation]).mean())


def test_ridge_chooses_the_penalty_that_is_best_on_validation_rows() -> None:
    features, labels = data()
    found = fit("ridge", features, labels, penalty=[1e-3, 1e-1, 1e1, 1e3])
    best = max(found.tried, key=lambda entry: (entry["validation_accuracy"], -entry["validation_log_loss"]))
    assert found.chosen["penalty"] == best["penalty"]
    assert len(found.tried) == 4


@pytest.mark.parametrize("shape", [(60, 8), (40, 50)], ids=["more rows", "more features"])
def test_leave_one_out_equals_fitting_without_each_row(shape: tuple[int, int]) -> None:
    features, labels = data(*shape)
    n = len(features)
    job = HeadJob(
        "ridge",
        np.arange(n),
        np.arange(0),
        CLASSES,
        {"penalty": [0.01, 1.0], "normalise": "none", "leave_one_out": True, "temperature": 1.0},
    )
    found = fit_heads(features, labels, [job])[0]
    wide, targets = features.astype(np.float64), np.eye(CLASSES)[labels]
    for entry in found.tried:
        left_out = np.empty((n, CLASSES))
        for row in range(n):
            rest = np.arange(n) != row
            each = Ridge(alpha=entry["penalty"] * n).fit(wide[rest], targets[rest])
            left_out[row] = each.predict(wide[row : row + 1])[0]
        assert entry["validation_accuracy"] == pytest.approx((left_out.argmax(1) == labels).mean(), abs=1e-9)
        loss = np.log(np.exp(left_out).sum(1)) - left_out[np.arange(n), labels]
        assert entry["validation_log_loss"] == pytest.approx(loss.mean(), abs=1e-4)
        if entry["penalty"] == found.chosen["penalty"]:
            exponents = np.exp(left_out)
            assert found.left_out == pytest.approx(exponents / exponents.sum(1, keepdims=True), abs=1e-4)
    assert found.notes == ["penalty chosen by leave-one-out on the training rows"]


def test_ridge_logits_have_the_scale_of_least_log_loss() -> None:
    features, labels = data()
    found = fit("ridge", features, labels, penalty=0.1)
    _, validation = parts(len(features))
    logits = torch.from_numpy(scores(found, features)[validation])
    target = torch.from_numpy(labels[validation])
    here = torch.nn.functional.cross_entropy(logits, target)
    for factor in (0.8, 1.25):
        assert here < torch.nn.functional.cross_entropy(factor * logits, target)


def test_ridge_of_several_labels_a_row_says_yes_above_one_half() -> None:
    features, labels = data()
    several = np.stack([labels == k for k in range(CLASSES)] + [labels < 2], axis=1)
    found = fit("ridge", features, several, penalty=0.1, normalise="none")
    train, _ = parts(len(features))
    theirs = Ridge(alpha=0.1 * len(train)).fit(features[train].astype(np.float64), several[train].astype(float))
    expected = theirs.predict(features.astype(np.float64))
    sure = np.abs(expected - 0.5) > 1e-3
    assert np.array_equal((scores(found, features) > 0)[sure], (expected > 0.5)[sure])


@pytest.mark.slow
def test_fifty_penalties_of_ridge_take_under_two_seconds() -> None:
    draw = np.random.default_rng(0)
    features = draw.normal(size=(8677, 1280)).astype(np.float32)
    labels = draw.integers(101, size=8677)
    grid = {"penalty": np.geomspace(1e-6, 1, 50).tolist()}
    began = time.perf_counter()
    fit_heads(features, labels, [HeadJob("ridge", np.arange(6000), np.arange(6000, 8677), 101, grid, 0, False)])
    assert time.perf_counter() - began < 2


def test_ridge_predicts_what_scikit_learns_ridge_classifier_predicts() -> None:
    features, labels = data()
    train, _ = parts(len(features))
    found = fit("ridge", features, labels, penalty=0.3, normalise="none")
    theirs = RidgeClassifier(alpha=0.3 * len(train)).fit(features[train].astype(np.float64), labels[train])
    assert np.array_equal(scores(found, features).argmax(1), theirs.predict(features.astype(np.float64)))


@pytest.mark.parametrize("metric", ["log_loss", "balanced_accuracy", "brier"])
def test_the_penalty_follows_the_metric_that_is_named(metric: str) -> None:
    features, labels = data(seed=3)
    found = fit("ridge", features, labels, by=metric)
    best = (min if metric in ("log_loss", "brier") else max)(entry[f"validation_{metric}"] for entry in found.tried)
    entry = next(entry for entry in found.tried if entry["penalty"] == found.chosen["penalty"])
    assert entry[f"validation_{metric}"] == best and len(found.tried) == 15


def test_of_penalties_that_do_equally_well_the_strongest_is_chosen() -> None:
    features = np.zeros((16, 3), np.float32)
    labels = np.arange(16) % CLASSES
    found = fit("ridge", features, labels, penalty=[0.1, 10.0, 1.0], normalise="none", temperature=1.0)
    assert found.chosen["penalty"] == 10.0


def test_a_refit_with_what_was_chosen_scores_no_row_and_is_the_same_head(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = data()
    rows = np.arange(len(features))
    chosen = {"penalty": 0.01, "temperature": 7.0}
    judged = fit_heads(features, labels, [HeadJob("ridge", rows, rows[:0], CLASSES, {**chosen, "leave_one_out": True})])
    monkeypatch.setattr(ridge, "_leave_one_out", lambda *_: pytest.fail("scores its own rows"))
    refit = fit_heads(features, labels, [HeadJob("ridge", rows, rows[:0], CLASSES, chosen)])
    assert refit[0].chosen == {"normalise": judged[0].chosen["normalise"], **chosen}
    torch.testing.assert_close(refit[0].head.weight, judged[0].head.weight)
