"""Locks between processes whose files are gone when nobody holds them."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from headstart.storage.cleanup import at_exit
from headstart.storage.files import disk_errors
from headstart.storage.pinned import make_folder

_acquired: weakref.WeakSet[FileLock] = weakref.WeakSet()


def lock_at(path: Path) -> FileLock:
    """Return the lock at `path`, not acquired; any thread may release it, such as the one that ends the process."""
    return FileLock(str(path), thread_local=False)


@contextlib.contextmanager
def locked(path: Path, wait_message: str | None = None) -> Iterator[None]:
    """Hold the lock `path` for the block; wait for it, and say so after a second.

    Raises:
        StoreError: its place cannot be written.
    """
    with disk_errors(path):
        make_folder(path.parent)
        lock = lock_at(path)
        if not acquired(lock, 1.0):
            if wait_message:
                from headstart.progress import say

                say(wait_message)
            acquired(lock, -1)
    try:
        yield
    finally:
        release(lock)


@contextlib.contextmanager
def tried(path: Path) -> Iterator[bool]:
    """Take a lock for the block unless another holds it, or its place cannot be written; yield whether it was taken."""
    lock = lock_at(path)
    try:
        taken = acquired(lock, 0)
    except OSError:
        taken = False
    try:
        yield taken
    finally:
        if taken:
            release(lock)


def release(lock: FileLock) -> None:
    """Release a lock and delete its file: while it is held where the system allows it, so that none is taken twice."""
    path, gone = Path(lock.lock_file), False
    with contextlib.suppress(OSError):
        path.unlink()
        gone = True
    lock.release()
    if not gone:
        with contextlib.suppress(OSError):
            path.unlink()


@at_exit
def _release_all() -> None:
    for lock in list(_acquired):
        if lock.is_locked:
            release(lock)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_acquired.clear)  # the parent's, which a child must not release


def acquired(lock: FileLock, timeout: float) -> bool:
    """Acquire a lock (wait for ever if `timeout` is below 0); return False if another holds it.

    After True, the file that is locked is the one at the path: none that another process has deleted meanwhile.
    """
    _acquired.add(lock)  # before it is held: an interruption may come in between
    while True:
        try:
            lock.acquire(timeout=timeout)
        except Timeout:
            return False
        if _is_linked(lock):
            return True
        lock.release()  # its last holder deleted the file while this process waited for it


def _is_linked(lock: FileLock) -> bool:
    """Return whether the file that is locked is still the one at its path."""
    descriptor = getattr(getattr(lock, "_context", None), "lock_file_fd", None)
    if descriptor is None or os.name == "nt":
        return True
    try:
        here, held = Path(lock.lock_file).stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (here.st_dev, here.st_ino) == (held.st_dev, held.st_ino)
