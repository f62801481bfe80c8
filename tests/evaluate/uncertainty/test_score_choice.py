from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from headstart.evaluate.uncertainty.familiarity import DEFAULT, WITH_SOURCE, SourceHead, unit_length
from headstart.evaluate.uncertainty.score_choice import _best, choose_score, discriminant
from tests.evaluate.uncertainty.test_familiarity import CENTRES, CLASSES, D, clouds


def test_the_discriminant_is_that_of_scikit_learn() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    (learned, labels), (others, _) = clouds(500, 1), clouds(50, 2)
    even = LinearDiscriminantAnalysis("lsqr", shrinkage=0.0, priors=np.full(CLASSES, 1 / CLASSES))
    even.fit(unit_length(learned), labels)
    mine = special.softmax(discriminant(learned, labels)(others), axis=1)
    assert mine == pytest.approx(even.predict_proba(unit_length(others)), abs=0.06)
    assert np.array_equal(mine.argmax(1), even.predict(unit_length(others)))


def silent(learned: np.ndarray, codes: np.ndarray) -> object:
    return lambda others: np.zeros((len(others), codes.max() + 1))


def test_without_a_source_the_default_finds_left_out_classes() -> None:
    """Logits that say nothing leave the scores of embeddings."""
    embeddings, labels = clouds(400, 6)
    chosen, areas = choose_score(embeddings, labels, silent)  # type: ignore[arg-type]
    assert chosen == DEFAULT and areas.keys() == {"softmax", DEFAULT}
    assert areas["softmax"] == 0.5 and areas[chosen] > 0.8
    assert choose_score(embeddings, labels, silent) == (chosen, areas)  # type: ignore[arg-type]
    assert choose_score(embeddings[labels < 3], labels[labels < 3]) == (DEFAULT, {})


def test_a_source_that_tells_the_classes_apart_is_used() -> None:
    """Embeddings in which classes overlap, but each is a class of the source."""
    generator = np.random.default_rng(3)
    labels = generator.integers(0, CLASSES, 600)
    embeddings = CENTRES[labels] + generator.normal(0, 0.8, (600, D))
    knows = SourceHead(20 * unit_length(CENTRES), np.zeros(CLASSES))
    chosen, areas = choose_score(embeddings, labels, silent, source=knows)  # type: ignore[arg-type]
    assert chosen == WITH_SOURCE
    assert areas[chosen] > areas[DEFAULT] + 0.02
    assert areas.keys() == {"softmax", DEFAULT, WITH_SOURCE}


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ([0.10, 0.00, -0.01], DEFAULT),  # 0.030 on average, with a standard error of 0.035
        ([0.04, 0.02, 0.03], WITH_SOURCE),  # 0.030 and 0.006
        ([0.04], DEFAULT),  # one draw says nothing of its error
        ([-0.04, -0.02, -0.03], DEFAULT),
        ([], DEFAULT),
    ],
)
def test_the_default_stays_unless_the_source_is_better_by_a_standard_error(gains: list[float], chosen: str) -> None:
    found = {DEFAULT: [0.8] * len(gains), WITH_SOURCE: [0.8 + each for each in gains]}
    found["softmax"] = [0.9] * len(gains)  # no candidate
    best, means = _best(found)
    assert best == chosen
    assert means == ({name: pytest.approx(np.mean(each)) for name, each in found.items()} if gains else {})
