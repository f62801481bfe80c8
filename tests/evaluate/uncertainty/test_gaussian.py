from __future__ import annotations

import numpy as np
import pytest

from headstart.evaluate.uncertainty.familiarity import unit_length
from headstart.evaluate.uncertainty.gaussian import gaussian, spectrum, whitening
from tests.evaluate.uncertainty.test_familiarity import CLASSES, D, clouds


def test_whitened_embeddings_have_unit_covariance_within_classes() -> None:
    embeddings, labels = clouds(400, 0)
    unit = unit_length(embeddings)
    many, centre = np.tile(unit, (5, 1)), unit.mean(0)
    white, means = gaussian(many, np.tile(labels, 5), centre)
    within = (unit - centre) @ white - means[labels]
    assert within.T @ within / len(within) == pytest.approx(np.eye(D), abs=0.06)
    expected = np.stack([(unit[labels == each].mean(0) - centre) @ white for each in range(CLASSES)])
    assert means == pytest.approx(expected)


@pytest.mark.parametrize("n", [8, 30])
def test_the_whitening_is_that_of_scikit_learn_s_covariance(n: int) -> None:
    """Fewer images than dimensions, and more."""
    from sklearn.covariance import ledoit_wolf

    unit = unit_length(clouds(n, 8)[0])
    centred = unit - unit.mean(0)
    covariance, _ = ledoit_wolf(centred, assume_centered=True)
    white = whitening(centred)
    assert white.T @ covariance @ white == pytest.approx(np.eye(D), abs=1e-4)
    assert whitening(centred, centred.T @ centred) == pytest.approx(white)


@pytest.mark.parametrize("n", [8, 30])
def test_inner_products_that_are_known_change_nothing(n: int) -> None:
    embeddings, labels = clouds(n, 9)
    unit = unit_length(embeddings)
    for mine, expected in zip(
        gaussian(unit, labels, unit.mean(0), unit.T @ unit), gaussian(unit, labels, unit.mean(0)), strict=True
    ):
        assert mine == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("n", [5, 30])
def test_the_spectrum_is_that_of_the_singular_values(n: int) -> None:
    rows = np.random.default_rng(n).normal(0, 1, (n, 9))
    values, directions = spectrum(rows)
    _, singular, theirs = np.linalg.svd(rows, full_matrices=False)
    assert values == pytest.approx(singular**2)
    assert np.abs(np.sum(directions.T * theirs, axis=1)) == pytest.approx(1.0)
