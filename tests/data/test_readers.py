"""Readers of image files, and which rows are one item of the source."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from headstart.data.dataset import ChosenRows
from headstart.data.image_files import file_state
from headstart.data.readers import FileReader, item_codes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"first")
    (tmp_path / "y.png").write_bytes(b"second")
    return tmp_path


def test_a_row_a_file(folder: Path) -> None:
    reader = FileReader(folder, ["a/x.png", "y.png"])
    assert len(reader) == 2 and reader.name(0) == "a/x.png" and reader.path(1) == folder / "y.png"
    assert [reader.read(row) for row in range(2)] == [b"first", b"second"]
    assert item_codes(reader).tolist() == [0, 1]


def test_rows_may_share_a_file(folder: Path) -> None:
    reader = FileReader(folder, ["a/x.png", "y.png"], np.array([1, 0, 1]))
    assert len(reader) == 3 and [reader.read(row) for row in range(3)] == [b"second", b"first", b"second"]
    assert item_codes(reader).tolist() == [1, 0, 1]
    assert item_codes(ChosenRows(reader, np.array([2, 1]))).tolist() == [1, 0]
    plain = ChosenRows(ChosenRows(FileReader(folder, ["a", "b", "c"]), np.array([2, 0, 1])), np.array([0, 2]))
    assert item_codes(plain).tolist() == [2, 1]


def test_an_absolute_name_is_read_where_it_says(folder: Path) -> None:
    assert FileReader(folder / "a", [str(folder / "y.png")]).read(0) == b"second"


def test_the_identity_ends_in_the_state_of_the_file(folder: Path) -> None:
    reader, path = FileReader(folder, ["a/x.png", "y.png"]), folder / "y.png"
    os.utime(path, ns=(5, 12345))
    state = path.stat()
    assert file_state(path) == f"6|{state.st_ino}|12345|{state.st_ctime_ns}"
    assert reader.identity(1) == f"{path}|{file_state(path)}"
    path.write_bytes(b"longer than before")
    os.utime(path, ns=(5, 12345))
    assert reader.identity(1).startswith(f"{path}|18|{state.st_ino}|12345|")


def test_a_file_of_the_future_is_as_new_as_it_says(folder: Path) -> None:
    os.utime(folder / "y.png", (5, 4e9))
    assert file_state(folder / "y.png").endswith("|4000000000000000000|4000000000000000000")
