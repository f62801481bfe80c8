"""Encoded images in a column of a Parquet file."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data.image_files import file_state
from headstart.data.sources import parquet
from headstart.data.sources.parquet import _KEPT, ParquetReader
from headstart.errors import DataError

IMAGES = [f"image {row}".encode() for row in range(14)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file of seven row groups of two rows, with a plain and a struct column."""
    table = pa.table({"image": pa.array(IMAGES), "struct": [{"bytes": each, "path": "x"} for each in IMAGES]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    return tmp_path / "x.parquet"


@pytest.mark.parametrize("column", ["image", "struct"])
def test_every_row_of_every_group_is_read(file: Path, column: str) -> None:
    reader = ParquetReader(file, column)
    assert len(reader) == 14 and [reader.read(row) for row in range(14)] == IMAGES


def test_the_groups_used_longest_ago_leave_memory(file: Path) -> None:
    reader = ParquetReader(file, "image")
    for row in (0, 2, 4, 6, 1, 8):  # groups 0 1 2 3, 0 again, 4: group 1 is the oldest
        reader.read(row)
    assert list(reader._kept) == [(2, 0), (3, 0), (0, 0), (4, 0)] and len(reader._kept) == _KEPT


def test_an_empty_cell_has_zero_bytes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": pa.array([None, b"x"], pa.binary())}), tmp_path / "x.parquet")
    assert [ParquetReader(tmp_path / "x.parquet", "image").read(row) for row in range(2)] == [b"", b"x"]


def test_rows_are_named_and_identified(file: Path) -> None:
    reader = ParquetReader(file, "image")
    assert reader.name(3) == "row 3" and ParquetReader(file, "image", list("abcd")).name(3) == "d"
    assert reader.identity(3) == f"{file}!image!3|{file_state(file)}"


def test_a_reader_travels_to_another_process(file: Path) -> None:
    reader = pickle.loads(pickle.dumps(ParquetReader(file, "struct", ["n"] * 14)))
    assert reader.read(13) == IMAGES[13] and reader.name(0) == "n" and reader.column == "struct"


def test_a_damaged_row_group_is_named(file: Path) -> None:
    reader = ParquetReader(file, "image")
    data = bytearray(file.read_bytes())
    data[4 : len(data) // 2] = b"\xff" * (len(data) // 2 - 4)
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"x\.parquet: row group 0 cannot be read"):
        reader.read(0)


def test_of_a_large_row_group_only_a_part_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_LARGE", 1 << 20)
    images = [bytes([row]) * (1 << 16) + b"%d" % row for row in range(200)]  # 13 MB in one group
    plain = {"compression": "none", "use_dictionary": False, "write_batch_size": 4}  # a page is 4 rows
    pq.write_table(pa.table({"image": pa.array(images)}), tmp_path / "x.parquet", **plain)
    reader = ParquetReader(tmp_path / "x.parquet", "image")
    pool, most = pa.default_memory_pool(), 0
    before = pool.bytes_allocated()
    for row in [*range(200), 0, 150, 199, 3]:  # in order, then back: the group is read again
        assert reader.read(row) == images[row]
        most = max(most, pool.bytes_allocated() - before)
    assert reader._blocks == [3] and most < 5 << 20
