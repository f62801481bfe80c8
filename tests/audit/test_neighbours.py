from __future__ import annotations

import numpy as np
import pytest

from headstart.audit.neighbours import nearest_pairs


def test_the_nearest_pairs_among_few_are_those_of_all_with_all() -> None:
    features = np.random.default_rng(0).normal(size=(200, 40)).astype(np.float32)
    features[100:110] = features[:10] + 0.05 * features[50:60]
    found = nearest_pairs(features, 20)
    centred = features - features.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    cosine = np.triu(unit @ unit.T, 1)
    best = {tuple(divmod(int(k), 200)) for k in np.argsort(-cosine.ravel())[:10]}
    assert best <= set(zip(found.a.tolist(), found.b.tolist(), strict=True))
    assert found.cosine[:10] == pytest.approx(np.sort(cosine.ravel())[::-1][:10], abs=1e-5)
    assert (found.a < found.b).all()
    assert (np.diff(found.cosine) <= 0).all()
    assert len(found.a) <= 20


def test_every_pair_of_a_handful_is_returned_once() -> None:
    features = np.random.default_rng(3).normal(size=(4, 8)).astype(np.float32)
    found = nearest_pairs(features, 100)
    assert sorted(zip(found.a.tolist(), found.b.tolist(), strict=True)) == [
        (a, b) for a in range(4) for b in range(a + 1, 4)
    ]


def test_one_row_has_no_neighbour() -> None:
    assert len(nearest_pairs(np.ones((1, 8), dtype=np.float32), 10).a) == 0
    assert len(nearest_pairs(np.ones((5, 8), dtype=np.float32), 0).a) == 0


def test_the_approximate_index_finds_nearly_every_near_copy() -> None:
    generator = np.random.default_rng(1)
    centres = generator.normal(size=(30, 200))
    features = (centres[generator.integers(0, 30, 9000)] + generator.normal(size=(9000, 200))).astype(np.float32)
    copies = generator.permutation(8000)[:300]
    features[8700:] = features[copies] + 0.2 * generator.normal(size=(300, 200))
    found = nearest_pairs(features, 3000)
    pairs = set(zip(found.a.tolist(), found.b.tolist(), strict=True))
    assert sum((int(copy), 8700 + k) in pairs for k, copy in enumerate(copies)) >= 285
    again = nearest_pairs(features, 3000)
    assert (found.a == again.a).all() and (found.cosine == again.cosine).all()


def test_a_copy_that_stands_out_from_its_neighbourhood_is_kept_beside_a_dense_class() -> None:
    # 300 nearly equal images of one class fill any list of the nearest; the copy among sparse images is less near
    generator = np.random.default_rng(2)
    dense = np.concatenate([np.full((300, 1), 6.0), 0.3 * generator.normal(size=(300, 39))], axis=1)
    sparse = generator.normal(size=(300, 40)) - np.eye(40)[0] * 6
    sparse[299] = sparse[0] + 0.5 * generator.normal(size=40)
    found = nearest_pairs(np.concatenate([dense, sparse]).astype(np.float32), 200)
    assert (300, 599) in set(zip(found.a.tolist(), found.b.tolist(), strict=True))
