"""Readers of images that are Python objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.image_files import file_state
from headstart.data.sources.in_memory import ItemReader, PictureReader

PIXELS = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


def test_pictures_of_each_kind_are_named_and_read(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"encoded")
    reader = PictureReader([str(path), path, b"bytes", PIXELS, Image.fromarray(PIXELS)])
    assert len(reader) == 5
    assert [reader.name(row) for row in range(5)] == [str(path), str(path), "#2", "#3", "#4"]
    assert [reader.read(row) for row in range(3)] == [b"encoded", b"encoded", b"bytes"]
    np.testing.assert_array_equal(reader.read(3), PIXELS)
    np.testing.assert_array_equal(reader.read(4), PIXELS)


def test_a_path_is_identified_by_its_state_and_memory_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"encoded")
    monkeypatch.chdir(tmp_path)
    reader = PictureReader(["x.png", b"bytes"])
    assert [reader.identity(row) for row in range(2)] == [f"{path}|{file_state(path)}", ""]


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.png").write_bytes(b"encoded")
    reader = PictureReader(["~/x.png"])
    assert reader.read(0) == b"encoded" and reader.identity(0).startswith(f"{tmp_path / 'x.png'}|7|")


def test_items_of_several_datasets_follow_one_another() -> None:
    items = [(Image.fromarray(np.full((1, 1), value, dtype=np.uint8)), 0) for value in range(5)]
    reader = ItemReader([(items[:2], 2), ([], 0), (items[2:], 3)], "toy")
    assert len(reader) == 5 and reader.title == "toy" and reader.name(3) == "#3" and reader.identity(3) == ""
    assert [int(np.asarray(reader.read(row)).flat[0]) for row in range(5)] == [0, 1, 2, 3, 4]
