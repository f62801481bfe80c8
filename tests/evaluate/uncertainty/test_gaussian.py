from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from headstart.evaluate.uncertainty.familiarity import unit_length
from headstart.evaluate.uncertainty.gaussian import class_sums, class_weights, gaussian, spectrum, whitening
from tests.evaluate.uncertainty.test_familiarity import CLASSES, D, clouds


def test_sums_of_classes_are_those_of_their_rows_and_need_no_matrix_of_images_and_classes() -> None:
    rows, codes = np.arange(12.0).reshape(6, 2), np.array([3, 0, 3, 1, 0, 3])
    assert class_sums(codes, rows, 5).tolist() == [[10.0, 12.0], [6.0, 7.0], [0.0, 0.0], [14.0, 17.0], [0.0, 0.0]]
    many = np.random.default_rng(0).integers(0, 2000, 20_000)
    tracemalloc.start()
    class_sums(many, np.ones((20_000, 2)), 2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6  # bytes; a number for each image and class would be 320 MB


def test_whitened_embeddings_have_unit_covariance_within_classes() -> None:
    embeddings, labels = clouds(400, 0)
    unit = unit_length(embeddings)
    many, centre = np.tile(unit, (5, 1)), unit.mean(0)
    white, means = gaussian(many, np.tile(labels, 5), centre, np.ones(len(many)))
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
    unit, weights = unit_length(embeddings), class_weights(labels)
    known = (weights[:, None] * unit).T @ unit
    every = (gaussian(unit, labels, unit.mean(0), weights, products) for products in (known, None))
    for mine, expected in zip(*every, strict=True):
        assert mine == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_each_class_counts_the_same_however_many_images_it_has() -> None:
    """A class whose images are given ten times changes neither the covariance nor the means."""
    unit, labels = unit_length(clouds(300, 4)[0]), np.arange(300) % 3
    again = np.concatenate([np.arange(300), np.tile(np.flatnonzero(labels == 1), 9)])
    assert class_weights(labels[again]).mean() == pytest.approx(1)
    assert class_weights(np.array([4, 4, 4, 9])) == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    (few, _), (many, _) = (
        gaussian(unit[rows], labels[rows], unit.mean(0), class_weights(labels[rows])) for rows in (slice(None), again)
    )
    assert many @ many.T == pytest.approx(few @ few.T, rel=0.05, abs=0.05 * np.abs(few @ few.T).max())
    plain, _ = gaussian(unit[again], labels[again], unit.mean(0), np.ones(len(again)))
    off_by = [np.abs(each @ each.T - few @ few.T).max() for each in (many, plain)]
    assert off_by[0] < off_by[1] / 3


@pytest.mark.parametrize("n", [5, 30])
def test_the_spectrum_is_that_of_the_singular_values(n: int) -> None:
    rows = np.random.default_rng(n).normal(0, 1, (n, 9))
    values, directions = spectrum(rows)
    _, singular, theirs = np.linalg.svd(rows, full_matrices=False)
    assert values == pytest.approx(singular**2)
    assert np.abs(np.sum(directions.T * theirs, axis=1)) == pytest.approx(1.0)
