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
    """Return the path and the state of a regular file.

    Raises:
        OSError: it is not there, or is a pipe or a device.
    """
    _check_name(path)
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise OSError("it is not a regular file")
    return f"{path}|{_state(state)}"


def file_state(path: Path) -> str:
    """Return what changes when a file's content may have changed; the last number is the time of that, in ns.

    Size and time of modification are not enough: `cp -p`, rsync and archives set that time. No program sets the time of
    the last change to the file's entry, and a file that was put in another's place has another inode.
    """
    return _state(path.stat())


def _state(state: os.stat_result) -> str:
    return f"{state.st_size}|{state.st_ino}|{state.st_mtime_ns}|{max(state.st_mtime_ns, state.st_ctime_ns)}"


def too_many(size: int) -> str:
    """Return why an encoded image of this many bytes is refused."""
    return f"{size:,} bytes are too many for an image, more than {MAX_BYTES:,}"


def _without_waiting(path: str, flags: int) -> int:
    """Open without waiting for the other end, as a pipe would."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_name(path: str | Path) -> None:
    if "\0" in str(path):
        raise FileNotFoundError(errno.ENOENT, "its name holds a zero byte")
