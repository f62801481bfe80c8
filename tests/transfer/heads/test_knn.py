"""Nearest-neighbour heads against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from head_subject import CLASSES, data, fit, parts, scores
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize


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


@pytest.mark.parametrize("k", [3, 10])
def test_distance_weights_are_a_softmax_of_the_cosine(k: int) -> None:
    features, labels = data()
    train, _ = parts(len(features))
    found = fit("knn", features, labels, k=k, metric="cosine", weights="distance", temperature=0.1)
    rows = normalize(features.astype(np.float64))
    similarity = rows @ rows[train].T
    expected = np.zeros((len(features), CLASSES))
    for row, each in enumerate(similarity):
        near = np.argsort(-each, kind="stable")[:k]
        weight = np.exp(each[near] / 0.1)
        np.add.at(expected[row], labels[train][near], weight / weight.sum())
    smooth = 1 / k / CLASSES
    np.testing.assert_allclose(scores(found, features), np.log(expected + smooth), atol=1e-3)
