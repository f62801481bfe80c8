from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from headstart.errors import SpecError
from headstart.transfer.heads.catalogue import HEADS
from headstart.transfer.heads.fit import HeadFit, HeadJob, fit_heads


def clusters(n: int, d: int, classes: int, seed: int = 0, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated, badly scaled features of overlapping classes, off centre."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(classes, size=n)
    mixing = draw.normal(size=(d, d)) / np.sqrt(d)
    features = (draw.normal(size=(classes, d))[labels] + spread * draw.normal(size=(n, d))) @ mixing
    return (features * np.geomspace(0.3, 3, d) + 5).astype(np.float32), labels.astype(np.int64)


def fit(features: np.ndarray, labels: np.ndarray, **options: object) -> HeadFit:
    n = len(features)
    order = np.random.default_rng(1).permutation(n)
    train, validation = np.sort(order[: n * 3 // 4]), np.sort(order[n * 3 // 4 :])
    classes = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
    return fit_heads(features, labels, [HeadJob("logistic", train, validation, classes, options, 0, False)])[0]


def rows_of(n: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(1).permutation(n)
    return np.sort(order[: n * 3 // 4]), np.sort(order[n * 3 // 4 :])


@torch.no_grad()
@pytest.mark.parametrize("shape", [(400, 20), (60, 90)], ids=["more rows", "more features"])
@pytest.mark.parametrize("penalty", [1.0, 0.0173, 0.001])
def test_logistic_agrees_with_scikit_learn(shape: tuple[int, int], penalty: float) -> None:
    features, labels = clusters(*shape, classes=5)
    train, validation = rows_of(len(features))
    ours = fit(features, labels, penalty=[1.0, 0.1, penalty], normalise="standardise")
    alone = fit(features, labels, penalty=penalty, normalise="standardise")
    wide = features.astype(np.float64)
    standard = (wide - wide[train].mean(0)) / wide[train].std(0)
    theirs = LogisticRegression(C=1 / (penalty * len(train)), tol=1e-9, max_iter=5000)
    theirs.fit(standard[train], labels[train])
    expected = theirs.predict_proba(standard)
    found = alone.head.probabilities(torch.from_numpy(features)).numpy()
    assert np.abs(found - expected).max() < 1e-3
    entry = next(entry for entry in ours.tried if entry["penalty"] == penalty)
    accuracy = (expected[validation].argmax(1) == labels[validation]).mean()
    loss = -np.log(expected[validation, labels[validation]]).mean()
    assert entry["validation_accuracy"] == pytest.approx(accuracy)
    assert entry["validation_log_loss"] == pytest.approx(loss, abs=2e-3)
    assert entry["converged"] and entry["gradient_norm"] <= 1e-3  # to choose among
    assert alone.tried[0]["converged"] and alone.tried[0]["gradient_norm"] <= 1e-4


@torch.no_grad()
def test_the_penalty_chosen_among_several_is_solved_as_exactly_as_alone() -> None:
    features, labels = clusters(400, 20, classes=5)
    chosen = fit(features, labels, penalty=[1.0, 0.1, 0.0173], normalise="standardise", tolerance=2e-5)
    alone = fit(features, labels, penalty=chosen.chosen["penalty"], normalise="standardise", tolerance=2e-5)
    entry = next(entry for entry in chosen.tried if entry["penalty"] == chosen.chosen["penalty"])
    assert entry["gradient_norm"] <= 2e-5
    x = torch.from_numpy(features)
    assert float((chosen.head.probabilities(x) - alone.head.probabilities(x)).abs().max()) < 1e-4


@torch.no_grad()
def test_several_labels_a_row_are_one_binary_regression_each() -> None:
    features, labels = clusters(300, 12, classes=4)
    several = np.stack([labels == k for k in range(4)] + [labels < 2], axis=1)
    train, _ = rows_of(300)
    found = fit(features, several, penalty=0.02, normalise="centre")
    centred = features.astype(np.float64) - features[train].astype(np.float64).mean(0)
    for k in range(5):
        theirs = LogisticRegression(C=1 / (0.02 * len(train)), tol=1e-9, max_iter=5000)
        theirs.fit(centred[train], several[train, k])
        expected = theirs.predict_proba(centred)[:, 1]
        probabilities = found.head.probabilities(torch.from_numpy(features))[:, k].numpy()
        assert np.abs(probabilities - expected).max() < 1e-3


def test_the_gradient_norm_that_is_reported_is_that_of_the_head() -> None:
    features, labels = clusters(200, 10, classes=3)
    train, _ = rows_of(200)
    found = fit(features, labels, penalty=0.05, normalise="none")
    weight = found.head.weight.detach().double().requires_grad_()
    bias = found.head.bias.detach().double().requires_grad_()
    x, y = torch.from_numpy(features[train]).double(), torch.from_numpy(labels[train])
    centred = x - x.mean(0)  # the solver's intercept is at the mean row
    loss = torch.nn.functional.cross_entropy(centred @ weight.T + bias + weight.detach() @ x.mean(0), y)
    (loss + 0.05 / 2 * weight.square().sum()).backward()
    norm = float(torch.cat([weight.grad.flatten(), bias.grad]).norm())
    assert norm == pytest.approx(found.tried[0]["gradient_norm"], abs=5e-6)


def test_a_fit_that_was_stopped_early_says_so() -> None:
    features, labels = clusters(200, 10, classes=3)
    found = fit(features, labels, penalty=1e-3, max_iterations=2)
    assert not found.tried[0]["converged"]
    assert found.tried[0]["iterations"] == 2
    assert "raise max_iterations" in found.notes[0]


def test_constant_and_empty_features_do_no_harm() -> None:
    features, labels = clusters(200, 10, classes=3)
    blank = np.concatenate([features, np.zeros((200, 2), np.float32), np.full((200, 1), 7, np.float32)], axis=1)
    with torch.no_grad():
        plain = fit(features, labels, penalty=0.01).head(torch.from_numpy(features))
        padded = fit(blank, labels, penalty=0.01).head(torch.from_numpy(blank))
    assert torch.allclose(plain, padded, atol=5e-3)


@pytest.mark.parametrize("penalty", [0.0, -1.0, float("nan"), "small", []])
def test_impossible_penalties_are_refused(penalty: object) -> None:
    features, labels = clusters(40, 3, classes=2)
    with pytest.raises(SpecError, match="logistic: penalty"):
        fit(features, labels, penalty=penalty)


def test_logistic_path_holds_the_penalty_that_scikit_learn_found_best() -> None:
    tried = HEADS["logistic"].options["penalty"]
    assert min(tried) < 1 / (0.01 * 5784) < max(tried)
