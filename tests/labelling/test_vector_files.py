from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from unlabelled_folder import draw_folder, embedded

from headstart.data.sources.load import load_dataset
from headstart.errors import SpecError
from headstart.labelling.embeddings import Embeddings
from headstart.labelling.vector_files import check_suffix, write_vectors


@pytest.fixture
def labelled(tmp_path: Path) -> Embeddings:
    for name in ("red", "green"):
        for part in ("train", "test"):
            folder = tmp_path / "data" / part / name
            draw_folder(folder, 1)
            for path in folder.iterdir():
                if not path.name.startswith(name):
                    path.unlink()
    dataset = load_dataset(tmp_path / "data")
    vectors = np.arange(len(dataset) * 8, dtype=np.float32).reshape(len(dataset), 8) / 3
    return replace(embedded(draw_folder(tmp_path / "other", 1)), dataset=dataset, vectors=vectors)


def test_parquet_holds_names_labels_parts_and_vectors(labelled: Embeddings, tmp_path: Path) -> None:
    write_vectors(labelled, tmp_path / "deep" / "v.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "deep" / "v.parquet")
    rows = table.to_pylist()
    assert [row["name"] for row in rows] == labelled.names
    assert [(row["label"], row["split"]) for row in rows] == list(
        zip(labelled.labels or [], labelled.dataset.given_split.tolist(), strict=True)  # type: ignore[union-attr]
    )
    assert np.array_equal(np.array([row["embedding"] for row in rows], dtype=np.float32), labelled.vectors)
    assert table.schema.metadata[b"network"] == b"drawn" and table.schema.field("embedding").type.list_size == 8


def test_csv_and_npz_hold_the_same(labelled: Embeddings, tmp_path: Path) -> None:
    write_vectors(labelled, tmp_path / "v.csv")
    with (tmp_path / "v.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:4] == ["name", "label", "split", "0"] and len(rows[0]) == 11
    values = np.array([[row[str(place)] for place in range(8)] for row in rows], dtype=np.float32)
    assert np.array_equal(values, labelled.vectors) and [row["label"] for row in rows] == labelled.labels
    write_vectors(labelled, tmp_path / "v.npz")
    with np.load(tmp_path / "v.npz", allow_pickle=False) as found:
        assert np.array_equal(found["embeddings"], labelled.vectors)
        assert found["names"].tolist() == labelled.names and found["labels"].tolist() == labelled.labels
        assert str(found["network"]) == "drawn"


def test_images_without_labels_have_none(tmp_path: Path) -> None:
    found = embedded(draw_folder(tmp_path / "photos", 1))
    assert found.labels is None
    write_vectors(found, tmp_path / "v.parquet")
    rows = pyarrow.parquet.read_table(tmp_path / "v.parquet").to_pylist()
    assert [(row["label"], row["split"]) for row in rows] == [(None, None)] * 3
    write_vectors(found, tmp_path / "v.npz")
    with np.load(tmp_path / "v.npz") as arrays:
        assert arrays["labels"].tolist() == ["", "", ""]


def test_another_kind_of_file_is_refused_by_its_suffix(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"choose a name that ends in \.parquet, \.csv, \.npz"):
        check_suffix(tmp_path / "v.xlsx")
