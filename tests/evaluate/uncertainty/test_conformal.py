from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from sklearn.base import BaseEstimator, ClassifierMixin

from headstart.errors import DataError, SpecError
from headstart.evaluate.uncertainty.conformal import (
    SCORES,
    calibrate,
    most_guaranteed,
    needed,
    nonconformity,
    prediction_sets,
    scores_in_sets,
    set_quality,
)

BY_HAND = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])


def honest(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw probabilities, and labels from them."""
    generator = np.random.default_rng(seed)
    probabilities = special.softmax(generator.normal(size=(n, classes)) * 1.5, axis=1)
    labels = (probabilities.cumsum(1) < generator.random((n, 1))).sum(1)
    return probabilities, np.minimum(labels, classes - 1)


def own(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return scores[np.arange(len(labels)), labels]


def test_scores_worked_out_by_hand() -> None:
    assert nonconformity("lac", BY_HAND) == pytest.approx(np.array([[0.5, 0.7, 0.8], [0.9, 0.9, 0.2]]))
    assert nonconformity("aps", BY_HAND) == pytest.approx(np.array([[0.5, 0.8, 1.0], [0.9, 1.0, 0.8]]))
    half = nonconformity("aps", BY_HAND, np.array([0.5, 0.0]))
    assert half == pytest.approx(np.array([[0.25, 0.65, 0.9], [0.9, 1.0, 0.8]]))


def test_raps_adds_a_hundredth_for_each_rank_after_the_fifth() -> None:
    even = np.array([[0.3, 0.2, 0.15, 0.12, 0.11, 0.07, 0.05]])
    added = nonconformity("raps", even) - nonconformity("aps", even)
    assert added == pytest.approx(np.array([[0, 0, 0, 0, 0, 0.01, 0.02]]))


def test_the_threshold_is_the_score_of_rank_n_plus_one_times_level() -> None:
    scores = np.arange(1, 20) / 20  # 19 of them: (19 + 1) · 0.95 = 19, the largest
    found = calibrate(scores, np.zeros(19, int), 2, 0.95)
    assert found.values.tolist() == [0.95, 0.95] and found.guaranteed.tolist() == [0.95, 0.95]
    assert calibrate(scores, np.zeros(19, int), 2, 0.5).values[0] == 0.5  # rank 10
    fewer = calibrate(scores[:9], np.zeros(9, int), 2, 0.95)
    assert fewer.values[0] == 0.45 and fewer.guaranteed[0] == pytest.approx(0.9)  # 9 of 10, and no more
    assert (needed(0.95), needed(0.99), needed(0.9), most_guaranteed(19)) == (19, 99, 9, 0.95)


def test_a_class_with_few_calibration_images_is_guaranteed_what_its_number_allows() -> None:
    scores = np.concatenate([np.linspace(0, 0.5, 39), [0.9, 0.6, 0.1]])
    labels = np.concatenate([np.zeros(39, int), [1, 1, 2]])
    found = calibrate(scores, labels, 4, 0.95, by_class=True)
    pooled = calibrate(scores, labels, 4, 0.95).values[0]  # rank ⌈43 · 0.95⌉ = 41 of 42
    assert pooled == 0.6
    assert found.values.tolist() == [float(np.linspace(0, 0.5, 39)[37]), 0.9, 0.6, 0.6]
    assert found.guaranteed.tolist() == pytest.approx([0.95, 2 / 3, 1 / 2, 0.0])
    assert found.calibrated.tolist() == [39, 2, 1, 0]


@pytest.mark.parametrize("method", SCORES)
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_coverage_over_divisions_is_the_level_and_no_more_than_one_rank_above(method: str, level: float) -> None:
    n = 99
    covered = []
    for seed in range(300):
        probabilities, labels = honest(n + 200, 8, seed)
        scores = nonconformity(method, probabilities)
        thresholds = calibrate(own(scores[:n], labels[:n]), labels[:n], 8, level)
        covered.append(own(prediction_sets(scores[n:], thresholds), labels[n:]).mean())
    assert level - 0.0115 < np.mean(covered) < level + 1 / (n + 1) + 0.0115


def test_class_conditional_sets_cover_the_class_that_marginal_ones_neglect() -> None:
    marginal, conditional = [], []
    for seed in range(100):
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, 2, 800)
        right = np.where(labels == 0, generator.uniform(0.6, 1, 800), generator.uniform(0, 1, 800))  # class 1 is hard
        probabilities = np.where(labels[:, None] == np.arange(2), right[:, None], 1 - right[:, None])
        scores = nonconformity("lac", probabilities)
        for by_class, found in ((False, marginal), (True, conditional)):
            thresholds = calibrate(own(scores[:400], labels[:400]), labels[:400], 2, 0.9, by_class=by_class)
            quality = set_quality(prediction_sets(scores[400:], thresholds), labels[400:])
            found.append([each["value"] for each in quality.by_class])
    assert np.mean(marginal, 0)[1] < 0.83
    assert np.mean(conditional, 0) == pytest.approx([0.9, 0.9], abs=0.012)


def test_a_set_that_would_be_empty_holds_the_best_class_where_asked() -> None:
    thresholds = calibrate(np.array([0.1] * 19), np.zeros(19, int), 3, 0.95)
    scores = nonconformity("lac", np.array([[0.5, 0.3, 0.2], [0.95, 0.03, 0.02]]))
    assert prediction_sets(scores, thresholds).tolist() == [[False] * 3, [True, False, False]]
    assert prediction_sets(scores, thresholds, never_empty=True).tolist() == [[True, False, False]] * 2


@pytest.mark.parametrize("method", SCORES)
def test_the_set_of_an_image_holds_its_randomised_set_and_covers_no_less(method: str) -> None:
    n, covered, exact = 99, [], []
    for seed in range(200):
        (probabilities, labels), draws = honest(n + 200, 8, seed), np.random.default_rng(seed).random(n + 200)
        scores, said = nonconformity(method, probabilities, draws), scores_in_sets(method, probabilities[n:])
        thresholds = calibrate(own(scores[:n], labels[:n]), labels[:n], 8, 0.9)
        drawn, inside = prediction_sets(scores[n:], thresholds), prediction_sets(said, thresholds)
        assert not (drawn & ~inside).any()
        assert method == "lac" or inside.any(1).all()
        exact.append(own(drawn, labels[n:]).mean())
        covered.append(own(inside, labels[n:]).mean())
    assert np.mean(exact) == pytest.approx(0.9, abs=0.0115)
    assert np.mean(covered) >= np.mean(exact)


def test_a_sure_model_of_many_classes_has_small_sets() -> None:
    """Of 100 classes one has 0.99, and is the right one of 97 % of the images; else it is any of the others."""
    generator = np.random.default_rng(0)
    probabilities = np.full((2000, 100), 0.01 / 99)
    best = generator.integers(0, 100, 2000)
    probabilities[np.arange(2000), best] = 0.99
    labels = np.where(generator.random(2000) < 0.97, best, (best + generator.integers(1, 100, 2000)) % 100)
    scores = nonconformity("aps", probabilities[:1000], generator.random(1000))
    inside = prediction_sets(
        scores_in_sets("aps", probabilities[1000:]), calibrate(own(scores, labels[:1000]), labels[:1000], 100)
    )
    assert own(inside, labels[1000:]).mean() > 0.95
    assert inside.sum(1).mean() < 1.5
    plain = nonconformity("aps", probabilities)
    assert calibrate(own(plain[:1000], labels[:1000]), labels[:1000], 100).values[0] == pytest.approx(0.99)


def test_quality_counts_sets_by_size_and_class() -> None:
    inside = np.array([[True, False], [True, True], [False, False], [False, True]])
    found = set_quality(inside, np.array([0, 0, 1, 1]))
    assert (found.coverage["value"], found.size, found.sizes) == (0.75, 1.0, (1, 2, 1))
    assert [each["value"] for each in found.by_class] == [1.0, 0.5]


def test_the_same_as_mapie_recorded() -> None:
    """MAPIE 1.6.0, SplitConformalClassifier(prefit=True, random_state=3) on `honest(700, 6, 0)`, 400 to calibrate.

    The test below does the same with the package itself where it is installed.
    """
    probabilities, labels = honest(700, 6, 0)
    scores = nonconformity("lac", probabilities)
    thresholds = calibrate(own(scores[:400], labels[:400]), labels[:400], 6, 0.9)
    assert thresholds.values[0] == pytest.approx(0.90897223, abs=1e-8)
    assert prediction_sets(scores[400:], thresholds).sum() == 854
    draws = np.random.RandomState(3).uniform(size=400)
    scores = nonconformity("aps", probabilities[:400], draws)
    thresholds = calibrate(own(scores, labels[:400]), labels[:400], 6, 0.9)
    assert thresholds.values[0] == pytest.approx(0.90577479, abs=1e-8)


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier whose inputs are the probabilities."""

    classes_ = np.arange(6)
    fitted_ = True

    def fit(self, inputs: np.ndarray, labels: np.ndarray) -> Given:
        return self

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        return inputs

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return np.asarray(inputs.argmax(1))


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_the_same_as_mapie(method: str) -> None:
    classification = pytest.importorskip("mapie.classification")
    probabilities, labels = honest(700, 6, 1)
    peer = classification.SplitConformalClassifier(
        Given(), confidence_level=0.9, conformity_score=method, prefit=True, random_state=3
    )
    peer.conformalize(probabilities[:400], labels[:400])
    _, sets = peer.predict_set(probabilities[400:])  # the quantile is there after it
    quantile = peer._mapie_classifier.conformity_score_function_.quantiles_[0]
    draws = np.random.RandomState(3).uniform(size=400)
    mine = own(nonconformity(method, probabilities[:400], draws), labels[:400])
    thresholds = calibrate(mine, labels[:400], 6, 0.9)
    assert thresholds.values[0] == pytest.approx(quantile, abs=1e-12)
    assert np.array_equal(prediction_sets(scores_in_sets(method, probabilities[400:]), thresholds), sets[:, :, 0])


def test_what_cannot_be_calibrated_is_refused() -> None:
    with pytest.raises(SpecError, match="lac"):
        nonconformity("lak", BY_HAND)
    with pytest.raises(DataError, match="one label an image"):
        nonconformity("lac", np.array([[0.9, 0.8]]))
    with pytest.raises(DataError, match="keep some for validation"):
        calibrate(np.zeros(0), np.zeros(0, int), 2)
    with pytest.raises(DataError, match="above 0 and below 1"):
        calibrate(np.zeros(3), np.zeros(3, int), 2, 1.0)
