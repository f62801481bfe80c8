"""Stretches of bytes of files on disk and at addresses."""

from __future__ import annotations

import pickle
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from headstart.data import file_ranges
from headstart.data.file_ranges import LocalFile, RemoteFile, file_at
from headstart.errors import DataError

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
STRETCHES = ((0, 10), (990, 20), (500, 5000), (10_200, 100), (20_000, 5))


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> RemoteFile:
    """Return a file at an address, of which 1,000 bytes are fetched at a time."""
    monkeypatch.setattr(file_ranges, "WINDOW", 1000)
    fsspec.filesystem("memory").pipe("/ranges/x", CONTENT)
    return RemoteFile("memory://ranges/x")


def test_the_bytes_are_those_of_the_file(remote: RemoteFile, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    for file in (remote, LocalFile(tmp_path / "x"), pickle.loads(pickle.dumps(remote)), file_at(f"{tmp_path}/x")):
        with file.open() as opened:
            assert file.size() == len(CONTENT) and opened.read() == CONTENT
        for start, size in STRETCHES:
            assert file.read(start, size) == CONTENT[start : start + size]


def test_a_window_is_fetched_once_and_few_are_kept(remote: RemoteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[int] = []
    whole = MemoryFileSystem.cat_file

    def counted(system: MemoryFileSystem, path: str, start: int, end: int) -> bytes:
        fetched.append(start)
        content: bytes = whole(system, path, start=start, end=end)
        return content

    monkeypatch.setattr(MemoryFileSystem, "cat_file", counted)
    monkeypatch.setattr(file_ranges, "_KEPT", 2)
    for start in (0, 10, 999, 1000, 20, 2000, 0):  # windows 0 0 0 1 0 2, then 0 again: 1 is the oldest when 2 comes
        remote.read(start, 1)
    assert fetched == [0, 1000, 2000] and len(remote._windows) == 2


def test_the_state_changes_with_the_file(remote: RemoteFile) -> None:
    assert RemoteFile("memory://ranges/x").state() == remote.state() and remote.state().endswith("|0")
    fsspec.filesystem("memory").pipe("/ranges/x", CONTENT[::-1])
    assert RemoteFile("memory://ranges/x").state() != remote.state()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("memory://ranges/none", "no such file: memory://ranges/none"),
        ("nothing://x/y", "nothing://x/y: cannot be read"),
        ("s3fs9/none.tar", "no such file: s3fs9/none.tar"),
    ],
)
def test_what_is_not_there_is_named(place: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        file_at(place)
