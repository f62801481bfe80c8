from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from headstart.errors import DataError, SpecError
from headstart.evaluate.metrics.auc import roc_area
from headstart.evaluate.uncertainty.familiarity import (
    DEFAULT,
    NEEDS,
    SCORES,
    choose_score,
    discriminant,
    familiar_share,
    familiarity,
    fit_reference,
    only_needed,
    rejection,
    unit_length,
)

D, CLASSES = 12, 8
CENTRES = np.random.default_rng(5).normal(0, 1, (CLASSES, D))


def clouds(n: int, seed: int, classes: range = range(CLASSES)) -> tuple[np.ndarray, np.ndarray]:
    """Draw embeddings around the centres of some classes."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(classes, n)
    return CENTRES[labels] + generator.normal(0, 0.35, (n, D)), labels


def logits_of(embeddings: np.ndarray) -> np.ndarray:
    return np.asarray(4 * unit_length(embeddings) @ unit_length(CENTRES).T)


@pytest.fixture(scope="module")
def trained() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    embeddings, labels = clouds(400, 0)
    return embeddings, labels, logits_of(embeddings)


def test_scores_are_what_their_formulas_say(trained: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    embeddings, labels, logits = trained
    reference = fit_reference(embeddings, labels, logits)
    image, said = clouds(1, 9)[0], np.array([[1.0, 2.0, -1.0]])
    found = {name: float(familiarity(name, reference, image, said)[0]) for name in SCORES}
    unit, training = image[0] / np.linalg.norm(image[0]), embeddings / np.linalg.norm(embeddings, axis=1)[:, None]
    assert found["softmax"] == pytest.approx(math.e**2 / (math.e + math.e**2 + 1 / math.e))
    assert found["energy"] == pytest.approx(math.log(math.e + math.e**2 + 1 / math.e))
    assert found["neighbour"] == pytest.approx(max(training @ unit))
    precision = reference.whitening @ reference.whitening.T
    means = np.stack([training[labels == each].mean(0) for each in range(CLASSES)])
    assert found["mahalanobis"] == pytest.approx(-min((unit - m) @ precision @ (unit - m) for m in means))
    directions = np.linalg.svd(training - training.mean(0))[2]
    rest = np.linalg.norm(directions[D // 2 :] @ (unit - training.mean(0)))
    scale = np.std(special.logsumexp(logits, axis=1)) / np.std(
        np.linalg.norm((training - training.mean(0)) @ directions[D // 2 :].T, axis=1)
    )
    assert found["vim"] == pytest.approx(found["energy"] - scale * rest)
    for other, place in (("neighbour", 1), ("mahalanobis", 2)):
        parts = [
            (found[name] - reference.location[k]) / reference.spread[k] for name, k in (("energy", 0), (other, place))
        ]
        assert found[f"energy+{other}"] == pytest.approx(sum(parts))


def test_whitened_embeddings_have_unit_covariance_within_classes(
    trained: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    embeddings, labels, logits = trained
    reference = fit_reference(np.tile(embeddings, (5, 1)), np.tile(labels, 5), np.tile(logits, (5, 1)))
    white = (unit_length(embeddings) - reference.centre) @ reference.whitening
    within = white - reference.means[labels]
    assert within.T @ within / len(within) == pytest.approx(np.eye(D), abs=0.06)


@pytest.mark.parametrize("n", [8, 30])
def test_the_whitening_is_that_of_scikit_learn_s_covariance(n: int) -> None:
    """Fewer images than dimensions, and more."""
    from sklearn.covariance import ledoit_wolf

    unit = unit_length(clouds(n, 8)[0])
    reference = fit_reference(unit, np.zeros(n, int), np.ones((n, 2)), score="mahalanobis")
    covariance, _ = ledoit_wolf(unit - unit.mean(0), assume_centered=True)
    assert reference.whitening @ covariance @ reference.whitening.T == pytest.approx(np.eye(D), abs=1e-4)
    assert reference.principal.size == 0


def test_the_discriminant_is_that_of_scikit_learn() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    (learned, labels), (others, _) = clouds(500, 1), clouds(50, 2)
    even = LinearDiscriminantAnalysis("lsqr", shrinkage=0.0, priors=np.full(CLASSES, 1 / CLASSES))
    even.fit(unit_length(learned), labels)
    mine = special.softmax(discriminant(learned, labels)(others), axis=1)
    assert mine == pytest.approx(even.predict_proba(unit_length(others)), abs=0.06)
    assert np.array_equal(mine.argmax(1), even.predict(unit_length(others)))


@pytest.mark.parametrize("name", SCORES)
def test_a_score_needs_no_more_than_it_says_and_finds_images_from_afar(
    name: str, trained: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    reference = only_needed(fit_reference(*trained), name)
    assert {
        each for each in ("centre", "whitening", "means", "bank", "principal") if getattr(reference, each).size
    } == {*NEEDS[name]}
    (near, _), far = clouds(300, 3), np.random.default_rng(4).normal(0, 1, (300, D))
    both = np.concatenate([near, far])
    area, _ = roc_area(familiarity(name, reference, both, logits_of(both)), np.arange(600) < 300)
    assert area > 0.8


def test_the_score_that_finds_left_out_classes_is_chosen() -> None:
    """Logits that say nothing leave the scores of embeddings, and the other way round."""
    embeddings, labels = clouds(400, 6)

    def silent(learned: np.ndarray, codes: np.ndarray) -> object:
        return lambda others: np.zeros((len(others), codes.max() + 1))

    chosen, areas = choose_score(embeddings, labels, silent)  # type: ignore[arg-type]
    assert areas["energy"] == areas["softmax"] == 0.5
    assert chosen in ("neighbour", "mahalanobis", "vim", "energy+neighbour", "energy+mahalanobis")
    assert areas[chosen] == max(areas.values()) > 0.8
    assert choose_score(embeddings, labels, silent) == (chosen, areas)  # type: ignore[arg-type]
    assert choose_score(embeddings[labels < 3], labels[labels < 3]) == (DEFAULT, {})


def test_no_more_familiar_images_are_rejected_than_was_said() -> None:
    shares = []
    for seed in range(400):
        generator = np.random.default_rng(seed)
        found = rejection(generator.normal(size=119))  # rank 6 of 119
        shares.append((found.share, stats.norm.cdf(found.below)))
    assert shares[0][0]["value"] == pytest.approx(0.05)
    assert np.mean([true for _, true in shares]) == pytest.approx(0.05, abs=0.004)
    inside = [said["low"] <= true <= said["high"] for said, true in shares if said["low"] is not None and said["high"]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.035)


def test_too_few_images_reject_nothing() -> None:
    found = rejection(np.arange(18.0))
    assert (found.below, found.share["value"]) == (-math.inf, 0.0)
    assert rejection(np.arange(19.0)).below == 0.0


def test_the_share_and_the_threshold_agree() -> None:
    calibration = np.random.default_rng(0).normal(size=99)
    scores = np.concatenate([np.random.default_rng(1).normal(size=500), calibration])
    assert np.array_equal(familiar_share(scores, calibration) <= 0.05, scores < rejection(calibration).below)
    assert familiar_share(np.array([-9.0, 9.0]), calibration).tolist() == [0.01, 1.0]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="1 training images are too few"):
        fit_reference(np.ones((1, 3)), np.zeros(1, int), np.ones((1, 2)))
    with pytest.raises(SpecError, match="neighbour"):
        familiarity("neighbor", fit_reference(*clouds(9, 0), np.ones((9, 2))), np.ones((1, D)), np.ones((1, 2)))
