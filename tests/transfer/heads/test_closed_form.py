from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.preprocessing import normalize

from headstart.errors import SpecError
from headstart.transfer.heads.fit import HeadFit, HeadJob, fit_heads

CLASSES = 4


def data(n: int = 160, d: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(CLASSES, size=n)
    features = draw.normal(size=(CLASSES, d))[labels] + 1.5 * draw.normal(size=(n, d)) + 3
    return (features * np.geomspace(0.5, 2, d)).astype(np.float32), labels.astype(np.int64)


def parts(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(0, n * 3 // 4), np.arange(n * 3 // 4, n)


def fit(kind: str, features: np.ndarray, labels: np.ndarray, refit: bool = False, **options: object) -> HeadFit:
    train, validation = parts(len(features))
    classes = labels.shape[1] if labels.ndim == 2 else CLASSES
    return fit_heads(features, labels, [HeadJob(kind, train, validation, classes, options, 0, refit)])[0]


def scores(found: HeadFit, features: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return found.head(torch.from_numpy(features)).numpy()


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


def test_euclidean_prototypes_agree_with_scikit_learn() -> None:
    features, labels = data()
    train, _ = parts(len(features))
    found = fit("prototypes", features, labels, metric="euclidean", normalise="standardise")
    standard = (features - features[train].mean(0)) / features[train].std(0)
    theirs = NearestCentroid().fit(standard[train], labels[train])
    assert np.array_equal(scores(found, features).argmax(1), theirs.predict(standard))


def test_cosine_prototypes_are_the_cosine_with_class_means() -> None:
    features, labels = data()
    train, _ = parts(len(features))
    found = fit("prototypes", features, labels, metric="cosine", normalise="centre", temperature=1.0)
    rows = normalize((features - features[train].mean(0)).astype(np.float64))
    means = normalize(np.stack([rows[train][labels[train] == k].mean(0) for k in range(CLASSES)]))
    np.testing.assert_allclose(scores(found, features), rows @ means.T, atol=1e-5)


def test_a_class_without_training_rows_is_never_predicted() -> None:
    features, labels = data()
    job = HeadJob("prototypes", np.flatnonzero(labels[:120] != 2), np.arange(120, 160), CLASSES, {}, 0, False)
    found = fit_heads(features, labels, [job])[0]
    assert 2 not in scores(found, features).argmax(1)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("k", [1, 4, 15])
def test_neighbours_agree_with_scikit_learn(metric: str, k: int) -> None:
    features, labels = data()
    train, validation = parts(len(features))
    found = fit("knn", features, labels, k=k, metric=metric, weights="uniform")
    theirs = KNeighborsClassifier(n_neighbors=k, metric=metric).fit(features[train], labels[train])
    expected = theirs.predict(features)
    assert np.array_equal(scores(found, features).argmax(1), expected)
    assert found.tried[0]["validation_accuracy"] == pytest.approx((expected[validation] == labels[validation]).mean())


def test_neighbours_chosen_in_a_grid_are_those_found_alone() -> None:
    features, labels = data()
    grid = fit("knn", features, labels, k=[1, 3, 9], normalise=["none", "standardise"])
    assert len(grid.tried) == 3 * 2 * 2 * 2
    for entry in grid.tried:
        how = {name: entry[name] for name in ("k", "metric", "weights", "normalise")}
        alone = fit("knn", features, labels, **how)
        assert alone.tried[0]["validation_log_loss"] == pytest.approx(entry["validation_log_loss"], abs=1e-6)
        with torch.no_grad():
            logits = alone.head(torch.from_numpy(features[parts(160)[1]]))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels[parts(160)[1]]))
        assert float(loss) == pytest.approx(entry["validation_log_loss"], abs=1e-4)


def test_more_neighbours_than_rows_are_left_out_and_said_so() -> None:
    features, labels = data()
    found = fit("knn", features, labels, k=[5, 500], metric="cosine", weights="uniform")
    assert [entry["k"] for entry in found.tried] == [5]
    assert found.notes == ["k = [500] left out: only 120 training rows"]


def test_neighbours_of_several_labels_vote_for_each_class() -> None:
    features, labels = data()
    several = np.stack([labels == k for k in range(CLASSES)] + [labels < 2], axis=1)
    found = fit("knn", features, several, k=5, metric="euclidean", weights="uniform")
    train, _ = parts(len(features))
    theirs = KNeighborsClassifier(n_neighbors=5).fit(features[train], several[train])
    assert np.array_equal(scores(found, features) > 0, np.asarray(theirs.predict(features)))


def test_the_majority_floor_gives_class_frequencies() -> None:
    features, labels = data()
    found = fit("majority", features, labels)
    train, _ = parts(len(features))
    expected = (np.bincount(labels[train], minlength=CLASSES) + 1) / (len(train) + CLASSES)
    with torch.no_grad():
        given = found.head.probabilities(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(given, np.tile(expected, (len(features), 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("ridge", {"penalty": 0}, "ridge: penalty = 0 must be a finite number above 0"),
        ("ridge", {"penalti": 1}, "did you mean 'penalty'"),
        ("ridge", {"normalise": "standardize"}, "did you mean 'standardise'"),
        ("knn", {"k": 0}, "knn: k = 0 must be a finite number at least 1"),
        ("knn", {"metric": "cosin"}, "did you mean 'cosine'"),
        ("knn", {"normalise": "l2"}, "knn: normalise = 'l2' must be one of"),
        ("prototypes", {"metric": "cosine", "normalise": "l2-centre"}, "the cosine has no use for"),
        ("majority", {"k": 1}, "unknown option of a majority head"),
        ("forest", {}, "unknown head 'forest'"),
    ],
)
def test_impossible_options_of_heads_are_refused(kind: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        fit(kind, *data(), **options)


@pytest.mark.slow
def test_fifty_penalties_of_ridge_take_under_two_seconds() -> None:
    draw = np.random.default_rng(0)
    features = draw.normal(size=(8677, 1280)).astype(np.float32)
    labels = draw.integers(101, size=8677)
    grid = {"penalty": np.geomspace(1e-6, 1, 50).tolist()}
    began = time.perf_counter()
    fit_heads(features, labels, [HeadJob("ridge", np.arange(6000), np.arange(6000, 8677), 101, grid, 0, False)])
    assert time.perf_counter() - began < 2
