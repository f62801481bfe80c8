from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize
from scipy.stats import kendalltau, multivariate_normal, weightedtau
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from headstart.errors import DataError, SpecError
from headstart.evaluate.transferability import (
    TransferScores,
    h_score,
    knn_accuracy,
    leep,
    logme,
    predicted_order,
    rank_agreement,
    shrunk_h_score,
    transferability,
)


def features_and_labels(
    n: int, d: int, classes: int, *, signal: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    centres = rng.standard_normal((classes, d)) * signal
    features = (centres[labels] + rng.standard_normal((n, d))).astype(np.float32)
    return features, labels.astype(np.int64)


def log_evidence(features: np.ndarray, target: np.ndarray, alpha: float, beta: float) -> float:
    f = features.astype(np.float64)
    covariance = f @ f.T / alpha + np.eye(len(f)) / beta
    return float(multivariate_normal.logpdf(target, np.zeros(len(f)), covariance))


@pytest.mark.parametrize(("n", "d"), [(60, 8), (40, 40), (30, 70)])
def test_logme_is_the_largest_log_evidence_found_by_a_general_optimiser(n: int, d: int) -> None:
    features, labels = features_and_labels(n, d, 3, signal=0.6)
    per_class = []
    for c in range(3):
        target = (labels == c).astype(np.float64)

        def lost(logs: np.ndarray, target: np.ndarray = target) -> float:
            return -log_evidence(features, target, float(np.exp(logs[0])), float(np.exp(logs[1])))

        best = optimize.minimize(lost, [2.0, 2.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
        per_class.append(-best.fun / n)
    assert logme(features, labels) == pytest.approx(np.mean(per_class), rel=1e-6)


def test_logme_is_larger_where_features_tell_more() -> None:
    scores = [logme(*features_and_labels(200, 20, 4, signal=s)) for s in (0.0, 0.2, 0.5, 1.0, 2.0)]
    assert scores == sorted(scores)


def test_logme_of_features_that_say_nothing_is_finite() -> None:
    labels = np.arange(30, dtype=np.int64) % 2
    assert np.isfinite(logme(np.zeros((30, 4), np.float32), labels))
    assert np.isfinite(logme(np.eye(30, dtype=np.float32), labels))


def plain_h_score(features: np.ndarray, labels: np.ndarray) -> float:
    f = features.astype(np.float64)
    expected = np.zeros_like(f)
    for c in np.unique(labels):
        expected[labels == c] = f[labels == c].mean(0)
    return float(np.trace(np.linalg.pinv(np.cov(f, rowvar=False), rcond=1e-10) @ np.cov(expected, rowvar=False)))


@pytest.mark.parametrize(("n", "d"), [(60, 8), (30, 70)])
def test_h_score_is_the_trace_of_its_definition(n: int, d: int) -> None:
    features, labels = features_and_labels(n, d, 3)
    assert h_score(features, labels) == pytest.approx(plain_h_score(features, labels), rel=1e-7)


def test_h_score_reaches_classes_minus_one_when_classes_are_points() -> None:
    labels = np.arange(40, dtype=np.int64) % 4
    features = np.random.default_rng(1).standard_normal((4, 10))[labels]
    assert h_score(features, labels) == pytest.approx(3.0)


@pytest.mark.parametrize(("n", "d"), [(60, 8), (30, 70)])
def test_shrunk_h_score_agrees_with_scikit_learn_s_covariance(n: int, d: int) -> None:
    features, labels = features_and_labels(n, d, 3)
    f = features.astype(np.float64)
    fitted = LedoitWolf().fit(f)
    expected = np.zeros_like(f)
    for c in range(3):
        expected[labels == c] = f[labels == c].mean(0)
    between = np.cov(expected, rowvar=False, bias=True)
    value = (1 - fitted.shrinkage_) * np.trace(np.linalg.solve(fitted.covariance_, between))
    assert shrunk_h_score(features, labels) == pytest.approx(value, rel=1e-6)


def test_leep_is_the_figure_worked_out_by_hand() -> None:
    theta = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]], dtype=np.float64)
    labels = np.array([0, 0, 1], dtype=np.int64)
    given = np.array([[1.4 / 1.5, 0.6 / 1.5], [0.1 / 1.5, 0.9 / 1.5]])  # P(y | z), rows y
    expected = np.log([given[0] @ theta[0], given[0] @ theta[1], given[1] @ theta[2]]).mean()
    assert leep(theta, labels) == pytest.approx(expected)


def test_leep_is_zero_when_the_source_tells_classes_apart_for_certain() -> None:
    labels = np.arange(12, dtype=np.int64) % 3
    assert leep(np.eye(5)[labels + 1], labels) == pytest.approx(0.0)


def test_leep_refuses_logits() -> None:
    with pytest.raises(DataError, match="sum to 1"):
        leep(np.array([[3.0, -1.0], [0.2, 0.4]]), np.array([0, 1]))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_knn_accuracy_agrees_with_scikit_learn_leaving_one_out(k: int) -> None:
    features, labels = features_and_labels(90, 6, 2, signal=0.5)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    oracle = cross_val_score(KNeighborsClassifier(k), unit, labels, cv=LeaveOneOut())
    assert knn_accuracy(features, labels, k=k) == pytest.approx(oracle.mean())


def test_knn_takes_the_more_similar_class_of_equal_votes() -> None:
    angles = np.radians([0.0, 10.0, 30.0, 200.0, 205.0])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels = np.array([0, 0, 1, 1, 1], dtype=np.int64)
    # with k = 2: the first two see one vote for each class and their own is nearer; the third sees two 0s
    assert knn_accuracy(features, labels, k=2) == pytest.approx(4 / 5)


def test_every_score_prefers_the_better_features() -> None:
    poor, labels = features_and_labels(120, 16, 4, signal=0.1)
    good, _ = features_and_labels(120, 16, 4, signal=1.5)
    theta = np.random.default_rng(0).dirichlet(np.ones(5), 120)
    sharp = 0.2 * theta + 0.8 * np.eye(5)[labels]
    low = transferability(poor, labels, source_probabilities=theta)
    high = transferability(good, labels, source_probabilities=sharp)
    assert sorted(low.values) == ["h_score", "h_score_shrunk", "knn", "leep", "logme"]
    assert low.left_out == high.left_out == {}
    assert all(low.values[name] < high.values[name] for name in low.values)


def test_each_score_is_that_of_its_own_function() -> None:
    features, labels = features_and_labels(80, 6, 3, signal=0.4)
    found = transferability(features, labels, neighbours=3)
    assert found.values == {
        "logme": logme(features, labels),
        "h_score": h_score(features, labels),
        "h_score_shrunk": shrunk_h_score(features, labels),
        "knn": knn_accuracy(features, labels, k=3),
    }
    assert found.left_out == {"leep": "it needs the probabilities of the source's own classifier"}


@pytest.mark.parametrize(("n", "d"), [(30, 70), (40, 40), (41, 40), (40, 36)])
def test_the_h_score_is_left_out_where_features_explain_any_labels(n: int, d: int) -> None:
    features, labels = features_and_labels(n, d, 3)
    found = transferability(features, labels)
    assert "h_score" not in found.values
    assert f"{n} images with {min(d, n - 1)} independent features" in found.left_out["h_score"]
    assert {"logme", "knn", "h_score_shrunk"} <= set(found.values)
    assert "h_score" in transferability(*features_and_labels(n, n // 2, 3)).values


def test_copies_of_images_do_not_bring_the_h_score_back() -> None:
    features, labels = features_and_labels(40, 70, 4)
    features[-2:], labels[-2:] = features[:2], labels[:2]
    assert "h_score" not in transferability(features, labels).values


def test_with_fewer_images_than_features_the_shrunk_h_score_still_ranks() -> None:
    signals = (0.02, 0.1, 0.2, 0.4, 0.8)
    sets = {str(signal): features_and_labels(60, 200, 3, signal=signal, seed=3) for signal in signals}
    plain = [h_score(*each) for each in sets.values()]
    assert plain == pytest.approx([2.0] * 5)
    for name in ("h_score_shrunk", "logme"):
        scores = {key: transferability(*each).values[name] for key, each in sets.items()}
        assert rank_agreement(scores, {key: float(key) for key in sets}).tau == pytest.approx(1.0)


def test_scores_that_differ_by_rounding_are_tied() -> None:
    measured = {"a": 0.9, "b": 0.8, "c": 0.7}
    with pytest.raises(DataError, match="no order"):
        rank_agreement({"a": 2.0, "b": 2.0 + 1e-12, "c": 2.0 - 1e-12}, measured)
    tied = rank_agreement({"a": 3.0, "b": 2.0, "c": 2.0 + 1e-12}, measured)
    assert tied.tau == pytest.approx(kendalltau([3, 2, 2], [0.9, 0.8, 0.7]).statistic)
    assert tied.weighted_tau == pytest.approx(weightedtau([3, 2, 2], [0.9, 0.8, 0.7]).statistic)
    near = rank_agreement({"a": 3.0, "b": 2.0, "c": 2.0 - 1e-6}, measured)
    assert near.tau == pytest.approx(1.0)
    assert rank_agreement({"a": -1e6, "b": -1e6 - 1e-4, "c": -1e6 - 1.0}, measured).tau < 1.0


def test_order_agreement_is_one_zero_free_and_minus_one_at_the_ends() -> None:
    measured = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.2}
    same = rank_agreement({"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}, measured)
    assert (same.tau, same.weighted_tau, same.n) == (pytest.approx(1.0), pytest.approx(1.0), 4)
    assert rank_agreement({k: -v for k, v in measured.items()}, measured).weighted_tau == pytest.approx(-1.0)


def test_a_mistake_at_the_top_costs_more_weighted_tau_than_one_at_the_bottom() -> None:
    measured = {name: float(-i) for i, name in enumerate("abcdef")}
    top = {**measured, "a": measured["b"], "b": measured["a"]}
    bottom = {**measured, "e": measured["f"], "f": measured["e"]}
    worse, better = rank_agreement(top, measured), rank_agreement(bottom, measured)
    assert worse.tau == pytest.approx(better.tau)
    assert worse.weighted_tau < better.weighted_tau


def test_the_predicted_order_has_the_best_first_and_equal_ones_by_name() -> None:
    values = {"scratch": -0.2, "dtd": 0.1, "places": 0.4, "imagenet": 0.4 - 1e-12}
    scores = {name: TransferScores({"logme": value}, {}) for name, value in values.items()}
    assert predicted_order(scores, "logme") == ["imagenet", "places", "dtd", "scratch"]
    assert predicted_order({}, "logme") == []
    with pytest.raises(SpecError, match="logme"):
        predicted_order(scores, "logmee")
    with pytest.raises(SpecError, match="h_score"):
        predicted_order({**scores, "other": TransferScores({}, {"logme": "no images"})}, "h_score")


def test_bad_input_is_refused_in_one_line() -> None:
    features, labels = features_and_labels(10, 3, 2)
    with pytest.raises(DataError, match="2 classes"):
        logme(features, np.zeros(10, dtype=np.int64))
    with pytest.raises(DataError, match="9 labels"):
        h_score(features, labels[:9])
    features[4, 1] = np.nan
    with pytest.raises(DataError, match="image 4"):
        transferability(features, labels)
    with pytest.raises(DataError, match="only on one side"):
        rank_agreement({"a": 1.0, "b": 2.0}, {"a": 1.0, "c": 2.0})
    with pytest.raises(DataError, match="no order"):
        rank_agreement({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 2.0})
