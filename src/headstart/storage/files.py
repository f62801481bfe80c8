"""Files written atomically, JSON read with an error that names the file."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from headstart.errors import StoreError
from headstart.storage.cleanup import at_exit
from headstart.storage.pinned import make_folder

_FULL = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)
_REFUSED = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTEMPTY)  # the last: a folder that cannot be emptied
_IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
_LIMITS = {
    errno.EFBIG: "the file would be larger than this process may write (see 'ulimit -f')",
    errno.EMFILE: "this process may not open more files (see 'ulimit -n')",
    errno.ENFILE: "this machine has no room for more open files",
    errno.EIO: "the disk reports an error; check it",
    errno.ENAMETOOLONG: "the path is too long for this disk; choose a shorter place",
}
_LONGEST = 1 << 30  # bytes of a JSON file
_MANY = 256  # temporary names that are remembered before those that are gone are forgotten
_writer = uuid.uuid4().hex[:12]
_temporary: set[Path] = set()


def _renew() -> None:
    global _writer
    _writer = uuid.uuid4().hex[:12]
    _temporary.clear()  # which are of the parent


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def writer() -> str:
    """Return what this process's temporary files are marked with; no other process has it, on any machine."""
    return _writer


def temporary(path: Path) -> Path:
    """Return a new path beside `path` to write to before a rename: hidden, of this process, used once.

    What is still there when the process ends is deleted.
    """
    part = path.with_name(f".{path.name[:80]}.{_writer}-{uuid.uuid4().hex[:8]}.tmp")
    if len(_temporary) >= _MANY:
        _temporary.difference_update([known for known in list(_temporary) if not os.path.lexists(known)])
    _temporary.add(part)
    return part


@at_exit
def _delete_temporary() -> None:
    for part in list(_temporary):
        delete(part)
    _temporary.clear()


def delete(path: Path) -> None:
    """Delete a file, a link (and not what it leads to) or a whole folder, as far as the system allows it."""
    with contextlib.suppress(OSError):  # before Python 3.14 `is_dir` raises some of them
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def writer_of(path: Path) -> str | None:
    """Return the mark of the process that a temporary file is of, or None if it is none of `temporary`."""
    parts = path.name.split(".")
    return parts[-2].partition("-")[0] if path.name[0] == "." and len(parts) > 3 and parts[-1] == "tmp" else None


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new one, never a part.

    Raises:
        StoreError: the disk is full or the place cannot be written.
    """
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` when the block ends without an error.

    Raises:
        StoreError: the disk is full or the place cannot be written.
    """
    part = temporary(path)
    with disk_errors(path):
        make_folder(path.parent)
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file that never changes, or copy it where the file system has no hard links.

    A reader of `target` sees the old file or the new one, never a part.

    Raises:
        StoreError: the disk is full or the place cannot be written.
    """
    part = temporary(target)
    with disk_errors(target):
        try:
            try:
                os.link(source, part)
            except OSError:
                shutil.copyfile(source, part)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)  # it is still there where both names were the same file already


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk itself: after this a power cut does not lose it."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that have nothing to bring
            raise
    finally:
        os.close(number)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """Read one JSON file.

    Raises:
        StoreError: it is absent or is not JSON; only a damaged one can be deleted to be made again.
    """
    if not path.exists():
        raise StoreError(f"{path}: no such file")
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode) or state.st_size > _LONGEST:  # a pipe or a device would be read for ever
            raise StoreError(f"{path}: is not a JSON file; delete it to create it again")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:  # another process has just deleted it
        raise StoreError(f"{path}: no such file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: cannot be read as JSON ({error}); delete it to create it again") from error


@contextlib.contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn a full disk, or a place that cannot be written, into one StoreError that says what to do."""
    try:
        yield
    except Exception as error:
        number = _number_of(error)
        if number in _FULL:
            raise StoreError(
                f"{place}: the disk is full; free some space (see 'headstart cache') or set HEADSTART_CACHE"
                " to a larger disk; finished work is kept"
            ) from error
        if number in _REFUSED:
            raise StoreError(f"{place}: cannot be written ({os.strerror(number)}); choose another place") from error
        if number in _IN_THE_WAY:
            raise StoreError(
                f"{place}: cannot be written, because a file has the name of a folder, or a folder that of a file"
                f" ({os.strerror(number)}); delete or rename it"
            ) from error
        if number in _LIMITS:
            raise StoreError(f"{place}: {_LIMITS[number]}; finished work is kept") from error
        raise


def _number_of(error: Exception) -> int:
    """Return the number of the system's error, also where a library in Rust says it in words; 0 if there is none."""
    said = re.search(r"\(os error (\d+)\)", str(error))
    if isinstance(error, OSError):
        return error.errno or 0
    code = int(said[1]) if said else 0
    return OSError(code, "", None, code).errno or 0  # on Windows the library says the system's own number
