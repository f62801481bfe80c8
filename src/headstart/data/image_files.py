"""Files that hold one encoded image each: regular files of a bounded size; a pipe or a device is refused unread."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MAX_BYTES = 1 << 29  # of an encoded image: 512 MiB


def read_file(path: str | Path) -> bytes:
    """Return the content of a regular file of at most `MAX_BYTES`.

    Raises:
        OSError: it cannot be read, is a pipe or a device, or is larger.
    """
    _check_name(path)
    with open(path, "rb", buffering=0, opener=_without_waiting) as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise OSError("it is not a regular file")
        if state.st_size > MAX_BYTES:
            raise OSError(too_many(state.st_size))
        data: bytes = file.readall()
    return data


def file_identity(path: Path) -> str:
    """Return path, size and time of last change of a regular file.

    Raises:
        OSError: it is not there, or is a pipe or a device.
    """
    _check_name(path)
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise OSError("it is not a regular file")
    return f"{path}|{state.st_size}|{state.st_mtime_ns}"


def too_many(size: int) -> str:
    """Return the reason why an encoded image of so many bytes is refused."""
    return f"{size:,} bytes are too many for an image, more than {MAX_BYTES:,}"


def _without_waiting(path: str, flags: int) -> int:
    """Open without waiting for the other end, as a pipe would."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_name(path: str | Path) -> None:
    if "\0" in str(path):
        raise FileNotFoundError(errno.ENOENT, "its name holds a zero byte")
