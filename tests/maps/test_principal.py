from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from headstart.maps.principal import principal_components


def vectors(n: int = 300, d: int = 12) -> np.ndarray:
    generator = np.random.default_rng(3)
    return (generator.standard_normal((n, d)) * np.linspace(3, 0.5, d) + 1).astype(np.float32)


def test_scores_and_shares_are_those_of_scikit_learn_on_unit_vectors() -> None:
    given = vectors()
    unit = given / np.linalg.norm(given, axis=1, keepdims=True)
    scores, shares = principal_components(given, 3)
    peer = PCA(3, svd_solver="full").fit(unit.astype(np.float64))
    theirs = peer.transform(unit)
    assert np.allclose(np.abs(scores), np.abs(theirs), atol=1e-5)
    assert np.allclose(shares, peer.explained_variance_ratio_, atol=1e-6)
    for axis, direction in enumerate(peer.components_):  # the largest entry of each direction is positive
        sign = np.sign(direction[np.abs(direction).argmax()])
        assert np.allclose(scores[:, axis], sign * theirs[:, axis], atol=1e-5)


@pytest.mark.parametrize("n", [7, 12, 13])
def test_fewer_images_than_numbers_give_what_the_full_decomposition_gives(n: int) -> None:
    given = vectors(n)
    unit = (given / np.linalg.norm(given, axis=1, keepdims=True)).astype(np.float64)
    centred = unit - unit.mean(axis=0)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(4), np.abs(right[:4]).argmax(axis=1)])
    scores, shares = principal_components(given, 4)
    assert np.allclose(scores, (left * sizes)[:, :4] * signs, atol=1e-5)
    assert np.allclose(shares, (sizes**2 / (sizes**2).sum())[:4], atol=1e-6)


def test_the_order_and_the_length_of_vectors_change_nothing() -> None:
    given = vectors()
    scores, _ = principal_components(given, 2)
    order = np.random.default_rng(0).permutation(len(given))
    again, _ = principal_components(given[order] * 7, 2)
    assert np.allclose(again, scores[order], atol=1e-5)


def test_images_that_do_not_differ_or_lack_directions_are_at_zero() -> None:
    scores, shares = principal_components(np.ones((5, 3), dtype=np.float32), 2)
    assert np.allclose(scores, 0, atol=1e-6) and shares.tolist() == [0, 0]
    scores, shares = principal_components(np.zeros((2, 1), dtype=np.float32), 2)
    assert scores.tolist() == [[0, 0], [0, 0]] and shares.tolist() == [0, 0]
