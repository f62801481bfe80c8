"""Files that a reader sees whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headstart.errors import StoreError
from headstart.storage.files import link_or_copy, read_json, write_atomic, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_link_shares_its_bytes_and_survives_the_first_name(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"weights")
    link_or_copy(source, target)
    assert source.stat().st_ino == target.stat().st_ino
    source.unlink()
    assert target.read_bytes() == b"weights" and names(tmp_path) == ["b"]


def test_without_hard_links_the_file_is_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"weights")
    link_or_copy(source, target)
    assert target.read_bytes() == b"weights" and source.stat().st_ino != target.stat().st_ino
    assert names(tmp_path) == ["a", "b"]


def test_a_file_that_was_there_is_replaced_even_by_itself(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    for _ in range(2):  # the second time both names are one file already
        link_or_copy(source, target)
        assert target.read_bytes() == b"new" and names(tmp_path) == ["a", "b"]


def test_a_full_disk_is_one_line_with_the_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    for write in (lambda: write_atomic(tmp_path / "x", "text"), lambda: link_or_copy(Path(__file__), tmp_path / "x")):
        with pytest.raises(StoreError, match="x: the disk is full"):
            write()
    assert names(tmp_path) == []


def test_a_file_in_the_way_of_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "x", tmp_path / "file" / "deeper" / "x"):
        with pytest.raises(StoreError, match=r"x: cannot be written \(.*\); choose another place"):
            write_atomic(place, "text")


def test_json_that_is_damaged_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"é": [1.5, None]})
    assert read_json(tmp_path / "a.json") == {"é": [1.5, None]}
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(StoreError, match=r"a\.json: cannot be read as JSON .*; delete it to create it again"):
        read_json(tmp_path / "a.json")
    with pytest.raises(StoreError, match=r"b\.json: no such file$"):
        read_json(tmp_path / "b.json")
