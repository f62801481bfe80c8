"""Prototype heads against scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from head_subject import CLASSES, data, fit, parts, scores
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize

from headstart.errors import SpecError
from headstart.transfer.heads.fit import HeadJob, fit_heads


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


def test_distances_in_the_logits_are_minus_half_the_squared_ones_up_to_what_all_classes_share() -> None:
    features, labels = data()
    train, _ = parts(len(features))
    found = fit("prototypes", features, labels, metric="euclidean", normalise="none", temperature=2.0)
    means = np.stack([features[train][labels[train] == k].mean(0) for k in range(CLASSES)]).astype(np.float64)
    expected = -((features[:, None].astype(np.float64) - means) ** 2).sum(2)  # times 2, and halved
    ours = scores(found, features).astype(np.float64)
    np.testing.assert_allclose(ours - ours[:, :1], expected - expected[:, :1], atol=1e-3)


def test_several_labels_a_row_are_refused() -> None:
    features, labels = data()
    with pytest.raises(SpecError, match="rows with several labels have no nearest class mean; use logistic or ridge"):
        fit("prototypes", features, np.eye(CLASSES, dtype=bool)[labels])


def test_the_metric_of_the_study_chooses_among_metrics_of_distance() -> None:
    features, labels = data(seed=5)
    found = fit("prototypes", features, labels, by="f1_macro")
    best = max(entry["validation_f1_macro"] for entry in found.tried)
    chosen = next(e for e in found.tried if all(e[name] == found.chosen[name] for name in ("metric", "normalise")))
    assert chosen["validation_f1_macro"] == best and len(found.tried) == 6
