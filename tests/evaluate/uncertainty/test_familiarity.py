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
    WITH_SOURCE,
    Compared,
    SourceHead,
    _evenly,
    familiar_share,
    familiarity,
    fit_reference,
    only_needed,
    rejection,
    unit_length,
)

D, CLASSES = 12, 8
CENTRES = np.random.default_rng(5).normal(0, 1, (CLASSES, D))
SUMMED = ("energy", "neighbour", "mahalanobis")
SOURCE = SourceHead(np.random.default_rng(6).normal(0, 1, (40, D)), np.random.default_rng(7).normal(0, 1, 40))


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
    reference = fit_reference(embeddings, labels, logits, source=SOURCE)
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
    z = [(found[name] - reference.location[k]) / reference.spread[k] for k, name in enumerate(SUMMED)]
    assert found[DEFAULT] == pytest.approx(min(z[0], 0.0) + 2 * (z[1] + z[2]))
    length = np.linalg.norm(embeddings, axis=1).mean()
    seen = special.softmax(length * training @ SOURCE.weight.T + SOURCE.bias, axis=1)
    mine = special.softmax(length * SOURCE.weight @ unit + SOURCE.bias)
    alike = max(np.sqrt(mine * seen[labels == each].mean(0)).sum() for each in range(CLASSES))
    source = (alike - reference.location[4]) / reference.spread[4]
    assert found[WITH_SOURCE] == pytest.approx(found[DEFAULT] + source)


def test_an_image_in_which_the_source_sees_what_no_class_shows_is_less_familiar() -> None:
    """Two of five classes of the source are shown; the third direction is one of the others, the fourth is two of them.

    Each of our classes shows one of the source, so an image that shows half of each is half like either.
    """
    head = SourceHead(40 * np.eye(5, D), np.zeros(5))
    training = np.repeat(np.eye(2, D), 20, axis=0) + np.random.default_rng(0).normal(0, 0.02, (40, D))
    reference = fit_reference(training, np.repeat([0, 1], 20), np.ones((40, 2)), source=head)
    both = (np.eye(D)[0] + np.eye(D)[1]) / math.sqrt(2)
    images = np.stack([*np.eye(3, D), both])
    assert Compared(reference, images, np.ones((4, 2))).source == pytest.approx([1, 1, 0, math.sqrt(0.5)], abs=0.005)


def test_what_the_source_sees_is_standardised_as_in_images_that_nothing_was_fitted_on() -> None:
    """By the definition: the classes of the other folds, one class of which has its only image in the fold."""
    embeddings, labels = clouds(40, 0)
    labels[7] = CLASSES
    reference = fit_reference(embeddings, labels, logits_of(embeddings), score=WITH_SOURCE, source=SOURCE)
    length = np.linalg.norm(embeddings, axis=1).mean()
    seen = special.softmax(length * unit_length(embeddings) @ SOURCE.weight.T + SOURCE.bias, axis=1)
    found = []
    for fold in np.array_split(np.random.default_rng(0).permutation(40), 5):
        rest = np.setdiff1d(np.arange(40), fold)
        means = [seen[rest][labels[rest] == each].mean(0) for each in np.unique(labels[rest])]
        found += [max(np.sqrt(seen[k] * mean).sum() for mean in means) for k in fold]
    assert reference.location[4] == pytest.approx(np.mean(found))
    assert reference.spread[4] == pytest.approx(np.std(found))


def test_distances_are_standardised_as_those_of_images_that_nothing_was_fitted_on() -> None:
    (embeddings, labels), (fresh, _) = clouds(60, 0), clouds(2000, 1)
    reference = fit_reference(embeddings, labels, logits_of(embeddings))
    own, new = (familiarity("mahalanobis", reference, each, logits_of(each)) for each in (embeddings, fresh))
    assert abs(reference.location[2] - new.mean()) < abs(own.mean() - new.mean()) / 3


def test_where_not_every_class_can_have_one_more_any_may_have_it() -> None:
    """Of 400 classes of two images 600 are kept: one of each, and a second of 200, half of them in each half."""
    labels = np.repeat(np.arange(400), 2)
    counts = np.bincount(labels[_evenly(labels, 600, 0)])
    assert counts.min() == 1 and counts.sum() == 600
    assert 80 <= (counts[:200] == 2).sum() <= 120


def test_the_images_that_are_kept_are_as_many_of_each_class_as_possible() -> None:
    """Of classes with 50, 9, 3 and 1 images twenty are kept: 3 and 1 are whole, the other sixteen are eight of each."""
    embeddings, labels = clouds(63, 0)[0], np.repeat([7, 3, 5, 1], [50, 9, 3, 1])
    shuffled = np.random.default_rng(1).permutation(63)
    embeddings, labels = embeddings[shuffled], labels[shuffled]
    kept = {}
    for seed in (0, 1):
        bank = fit_reference(embeddings, labels, np.ones((63, 2)), score="neighbour", most=20, seed=seed).bank
        rows = np.flatnonzero((unit_length(embeddings)[:, None] == bank).all(2).any(1))
        assert len(bank) == len(rows) == 20
        assert np.unique(labels[rows], return_counts=True)[1].tolist() == [1, 8, 3, 8]
        kept[seed] = rows.tolist()
    assert kept[0] != kept[1]
    whole = fit_reference(embeddings, labels, np.ones((63, 2)), score="neighbour", most=63).bank
    assert np.array_equal(whole, unit_length(embeddings))


@pytest.mark.parametrize("name", SCORES)
def test_a_score_needs_no_more_than_it_says_and_finds_images_from_afar(
    name: str, trained: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    reference = only_needed(fit_reference(*trained, source=SOURCE), name)
    arrays = ("centre", "whitening", "means", "bank", "principal", "source", "shown")
    assert {each for each in arrays if getattr(reference, each).size} == {*NEEDS[name]}
    (near, _), far = clouds(300, 3), np.random.default_rng(4).normal(0, 1, (300, D))
    both = np.concatenate([near, far])
    area, _ = roc_area(familiarity(name, reference, both, logits_of(both)), np.arange(600) < 300)
    assert area > 0.8


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
    with pytest.raises(DataError, match=r"'distances.energy.source' needs the head that the network was pretrained"):
        fit_reference(*clouds(9, 0), np.ones((9, 2)), score=WITH_SOURCE)
    with pytest.raises(SpecError, match="neighbour"):
        familiarity("neighbor", fit_reference(*clouds(9, 0), np.ones((9, 2))), np.ones((1, D)), np.ones((1, 2)))


def folds_of(unit: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return minus the distances of each fifth to the classes of the others, by scikit-learn's covariance.

    Images count so that the classes of all folds together count the same.
    """
    from sklearn.covariance import ledoit_wolf

    scale = np.sqrt(len(labels) / len(np.unique(labels)) / np.bincount(labels)[labels])[:, None]
    order, found = np.random.default_rng(0).permutation(len(unit)), []
    for fold in np.array_split(order, 5):
        rest = np.setdiff1d(order, fold)
        means = np.stack([unit[rest][labels[rest] == each].mean(0) for each in np.unique(labels[rest])])
        codes = np.unique(labels[rest], return_inverse=True)[1]
        precision = np.linalg.inv(ledoit_wolf(scale[rest] * (unit[rest] - means[codes]), assume_centered=True)[0])
        gaps = unit[fold][:, None] - means
        found.append(-np.einsum("ncd,de,nce->nc", gaps, precision, gaps).min(1))
    return np.concatenate(found)


@pytest.mark.parametrize("n", [14, 60, 300])  # fewer than dimensions in a fold's rest; more
def test_the_distances_of_folds_are_those_of_scikit_learn_s_covariance(n: int) -> None:
    embeddings, labels = clouds(n, 0)
    reference = fit_reference(embeddings, labels, logits_of(embeddings), score="mahalanobis")
    expected = folds_of(unit_length(embeddings), labels)
    assert reference.location[2] == pytest.approx(expected.mean(), rel=1e-3)
    assert reference.spread[2] == pytest.approx(expected.std(), rel=1e-3)


def test_the_same_as_pytorch_ood() -> None:
    """Its KNN has distances, not cosines; its Mahalanobis has the sum in place of the covariance, and is not shrunk."""
    ood = pytest.importorskip("pytorch_ood.detector")
    import torch

    (embeddings, labels), (images, _) = clouds(1500, 0), clouds(40, 1)
    reference, said = fit_reference(embeddings, labels, logits_of(embeddings)), logits_of(images)
    train, query = (torch.from_numpy(unit_length(each)) for each in (embeddings, images))
    codes, logits = torch.from_numpy(labels), torch.from_numpy(said)
    neighbour = ood.KNN(None, k=1).fit_features(train, codes).predict_features(query).numpy()
    peers = {
        "energy": -ood.EnergyBased(None).predict_logits(logits).numpy(),
        "softmax": -ood.MaxSoftmax(None).predict_logits(logits).numpy(),
        "neighbour": 1 - neighbour**2 / 2,
    }
    for name, expected in peers.items():
        assert familiarity(name, reference, images, said) == pytest.approx(expected, abs=1e-6), name
    (many, labels), none = clouds(20_000, 2), np.zeros((20_000, 2))  # so many that hardly anything is shrunk
    train, codes = torch.from_numpy(unit_length(many)).float(), torch.from_numpy(labels)
    distance = ood.Mahalanobis(None).fit_features(train, codes).predict_features(query.float()).numpy()
    mine = familiarity("mahalanobis", fit_reference(many, labels, none, score="mahalanobis"), images, said)
    assert mine == pytest.approx(-2 * len(many) * distance, rel=0.02)
