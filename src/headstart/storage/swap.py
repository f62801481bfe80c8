"""A folder replaced by another in one step, so that a reader finds the old one or the new one at any moment."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from headstart.storage.files import sync, temporary

_HERE = -100  # AT_FDCWD: paths are relative to the working directory
_EXCHANGE = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS
_ABSENT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)  # this disk cannot exchange two names


def replace_folder(new: Path, place: Path) -> None:
    """Move the folder `new` to `place`; what was there is deleted. Both are in one folder.

    Linux and macOS exchange the two names in one step. Elsewhere `place` is absent for a moment between two renames:
    who reads it tries again.
    """
    if place.exists():
        if not _exchanged(new, place):
            old = temporary(place)
            os.replace(place, old)
            try:
                os.replace(new, place)
            except BaseException:  # else the old folder would be deleted as a temporary one
                os.replace(old, place)
                raise
            new = old
        shutil.rmtree(new, ignore_errors=True)
    else:
        os.replace(new, place)
    sync(place.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return False where that is not possible."""
    exchange = _system_call()
    if exchange is None:
        return False
    if exchange(os.fsencode(one), os.fsencode(other)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _ABSENT:
        return False
    raise OSError(number, os.strerror(number), str(other))


@cache
def _system_call() -> Callable[[bytes, bytes], int] | None:
    if sys.platform == "win32":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):
        return lambda one, other: int(library.renameat2(_HERE, one, _HERE, other, _EXCHANGE))
    if hasattr(library, "renamex_np"):
        return lambda one, other: int(library.renamex_np(one, other, _EXCHANGE))
    return None
