from __future__ import annotations

import numpy as np
import pytest

from headstart.evaluate.uncertainty.drift import Sketch, projected, sketch_of
from headstart.evaluate.uncertainty.unlabelled_accuracy import (
    FEWEST,
    MOST_APART,
    MOST_UNFAMILIAR,
    Guess,
    agreement,
    guess_accuracy,
    thresholded_confidence,
)
from tests.evaluate.uncertainty.test_drift import CENTRES, images


def test_thresholded_confidence_is_the_accuracy_on_the_held_out_images_themselves() -> None:
    generator = np.random.default_rng(0)
    for confidence in (generator.random(50), np.round(generator.random(50), 1), np.full(50, 0.5)):
        correct = generator.random(50) < 0.7
        assert thresholded_confidence(confidence, correct, confidence) == pytest.approx(correct.mean())
        for all_or_none in (np.ones(50, bool), np.zeros(50, bool)):
            found = thresholded_confidence(confidence, all_or_none, confidence)
            assert found == pytest.approx(all_or_none.mean())


def test_thresholded_confidence_is_the_figure_worked_out_by_hand() -> None:
    """Three of four are right, so the threshold keeps the three most confident of them: 0.6 and above."""
    held, correct = np.array([0.2, 0.6, 0.8, 0.9]), np.array([True, False, True, True])
    assert thresholded_confidence(held, correct, np.array([0.1, 0.5, 0.6, 0.7, 0.95])) == pytest.approx(3 / 5)


@pytest.fixture(scope="module")
def own() -> Sketch:
    generator = np.random.default_rng(0)
    train, _, labels = images(400, generator)
    embeddings, looks, held = images(200, generator)
    return sketch_of(train, labels, embeddings, looks, held)


def predictions(embeddings: np.ndarray) -> np.ndarray:
    return np.asarray((embeddings @ CENTRES.T - (CENTRES**2).sum(1) / 2).argmax(1))


def test_agreement_falls_by_the_share_of_predictions_that_turn_against_their_neighbours(own: Sketch) -> None:
    embeddings, _, _ = images(200, np.random.default_rng(5))
    seen, said = projected(own, embeddings), predictions(embeddings)
    before = agreement(own, 0.9, seen, said)
    turned = said.copy()
    near = agreement(own, 0.0, seen, said) if before > 0.9 else None
    assert near is None or near >= 0
    agreed = [k for k in range(200) if agreement(own, 0.9, seen[k : k + 1], said[k : k + 1]) > 0.85][:40]
    turned[agreed] = (turned[agreed] + 1) % len(CENTRES)
    assert before - agreement(own, 0.9, seen, turned) == pytest.approx(40 / 200, abs=0.011)


def guess(own: Sketch, confidence: float, shift: float, unfamiliar: float = 0.0, n: int = 300) -> Guess:
    generator = np.random.default_rng(7)
    held = generator.uniform(0.4, 1, 500)
    correct = generator.random(500) < held
    embeddings, _, _ = images(n, generator)
    said = predictions(embeddings)
    moved = projected(own, embeddings + shift * generator.normal(0, 1, embeddings.shape))
    new = np.clip(generator.uniform(0.4, 1, n) + confidence, 0, 1)
    return guess_accuracy(own, held, correct, new, said, moved, unfamiliar)


def test_where_nothing_has_changed_the_guess_holds_the_accuracy_before(own: Sketch) -> None:
    found = guess(own, 0.0, 0.0)
    assert found.value is not None and found.why == "" and found.low < found.before < found.high
    assert found.value == pytest.approx(sum(found.estimates.values()) / 2)
    assert found.low < min(found.estimates.values()) and max(found.estimates.values()) < found.high


def test_where_the_two_ways_disagree_nothing_is_claimed(own: Sketch) -> None:
    """The network is as sure as before of images that have gone elsewhere."""
    found = guess(own, 0.0, 2.0)
    assert found.value is None and "differ by more than 10 points" in found.why
    assert found.estimates["confidence"] - found.estimates["neighbours"] > MOST_APART
    assert found.low < found.estimates["neighbours"] and found.high > found.estimates["confidence"]


def test_unfamiliar_images_and_too_few_images_are_reasons_too(own: Sketch) -> None:
    found = guess(own, 0.0, 0.0, unfamiliar=MOST_UNFAMILIAR + 0.01)
    assert found.value is None and "at least 26 % of the images are unfamiliar" in found.why
    assert found.low == pytest.approx(guess(own, 0.0, 0.0).low - 0.21)  # what is unfamiliar may all be wrong
    found = guess(own, 0.0, 0.0, n=FEWEST - 1)
    assert (found.value, found.low, found.high, found.estimates) == (None, 0.0, 1.0, {})
    assert found.why == f"{FEWEST - 1} images are too few; at least {FEWEST} are needed"


@pytest.mark.parametrize(("fall", "known"), [(0.2, True), (0.35, False)])
def test_a_large_fall_is_not_estimated(own: Sketch, fall: float, known: bool) -> None:
    """Both estimates agree that the accuracy was 0.9 and has fallen by as much."""
    n = 400
    held = np.linspace(0, 1, 500)
    embeddings, _, _ = images(n, np.random.default_rng(7))
    said = predictions(embeddings)
    turned = int(fall * n)
    said[:turned] = (said[:turned] + 1) % len(CENTRES)
    confidence = np.where(np.arange(n) < (0.1 + fall) * n, 0.0, 1.0)
    found = guess_accuracy(own, held, held >= 0.1, confidence, said, projected(own, embeddings))
    assert found.estimates == pytest.approx({"confidence": 0.9 - fall, "neighbours": 0.9 - fall}, abs=0.04)
    if known:
        assert found.why == "" and found.value == pytest.approx(0.9 - fall, abs=0.03)
    else:
        assert found.value is None and "more than 25 cannot be estimated" in found.why
