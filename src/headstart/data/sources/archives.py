"""Zip and tar archives, read in place: no member is unpacked to disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from headstart.data.image_files import MAX_BYTES, file_state, too_many
from headstart.data.sources.archive_bounds import (
    SmallReads,
    XzReader,
    check_count,
    check_directory,
    check_member,
    copy_bounded,
)
from headstart.data.sources.layout import Tree
from headstart.errors import DataError
from headstart.storage.opening import default_store
from headstart.storage.presence import Held
from headstart.storage.store import content_key

ZIP_SUFFIXES = (".zip",)
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
SUFFIXES = ZIP_SUFFIXES + TAR_SUFFIXES

DAMAGED = (  # what zipfile and tarfile raise on damaged archives
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, LookupError, ValueError, RuntimeError, OverflowError),
)
_OPENERS: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": XzReader,
}


def archive_tree(path: Path) -> Tree:
    """Return the members of a zip or tar archive.

    Raises:
        DataError: it is not an archive, is truncated, or is password-protected.
    """
    try:
        return zip_tree(path) if path.name.lower().endswith(ZIP_SUFFIXES) else tar_tree(path)
    except (OSError, *DAMAGED) as error:
        raise DataError(f"{path}: the archive cannot be read ({error})") from error


def zip_tree(path: Path) -> Tree:
    """Return the members of a zip archive."""
    check_directory(path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    locked = next((name for name, info in members.items() if info.flag_bits & 1), None)
    if locked is not None:
        raise DataError(f"{path}: {locked} is password-protected; unpack the archive and give the folder")
    return Tree(path, sorted(members), lambda names: ZipReader(path, [members[name] for name in names]))


def tar_tree(path: Path) -> Tree:
    """Return the members of a tar archive; a compressed one is first decompressed into the store, once."""
    plain, held = plain_tar(path)
    where: dict[str, tuple[int, int]] = {}
    with plain.open("rb") as file, _opened_tar(SmallReads(file)) as archive:
        for count, info in enumerate(archive):
            check_count(path, count)
            archive.members = []  # or it keeps all of them
            if info.isreg() and not info.sparse:
                where[info.name.removeprefix("./")] = (info.offset_data, info.size)
    return Tree(path, sorted(where), lambda names: TarReader(plain, names, [where[name] for name in names], held))


def _opened_tar(file: Any) -> Any:
    return tarfile.open(fileobj=file, mode="r:")


class ZipReader:
    """Members of a zip archive.

    Args:
        path: the archive.
        members: one for each row.
    """

    def __init__(self, path: Path, members: list[zipfile.ZipInfo]) -> None:
        self.path, self.members = path, members
        self._state = file_state(path)
        self._open = threading.local()

    def __len__(self) -> int:
        return len(self.members)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _open=threading.local())

    def name(self, row: int) -> str:
        """Return the member's path in the archive."""
        return self.members[row].filename

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the member's bytes."""
        if not hasattr(self._open, "archive"):  # one handle a thread: they would wait for each other on one
            self._open.archive = zipfile.ZipFile(self.path)
        member = self.members[row]
        check_member(member)
        try:
            data: bytes = self._open.archive.read(member)
        except DAMAGED as error:
            raise OSError(" ".join(str(error).split())[:200]) from error
        return data

    def identity(self, row: int) -> str:
        """Return archive, member, its checksum and size, and the archive's state."""
        member = self.members[row]
        return f"{self.path}!{member.filename}!{member.CRC}|{member.file_size}|{self._state}"


class TarReader:
    """Members of an uncompressed tar archive.

    Args:
        path: the archive.
        names: the members' names.
        where: (offset, size) of each in the file.
        held: keeps the file in the store, if it is there.
    """

    def __init__(self, path: Path, names: list[str], where: list[tuple[int, int]], held: Held | None = None) -> None:
        self.path, self.names, self.where, self.held = path, names, where, held
        self._state = file_state(path)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, row: int) -> str:
        """Return the member's path in the archive."""
        return self.names[row]

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the member's bytes."""
        offset, size = self.where[row]
        if size > MAX_BYTES:
            raise OSError(too_many(size))
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def identity(self, row: int) -> str:
        """Return archive, place and size, and the archive's state."""
        offset, size = self.where[row]
        return f"{self.path}!{offset}|{size}|{self._state}"


def plain_tar(path: Path) -> tuple[Path, Held | None]:
    """Return a plain tar: the file itself, or what it holds, decompressed into the store.

    With the latter comes what keeps it from being pruned there for as long as somebody has it.
    """
    with path.open("rb") as file:
        opener = _OPENERS.get(file.read(2))
    if opener is None:
        return path, None
    state = path.stat()
    store = default_store()
    held = Held(store.root)
    key = content_key([str(path.resolve()), file_state(path)])
    with store.building("archives", key, wait_message=f"{path}: another process is decompressing it") as entry:
        if entry is not None:
            content = entry.path / "content.tar"
            try:
                with path.open("rb") as packed, opener(packed) as source, content.open("wb") as target:
                    copy_bounded(source, target, path, state.st_size)
            except BaseException:
                content.unlink(missing_ok=True)  # it cannot be continued, and may be large
                raise
            os.utime(content, ns=(state.st_mtime_ns, state.st_mtime_ns))
            entry.manifest.update(source=str(path))
    return store.path("archives", key) / "content.tar", held
