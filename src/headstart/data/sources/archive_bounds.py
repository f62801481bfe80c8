"""What an archive may hold and unpack to, checked before and while it is read."""

from __future__ import annotations

import io
import lzma
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from headstart.data.image_files import MAX_BYTES, too_many
from headstart.errors import DataError, StoreError

MAX_MEMBERS = 4_000_000
MAX_DIRECTORY = 1 << 28  # bytes of a zip's table of contents
MAX_RATIO = 200  # unpacked bytes for each packed one: photographs hardly shrink
_FREE = 64 << 20  # bytes: as little as this is not a bomb at any ratio
_LEFT = 256 << 20  # bytes that decompressing leaves free on the disk
_READ = 64 << 20  # bytes: no header of a tar is longer
_BLOCK = 1 << 20
_XZ_MEMORY = 512 << 20  # bytes that decompressing xz may take
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_SATURATED = 0xFFFFFFFF  # the true number is in the 64-bit record


def check_directory(path: Path) -> None:
    """Refuse a zip whose table of contents is too long to be read into memory.

    Raises:
        DataError: it is; what is wrong otherwise is for zipfile to say.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 66_000))  # the end record, a comment of at most 65,535 bytes, and the 64-bit records
        tail = file.read()
        at = tail.rfind(_END)
        length = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
        if length == _SATURATED and (large := tail.rfind(_END64, 0, at)) >= 0:
            length = int.from_bytes(tail[large + 40 : large + 48], "little")
    if length > MAX_DIRECTORY:
        raise DataError(
            f"{path}: its table of contents has {length:,} bytes, more than {MAX_DIRECTORY:,}; unpack it and give the"
            " folder"
        )


def check_count(path: Path | str, count: int) -> None:
    """Refuse an archive once more members than `MAX_MEMBERS` were counted."""
    if count >= MAX_MEMBERS:
        raise DataError(f"{path}: has more than {MAX_MEMBERS:,} members; divide it into several archives")


def check_member(member: zipfile.ZipInfo) -> None:
    """Refuse a member of a zip that unpacks to too much; zipfile never gives more than its header declares.

    Raises:
        OSError: with the reason.
    """
    if member.file_size > MAX_BYTES:
        raise OSError(too_many(member.file_size))
    if member.file_size > _FREE and member.file_size > MAX_RATIO * max(1, member.compress_size):
        raise OSError(f"it unpacks from {member.compress_size:,} to {member.file_size:,} bytes, as a zip bomb does")
    if member.compress_type not in _METHODS:
        raise OSError("its compression method is not supported; unpack the archive and give the folder")


def copy_bounded(source: Any, target: BinaryIO, path: Path, packed: int) -> None:
    """Copy what an archive unpacks to, as long as that is in proportion to its size and leaves the disk some room.

    Raises:
        DataError: it is a decompression bomb.
        StoreError: the disk would be full.
    """
    done = 0
    while block := source.read(_BLOCK):
        done += len(block)
        if done > _FREE and done > MAX_RATIO * packed:
            raise DataError(
                f"{path}: is a decompression bomb: {packed:,} bytes unpack to more than {MAX_RATIO} times as many;"
                " unpack it yourself and give the folder"
            )
        if done % (_BLOCK << 6) < len(block) and shutil.disk_usage(path_of(target)).free < _LEFT:
            raise StoreError(f"{path}: the disk of the cache is full; free space, or set another $HEADSTART_CACHE")
        target.write(block)


def path_of(file: BinaryIO) -> Path:
    """Return the folder of an open file."""
    return Path(file.name).parent


class XzReader(io.RawIOBase):
    """What is in an xz file, decompressed with bounded memory: its header says how much a decoder is to take."""

    def __init__(self, source: BinaryIO) -> None:
        self._parts = self._decompressed(source)

    def read(self, size: int = -1) -> bytes:
        """Return the next block, at most a megabyte or so; b"" at the end."""
        return next(self._parts, b"")

    @staticmethod
    def _decompressed(source: BinaryIO) -> Iterator[bytes]:
        unxz, rest = lzma.LZMADecompressor(memlimit=_XZ_MEMORY), b""
        while True:
            if not rest and unxz.needs_input:
                rest = source.read(_BLOCK)
                if not rest:
                    raise EOFError("it is cut short")
            block = unxz.decompress(rest, _BLOCK)
            rest = b""
            if block:
                yield block
            if unxz.eof:
                rest = unxz.unused_data or source.read(_BLOCK)
                rest = rest.lstrip(b"\0")  # streams may be padded
                if not rest:
                    return
                unxz = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)


class SmallReads:
    """A file from which tarfile reads no header that is larger than any header can be.

    Args:
        file: opened in binary mode.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.name = str(getattr(file, "name", ""))
        self.tell, self.seek = file.tell, file.seek

    def read(self, size: int = -1) -> bytes:
        """Return that many bytes.

        Raises:
            OSError: they are too many.
        """
        if not 0 <= size <= _READ:
            raise OSError("a header is impossibly long")
        return self._file.read(size)
