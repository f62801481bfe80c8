from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from unlabelled_folder import draw_folder, embedded

from headstart.errors import SpecError
from headstart.labelling import similar
from headstart.labelling.similar import nearest_rows


def test_the_largest_cosines_come_first_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    vectors[7] = 0
    query = vectors[3] * 5
    expected = (vectors @ query) / (np.maximum(np.linalg.norm(vectors, axis=1), 1e-12) * np.linalg.norm(query))
    rows, cosines = nearest_rows(vectors, query, 50)
    assert rows[0] == 3 and np.allclose(cosines, np.sort(expected)[::-1], atol=1e-6)
    assert np.allclose(expected[rows], cosines, atol=1e-6)
    monkeypatch.setattr(similar, "_BLOCK", 8)
    again, also = nearest_rows(vectors, query, 5)
    assert again.tolist() == rows[:5].tolist() and np.allclose(also, cosines[:5])


def test_what_cannot_be_compared_is_refused() -> None:
    vectors = np.zeros((3, 4), dtype=np.float32)
    with pytest.raises(SpecError, match="at least one image"):
        nearest_rows(vectors, vectors[0], 0)
    with pytest.raises(SpecError, match=r"a vector of \(5,\)"):
        nearest_rows(vectors, np.zeros(5, dtype=np.float32), 1)


def test_images_of_a_folder_are_named_with_their_cosine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = embedded(draw_folder(tmp_path, each=4), spread=0.1)
    monkeypatch.setattr(type(found), "of", lambda self, picture: self.vectors[0])
    nearest = similar.most_similar(found, "any", 4)
    assert nearest[0].name == "blue-000.png" and nearest[0].cosine == pytest.approx(1) and nearest[0].label is None
    assert {each.name.partition("-")[0] for each in nearest} == {"blue"}
    assert [each.cosine for each in nearest] == sorted((each.cosine for each in nearest), reverse=True)
