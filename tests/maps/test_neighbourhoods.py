from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from headstart.maps.neighbourhoods import MEASURED, Mixing, Neighbours, kept_near, mixing, similar_images


def vectors(n: int, d: int = 6) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, d)).astype(np.float32)


def test_similar_images_are_those_of_scikit_learn() -> None:
    given = vectors(400)
    found = similar_images(given)
    theirs = NearestNeighbors(n_neighbors=11, metric="cosine").fit(given).kneighbors(return_distance=True)[1]
    assert found.rows.tolist() == list(range(400)) and found.nearest.shape == (400, 10)
    peers = NearestNeighbors(n_neighbors=10, metric="cosine").fit(given).kneighbors(return_distance=False)
    assert (found.nearest == peers).mean() > 0.999 and theirs.shape == (400, 11)


def test_the_shares_are_those_counted_one_by_one() -> None:
    given = vectors(120)
    near = similar_images(given)
    positions = vectors(120, 2)
    kept = kept_near(near, positions)
    ten = NearestNeighbors(n_neighbors=10).fit(positions).kneighbors(return_distance=False)
    fifty = NearestNeighbors(n_neighbors=50).fit(positions).kneighbors(return_distance=False)
    assert kept.among_nearest == pytest.approx(np.mean([np.isin(near.nearest[k], ten[k]).mean() for k in range(120)]))
    assert kept.among_wide == pytest.approx(np.mean([np.isin(near.nearest[k], fifty[k]).mean() for k in range(120)]))
    assert kept.by_chance == pytest.approx(50 / 119) and (kept.similar, kept.wide, kept.measured) == (10, 50, 120)


def test_a_map_that_is_the_vectors_keeps_everything() -> None:
    angles = np.sort(np.random.default_rng(0).uniform(0, 3, 200))
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    kept = kept_near(similar_images(circle), circle)
    assert kept.among_nearest > 0.99 and kept.among_wide == 1


def test_many_images_are_measured_by_some_and_one_image_by_none() -> None:
    found = similar_images(vectors(MEASURED + 500, 3))
    assert len(found.rows) == MEASURED and len(set(found.rows.tolist())) == MEASURED
    one = similar_images(vectors(1))
    assert one.nearest.shape == (1, 0) and kept_near(one, np.zeros((1, 2), np.float32)).similar == 0
    assert similar_images(vectors(3)).nearest.shape == (3, 2)


def test_the_table_counts_the_classes_of_the_similar_images() -> None:
    near = Neighbours(np.array([0, 1, 3]), np.array([[1, 2], [0, 3], [4, 0]]))
    codes = np.array([0, 0, 1, 1, -1])  # each class has one other: the nearest with a class counts
    assert mixing(near, codes, ["a", "b", "c"]) == [
        Mixing("a", 2, 1.0, "", 0.0),
        Mixing("b", 2, 0.0, "a", 1.0),
        Mixing("c", 0, None, "", 0.0),
    ]


def test_a_small_class_among_its_like_has_all_of_its_own() -> None:
    centres = np.eye(6, dtype=np.float32)[np.repeat(np.arange(6), 3)]
    codes = np.repeat(np.arange(6), 3)
    codes[17] = 0  # a label that looks wrong
    given = centres + np.random.default_rng(0).normal(0, 0.01, centres.shape).astype(np.float32)
    found = {each.name: each for each in mixing(similar_images(given), codes, list("abcdef"))}
    assert [found[name].own for name in "bcde"] == [1.0] * 4 and found["b"].other == ""
    similar, counted = similar_images(given), []
    for row in np.flatnonzero(codes == 0):  # four images: three others of each count
        counted += [codes[other] for other in similar.nearest[row][:3]]
    assert found["a"].own == pytest.approx(counted.count(0) / len(counted))
