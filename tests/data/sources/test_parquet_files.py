"""Several Parquet files with the images' bytes are one data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data.sources.load import load_dataset
from headstart.errors import DataError


@pytest.fixture
def parts(tmp_path: Path, encoded: Callable[[int], bytes]) -> Path:
    """Return a folder of three files of four rows."""
    (tmp_path / "parts").mkdir()
    for file, part in enumerate(("train-00000", "train-00001", "test-00000")):
        images = [{"bytes": encoded(4 * file + row), "path": None} for row in range(4)]
        table = pa.table({"image": images, "label": ["ant", "bee"] * 2})
        pq.write_table(table, tmp_path / "parts" / f"{part}.parquet")
    return tmp_path / "parts"


def test_a_folder_a_pattern_and_an_address_are_the_same(parts: Path) -> None:
    memory = fsspec.filesystem("memory")
    for file in parts.iterdir():
        memory.pipe(f"/parquet/{file.name}", file.read_bytes())
    data = load_dataset(parts)
    assert len(data) == 12 and data.classes == ("ant", "bee") and data.about["files"] == "3"
    assert data.given_split is not None
    assert data.given_split.tolist() == ["test"] * 4 + ["train"] * 8  # by the names, sorted
    for source in (f"{parts}/{{test-00000,train-00000,train-00001}}.parquet", "memory://parquet/"):
        other = load_dataset(source)
        assert other.fingerprint == data.fingerprint and other.given_split is not None
        assert other.given_split.tolist() == data.given_split.tolist()
    one = load_dataset("memory://parquet/train-00001.parquet")
    assert len(one) == 4 and one.given_split is None and one.reader.read(2) == data.reader.read(10)


def test_files_that_do_not_belong_together_are_refused(parts: Path) -> None:
    pq.write_table(pa.table({"path": ["x.png"], "label": ["ant"]}), parts / "z.parquet")
    with pytest.raises(DataError, match=r"z\.parquet: no column of images' bytes; the columns are path, label"):
        load_dataset(parts)
    pq.write_table(pa.table({"image": [b"x"], "label": ["ant"], "split": ["train"]}), parts / "z.parquet")
    with pytest.raises(DataError, match=r"z\.parquet: has other columns than .*test-00000\.parquet"):
        load_dataset(parts)
    (parts / "z.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match=r"z\.parquet: cannot be read as Parquet"):
        load_dataset(parts)


def test_a_row_without_a_label_is_left_out(parts: Path, encoded: Callable[[int], bytes]) -> None:
    images = [{"bytes": encoded(20 + row), "path": f"{row}.png"} for row in range(2)]
    pq.write_table(pa.table({"image": images, "label": [None, "ant"]}), parts / "train-00002.parquet")
    data = load_dataset(parts)
    assert len(data) == 13 and [skip.reason for skip in data.skipped] == ["has no label in the manifest"]
