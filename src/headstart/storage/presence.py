"""Who is at work in a folder: each process holds a lock file there, which its death releases, however it dies."""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from headstart.storage.files import delete, writer, writer_of
from headstart.storage.locks import acquired, lock_at, release, tried
from headstart.storage.pinned import make_folder, pinned

FOLDER = ".at-work"
_LOCK = re.compile(r"[0-9a-f]+-[0-9]+-[0-9a-f]+\.lock")  # whose, since when (milliseconds), and its own number
_TRIES = 10
_FORGOTTEN = 3600.0  # seconds after which a temporary file of an unknown process is stale


@contextlib.contextmanager
def at_work(folder: Path, *, pin: bool = False) -> Iterator[None]:
    """Announce that this process works in `folder` while the block runs; nothing where that cannot be written.

    Args:
        folder: is made if it is not there.
        pin: it must remain where it is; see `pinned`.

    Raises:
        StoreError: it was pinned, and did not remain there.
    """
    held = Held(folder)
    try:
        with pinned(folder, held.mark) if pin and folder.is_dir() else contextlib.nullcontext():
            yield
    finally:
        held.end()


class Held:
    """Says that this process works in `folder`, as long as it is alive; a copy in another process says it of that one.

    For what reads from the folder long after the call that made it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        lock = _entered(folder / FOLDER)
        self.mark = None if lock is None else Path(lock.lock_file)
        self.end = weakref.finalize(self, _left, folder, lock, os.getpid())

    def __reduce__(self) -> tuple[type[Held], tuple[Path]]:
        return Held, (self.folder,)


def since(folder: Path) -> float | None:
    """Return when the first of the processes that work in `folder` began (seconds since the epoch); None if none does.

    A lock that cannot be tried, because the folder can only be read, counts as held.
    """
    return min((int(path.name.split("-")[1]) / 1000 for path in _locks(folder) if _held(path)), default=None)


def clear(folder: Path, levels: int | None = None) -> None:
    """Delete what processes that died left in `folder`: their lock files, and all that they had half written.

    Args:
        folder: where they said that they were at work.
        levels: of folders below it in which temporary files and locks are looked for; None: in all, and in itself.
    """
    locks = _locks(folder)
    with contextlib.ExitStack() as until_deleted:  # who has made its lock file and not yet locked it waits for this
        dead = [path for path in locks if _taken_over(path, until_deleted)]
        parts = _hidden(folder, ".tmp", levels)
        present = {*locks, *_locks(folder)}.difference(dead)  # after `parts`: whoever wrote one of them is here by now
        alive = {_mark(path) for path in present}
        gone = {_mark(path) for path in dead} - alive
        for path in parts:
            owner = writer_of(path)
            with contextlib.suppress(OSError):
                if owner in gone or (
                    owner not in alive | {writer()} and time.time() - path.lstat().st_mtime > _FORGOTTEN
                ):
                    delete(path)
    for path in _hidden(folder, ".lock", levels):
        with tried(path):
            pass  # which deletes it
    with contextlib.suppress(OSError):
        (folder / FOLDER).rmdir()


def _hidden(folder: Path, ending: str, levels: int | None) -> list[Path]:
    """Return what is hidden and has this ending; processes at work rename and delete folders meanwhile."""
    found = []
    for place, folders, files in os.walk(folder):  # which passes over what has gone; `Path.glob` raises
        level = len(Path(place).relative_to(folder).parts)
        if level or levels is None:
            found += [Path(place, name) for name in (*folders, *files) if name[:1] == "." and name[1:].endswith(ending)]
        if level == levels:
            folders.clear()
    return sorted(found)


def _mark(path: Path) -> str:
    """Return the mark of the process that a lock file is of."""
    return path.name.partition("-")[0]


def _entered(place: Path) -> FileLock | None:
    lock = lock_at(place / f"{writer()}-{time.time_ns() // 1_000_000}-{uuid.uuid4().hex[:8]}.lock")
    for _ in range(_TRIES):  # the last process that leaves removes the folder
        with contextlib.suppress(OSError):
            make_folder(place)
            acquired(lock, -1)  # again if `clear`, elsewhere, deletes the new file before this process holds it
            return lock
    return None


def _left(folder: Path, lock: FileLock | None, process: int) -> None:
    if lock is not None and process == os.getpid():  # a forked process must not end what its parent said
        release(lock)
        with contextlib.suppress(OSError):
            (folder / FOLDER).rmdir()  # only the last one can


def _locks(folder: Path) -> list[Path]:
    found = sorted((folder / FOLDER).glob("*.lock"))
    return [path for path in found if _LOCK.fullmatch(path.name) and path.is_file()]  # opening a pipe would wait


def _held(path: Path) -> bool:
    """Return whether a process holds the lock file; one that its process has deleted by now is not created again."""
    lock = _abandoned(path)
    if lock is None:
        return path.exists()
    lock.release()  # and leave the file to `clear`, which learns from it who has died
    return False


def _taken_over(path: Path, until: contextlib.ExitStack) -> bool:
    """Hold the lock of a process that has died until `until` ends, which deletes it; say whether that was so."""
    lock = _abandoned(path)
    if lock is not None:
        until.callback(release, lock)
    return lock is not None


def _abandoned(path: Path) -> FileLock | None:
    """Return the lock of a process that has died, held by this one; None where its process lives, or has left."""
    lock = lock_at(path)
    try:
        with path.open("rb") as seen:  # while it is open, its number is given to no other file
            if not acquired(lock, 0):
                return None
            if os.path.samestat(os.fstat(seen.fileno()), path.stat()):
                return lock
    except OSError:
        return None
    release(lock)  # the file was gone, and this lock has made a new one
    with contextlib.suppress(OSError):
        path.parent.rmdir()
    return None
