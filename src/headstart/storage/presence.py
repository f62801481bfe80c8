"""Who is at work in a folder: each process holds a lock file there, which its death releases, however it dies."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from headstart.storage.files import writer, writer_of
from headstart.storage.locks import acquired, release, tried

FOLDER = ".at-work"
_TRIES = 10
_FORGOTTEN = 3600.0  # seconds after which a temporary file of an unknown process is stale


@contextlib.contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Say that this process works in `folder`, for as long as the block runs; nothing where that cannot be written."""
    held = Held(folder)
    try:
        yield
    finally:
        held.end()


class Held:
    """Says that this process works in `folder`, as long as it is alive; a copy in another process says it of that one.

    For what reads from the folder long after the call that made it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.end = weakref.finalize(self, _left, folder, _entered(folder / FOLDER), os.getpid())

    def __reduce__(self) -> tuple[type[Held], tuple[Path]]:
        return Held, (self.folder,)


def since(folder: Path) -> float | None:
    """Return when the first of the processes that work in `folder` began (seconds since the epoch); None if none does.

    A lock that cannot be tried, because the folder can only be read, counts as held.
    """
    return min((int(path.name.split("-")[1]) / 1000 for path in _locks(folder) if _held(path)), default=None)


def clear(folder: Path, *places: str) -> None:
    """Delete what processes that died left in `folder`: their lock files, and all that they had half written.

    Args:
        folder: where they said that they were at work.
        places: patterns of folders below it in which temporary files and locks are looked for; in all if none.
    """
    places = places or ("**",)
    locks = _locks(folder)
    dead = [path for path in locks if not _held(path)]
    alive = {path.name.partition("-")[0] for path in locks} - {path.name.partition("-")[0] for path in dead}
    gone = {path.name.partition("-")[0] for path in dead} - alive
    for path in sorted(part for place in places for part in folder.glob(f"{place}/.*.tmp")):
        owner = writer_of(path)
        with contextlib.suppress(OSError):
            if owner in gone or (owner not in alive | {writer()} and time.time() - path.stat().st_mtime > _FORGOTTEN):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in [*dead, *(lock for place in places for lock in folder.glob(f"{place}/.*.lock"))]:
        with tried(path):
            pass  # which deletes it
    with contextlib.suppress(OSError):
        (folder / FOLDER).rmdir()


def _entered(place: Path) -> FileLock | None:
    lock = FileLock(str(place / f"{writer()}-{time.time_ns() // 1_000_000}-{uuid.uuid4().hex[:8]}.lock"))
    for _ in range(_TRIES):  # the last process that leaves removes the folder
        with contextlib.suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            acquired(lock, -1)  # again if `clear`, elsewhere, deletes the new file before this process holds it
            return lock
    return None


def _left(folder: Path, lock: FileLock | None, process: int) -> None:
    if lock is not None and process == os.getpid():  # a forked process must not end what its parent said
        release(lock)
        with contextlib.suppress(OSError):
            (folder / FOLDER).rmdir()  # only the last one can


def _locks(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER).glob("*-*-*.lock"))


def _held(path: Path) -> bool:
    """Say whether a process holds the lock file; one that its process has deleted by now is not created again."""
    lock = FileLock(str(path))
    try:
        with path.open("rb") as seen:  # while it is open, its number is given to no other file
            if not acquired(lock, 0):
                return True
            if os.path.samestat(os.fstat(seen.fileno()), path.stat()):
                lock.release()  # and leave it to `clear`, which learns from it who has died
                return False
    except FileNotFoundError:
        return False
    except OSError:
        return True
    release(lock)  # the file was gone, and this lock has made a new one
    with contextlib.suppress(OSError):
        path.parent.rmdir()
    return False
