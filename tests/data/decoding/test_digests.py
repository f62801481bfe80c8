from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data import readers
from headstart.data.decoding import digests as fingerprint
from headstart.data.decoding.digests import digest_of, examine
from headstart.data.decoding.faults import LacksMemoryError
from headstart.data.image_files import read_file
from headstart.data.readers import FileReader
from headstart.errors import DataError


@pytest.fixture
def old(flowers: Path) -> FileReader:
    """Return a reader of files that have not changed for a while, two rows of each."""
    names = sorted(str(path.relative_to(flowers)) for path in flowers.rglob("*.png"))
    past = time.time() - 100
    for name in names:
        os.utime(flowers / name, (past, past))
    time.sleep(0.15)  # until they count as settled
    return FileReader(flowers, names, np.repeat(np.arange(len(names)), 2))


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []
    monkeypatch.setattr(readers, "read_file", lambda path: (read.append(path), read_file(path))[1])
    return read


def test_digests_are_of_the_content_and_each_file_is_read_once(
    old: FileReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = count_reads(monkeypatch)
    seen = examine(old)
    assert len(read) == 15 and len(seen.digests) == 30
    for row in range(30):
        assert seen.digests[row].decode() == digest_of(old.read(row))


def test_the_second_look_at_unchanged_files_opens_none(old: FileReader, monkeypatch: pytest.MonkeyPatch) -> None:
    first = examine(old)
    read = count_reads(monkeypatch)
    again = examine(old)
    assert read == []
    np.testing.assert_array_equal(again.digests, first.digests)


def test_a_changed_file_is_looked_at_again(old: FileReader, flowers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = examine(old)
    (flowers / "rose" / "0.png").write_bytes(b"text")
    read = count_reads(monkeypatch)
    again = examine(old)
    assert read == [flowers / "rose" / "0.png"]
    rows = [row for row in range(30) if old.name(row) == "rose/0.png"]
    assert set(again.problems) == set(rows) and again.problems[rows[0]] == "is not an image"
    assert (again.digests != first.digests).sum() == 2


def test_a_file_written_a_moment_ago_is_not_remembered(flowers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = flowers / "rose" / "0.png"
    reader = FileReader(flowers, ["rose/0.png"])
    now = time.time() + 5
    os.utime(path, (now, now))
    examine(reader)
    read = count_reads(monkeypatch)
    examine(reader)
    assert read == [path]


@pytest.mark.parametrize("way", ["written over", "put in its place"])
def test_a_picture_of_the_same_size_and_time_is_seen(old: FileReader, flowers: Path, way: str) -> None:
    first, path = examine(old), flowers / "rose" / "0.png"
    before, other = path.stat(), flowers.parent / "other.png"
    (other if way == "put in its place" else path).write_bytes(bytes(before.st_size))
    if other.exists():
        os.replace(other, path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size and path.stat().st_mtime_ns == before.st_mtime_ns
    assert set((examine(old).digests != first.digests).nonzero()[0]) == {
        row for row in range(30) if old.name(row) == "rose/0.png"
    }


def test_images_of_more_than_eight_bits_are_told_now_and_from_memory(old: FileReader, flowers: Path) -> None:
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 900
    Image.fromarray(deep).save(flowers / "deep.png")
    Image.fromarray(deep.astype(np.float32)).save(flowers / "floats.tif")
    Image.fromarray(deep.astype(np.int32)).save(flowers / "long.tif")
    Image.fromarray(deep.astype(np.uint8)).save(flowers / "grey.jpg")
    reader = FileReader(flowers, ["deep.png", "grey.jpg", "floats.tif", "long.tif", "rose/0.png"])
    time.sleep(0.15)  # until they count as settled
    for _ in range(2):
        assert examine(reader).depths == {0: "16 bits", 2: "floats", 3: "32 bits"}


def test_a_damaged_memory_is_thrown_away(old: FileReader, own_store: Path) -> None:
    first = examine(old)
    for path in own_store.glob("files.sqlite*"):
        path.unlink()
    (own_store / "files.sqlite").write_bytes(b"this is no database" * 500)
    np.testing.assert_array_equal(examine(old).digests, first.digests)
    np.testing.assert_array_equal(examine(old).digests, first.digests)


def test_without_a_place_to_remember_everything_is_looked_at(old: FileReader, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert len(examine(old, memory=tmp_path / "file" / "m.sqlite").digests) == 30


@pytest.mark.parametrize("column", ["digest", "problem", "depth", "sum"])
def test_a_damaged_row_of_the_memory_is_not_believed(old: FileReader, tmp_path: Path, column: str) -> None:
    first = examine(old, memory=tmp_path / "m.sqlite")
    with contextlib.closing(sqlite3.connect(tmp_path / "m.sqlite")) as memory, memory:
        assert memory.execute("SELECT count(*) FROM seen").fetchone() == (15,)
        memory.execute(f"UPDATE seen SET {column} = ?", ["7" if column in ("problem", "depth") else bytes(16)])
    again = examine(old, memory=tmp_path / "m.sqlite")
    np.testing.assert_array_equal(again.digests, first.digests)
    assert (again.problems, again.depths) == (first.problems, first.depths) == ({}, {})


def test_a_memory_that_turns_out_to_be_damaged_is_begun_anew(old: FileReader, tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite"
    first = examine(old, memory=path)
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)  # the schema is intact, the rows are gone
    path.write_bytes(content)
    for _ in range(2):
        np.testing.assert_array_equal(examine(old, memory=path).digests, first.digests)
    with contextlib.closing(sqlite3.connect(path)) as memory:
        assert memory.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert memory.execute("SELECT count(*) FROM seen").fetchone() == (15,)


def test_a_locked_memory_does_not_stop_the_work(
    old: FileReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "m.sqlite"
    first = examine(old, memory=memory)
    monkeypatch.setattr(fingerprint, "_PATIENCE", 0.05)
    other = sqlite3.connect(memory, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    np.testing.assert_array_equal(examine(old, memory=memory).digests, first.digests)
    other.close()


def test_many_looks_at_once_agree(old: FileReader) -> None:
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda _: examine(old).digests.tobytes(), range(8)))
    assert len(set(seen)) == 1


def test_digests_of_arrays_depend_on_shape_and_pixels() -> None:
    pixels = np.arange(12, dtype=np.uint8)
    digests = {digest_of(pixels.reshape(shape)) for shape in ((2, 6), (3, 4), (4, 3))}
    assert len(digests | {digest_of(pixels.reshape(2, 6) + 1)}) == 4
    assert digest_of(pixels.reshape(2, 6)[:, ::-1]) == digest_of(pixels.reshape(2, 6)[:, ::-1].copy())


def test_a_lack_of_memory_is_an_error_and_is_not_remembered(old: FileReader, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: bytes) -> str | None:
        raise LacksMemoryError

    with monkeypatch.context() as short:
        short.setattr(fingerprint, "check", fails)
        with pytest.raises(DataError, match="too little memory is free"):
            examine(old)
    assert examine(old).problems == {}


def test_a_file_that_changes_again_within_a_tick_of_a_coarse_clock_is_read_again(
    old: FileReader, flowers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick = (int(time.time()) - 1) // 2 * 2 * 10**9  # as FAT writes it: even seconds, here one to three seconds ago
    monkeypatch.setattr("headstart.data.image_files._state", lambda state: f"0|0|{tick}|{tick}")
    before = examine(old).digests
    (flowers / old.name(0)).write_bytes((flowers / old.name(4)).read_bytes())
    after = examine(old).digests
    assert after[0] == before[4] != before[0]
