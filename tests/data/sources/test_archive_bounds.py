from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.sources import archive_bounds
from headstart.data.sources.archive_bounds import SmallReads, XzReader, check_count, check_directory, copy_bounded
from headstart.data.sources.archives import archive_tree
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError, StoreError
from headstart.storage.store import cache_root

BOMB = bytes(80 << 20)


def picture(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def zipped(path: Path, method: int = zipfile.ZIP_DEFLATED, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for seed, name in enumerate(("a/0.png", "a/1.png", "b/0.png", "b/1.png")):
            archive.writestr(name, picture(seed))
        for name, content in more.items():
            archive.writestr(f"a/{name}.png", content)
    return path


def test_a_member_that_unpacks_to_far_more_is_left_out_unread(tmp_path: Path) -> None:
    (skip,) = load_dataset(zipped(tmp_path / "bomb.zip", bomb=BOMB)).skipped
    assert skip.name == "a/bomb.png" and "as a zip bomb does" in skip.reason


def test_a_method_that_may_take_gigabytes_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", zipfile.ZIP_LZMA)
    with pytest.raises(OSError, match="its compression method is not supported; unpack the archive"):
        archive_tree(path).reader(["a/0.png"]).read(0)
    with pytest.raises(DataError, match="no usable image: 4 cannot be read"):
        load_dataset(path)
    assert len(load_dataset(zipped(tmp_path / "y.zip", zipfile.ZIP_BZIP2))) == 4


@pytest.mark.parametrize(("suffix", "opened"), [("gz", gzip.open), ("bz2", bz2.open), ("xz", lzma.open)])
def test_an_archive_that_unpacks_to_far_more_is_a_bomb(suffix: str, opened: Callable, tmp_path: Path) -> None:
    path = tmp_path / f"bomb.tar.{suffix}"
    with opened(path, "wb") as file:
        file.write(BOMB)
    with pytest.raises(DataError, match=r"is a decompression bomb: [\d,]+ bytes unpack to more than 200 times"):
        load_dataset(path)
    assert not any(cache_root().rglob("*.partial")), "nothing of it is left in the cache"


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_an_archive_of_pictures_is_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"fine.tar.{suffix}"
    with tarfile.open(path, f"w:{suffix}") as archive:
        for seed, name in enumerate(("a/0.png", "a/1.png", "b/0.png")):
            entry = tarfile.TarInfo(name)
            entry.size = len(picture(seed))
            archive.addfile(entry, io.BytesIO(picture(seed)))
    assert len(load_dataset(path)) == 3


def test_xz_is_read_over_padding_and_several_streams() -> None:
    packed = lzma.compress(b"first") + bytes(8) + lzma.compress(b"second" * 500_000)
    reader = XzReader(io.BytesIO(packed))
    assert b"".join(iter(reader.read, b"")) == b"first" + b"second" * 500_000
    with pytest.raises(EOFError, match="cut short"):
        list(iter(XzReader(io.BytesIO(packed[:-20])).read, b""))


def test_xz_that_would_take_gigabytes_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    packed = lzma.compress(b"small", check=lzma.CHECK_CRC32, filters=filters)
    with pytest.raises(lzma.LZMAError, match=r"[Mm]emory"):
        XzReader(io.BytesIO(packed)).read()


def test_decompressing_leaves_the_disk_some_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 100 << 20))
    with (tmp_path / "x").open("wb") as target, pytest.raises(StoreError, match="the disk of the cache is full"):
        copy_bounded(io.BytesIO(BOMB), target, Path("x.tar.gz"), len(BOMB))


def test_a_table_of_contents_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "many.zip")
    check_directory(path)
    monkeypatch.setattr(archive_bounds, "MAX_DIRECTORY", 100)
    with pytest.raises(DataError, match=r"its table of contents has 2\d\d bytes, more than 100"):
        archive_tree(path)
    path.write_bytes(b"no zip")
    check_directory(path)


def test_the_members_of_an_archive_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "many.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(4):
            archive.addfile(tarfile.TarInfo(f"a/{number}.png"))
    assert len(archive_tree(path).files) == 4
    monkeypatch.setattr(archive_bounds, "MAX_MEMBERS", 3)
    with pytest.raises(DataError, match="has more than 3 members"):
        archive_tree(path)
    check_count(path, 2)


def test_a_header_of_a_tar_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "long.tar"
    path.write_bytes(bytes(10))
    with path.open("rb") as file:
        assert SmallReads(file).read(10) == bytes(10)
        for size in (-1, 1 << 30):
            with pytest.raises(OSError, match="a header is impossibly long"):
                SmallReads(file).read(size)


def test_a_zip_of_a_version_or_name_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "x.zip").read_bytes()
    entry = whole.rfind(b"PK\x01\x02")
    later = whole[: entry + 6] + b"\x94\x00" + whole[entry + 8 :]
    name = whole[: entry + 28] + b"\x00\x00" + whole[entry + 30 :]
    for damaged in (later, name):
        (tmp_path / "x.zip").write_bytes(damaged)
        with pytest.raises(DataError, match=r"x\.zip: the archive cannot be read"):
            load_dataset(tmp_path / "x.zip")
    local = whole.rfind(b"PK\x03\x04")
    noise = whole[: local + 7] + b"\x08" + whole[local + 8 : local + 30] + b"\xc8\xff" + whole[local + 32 :]
    (tmp_path / "x.zip").write_bytes(noise)
    (skip,) = load_dataset(tmp_path / "x.zip").skipped
    assert "cannot be read" in skip.reason
