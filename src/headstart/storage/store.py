"""The content-addressed store: a result is found by the hash of everything it depends on.

An entry is a folder `KIND/KEY` whose `manifest.json`, written last, says that it is complete, and lists its files with
their checksums. Work in progress is in `KIND/KEY.partial` under a lock, so that an interrupted job can
resume there and a second process waits and then reuses instead of doing the same work twice. An entry whose files are
not what was written is deleted when it is looked for, and so is built again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from headstart.errors import StoreError
from headstart.progress import say
from headstart.storage.checksums import MANIFEST, Depth, described, fault, sealed, unsealed
from headstart.storage.files import delete, disk_errors, sync, temporary, write_json
from headstart.storage.locks import locked, tried
from headstart.storage.presence import at_work, clear, since
from headstart.storage.settled import is_settled

__all__ = ["MANIFEST", "Store", "Verified", "array_digest", "cache_root", "content_key", "drop_file"]

_CLOCKS = 60.0  # seconds by which the clocks of machines that share a store may differ
Stamps = list[tuple[int, ...]]
_checked: dict[Path, tuple[tuple[str, ...], Stamps, Depth]] = {}


def cache_root() -> Path:
    """Return `$HEADSTART_CACHE`, else the user's cache directory for headstart."""
    if place := os.environ.get("HEADSTART_CACHE"):
        return Path(place).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("headstart", appauthor=False)


def content_key(payload: Any) -> str:
    """Return 32 hex digits that depend on every value in `payload` (anything JSON can hold)."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def array_digest(array: npt.NDArray[Any]) -> str:
    """Return 32 hex digits that depend on every byte of the array, in C order; not on its shape or type."""
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Entry:
    """One entry under construction: write files into `path`, put facts into `manifest`."""

    path: Path
    manifest: dict[str, Any]


class Verified(NamedTuple):
    """What a check of every byte found of one entry: what is wrong with it, or None, and whether it was deleted."""

    kind: str
    key: str
    why: str | None
    deleted: bool


@dataclass(frozen=True)
class Store:
    """A folder of content-addressed entries.

    Args:
        root: the folder; it is created by the first write.
    """

    root: Path

    def path(self, kind: str, key: str) -> Path:
        """Return the path of the entry, present or not."""
        return self.root / kind / key

    def here(self, kind: str, key: str) -> bool:
        """Return whether the entry is complete in this folder and its files are what was written.

        They are checked once in a process, and again when they change. An entry that is damaged is deleted, with a
        line that says so. Of files over 256 MiB only some blocks are read.
        """
        return self._sound(kind, key, Depth.SAMPLE)

    def check(self, kind: str, key: str) -> None:
        """Check every block of an entry that is about to be read as a whole; delete it if it is damaged."""
        self._sound(kind, key, Depth.BLOCKS)

    def _sound(self, kind: str, key: str, depth: Depth) -> bool:
        folder = self.path(kind, key)
        try:
            os.utime(folder / MANIFEST)  # before all else: `prune` leaves alone what has just been used
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # a read-only shared store cannot record the use, but can be read
            pass
        if _is_known(folder, depth):
            return True
        why = self.damage(kind, key, depth)
        if why is None:
            return True
        return self._discard(kind, key, why, depth, "it will be rebuilt") == "sound"

    def damage(self, kind: str, key: str, depth: Depth = Depth.SAMPLE) -> str | None:
        """Return what is wrong with a complete entry, or None."""
        folder = self.path(kind, key)
        try:
            facts = unsealed(folder / MANIFEST, strict=True)
        except StoreError:
            return f"{MANIFEST} is damaged, or of an older version"
        if facts.get("entry") != f"{kind}/{key}":
            return f"it is {facts.get('entry')}"
        before = _stamps(folder, facts["files"])
        settled = before is not None and _are_settled(before)
        why = fault(folder, facts["files"], depth)
        if why is None and before is not None and settled:
            _checked[folder] = (tuple(facts["files"]), before, depth)
        return why

    def has(self, kind: str, key: str) -> bool:
        """Return whether the entry is complete; after True it is at `path`."""
        return self.here(kind, key)

    def manifest(self, kind: str, key: str) -> dict[str, Any]:
        """Return the facts written with a complete entry, and record that it was used just now.

        Raises:
            StoreError: there is none, or it is damaged.
        """
        folder = self.path(kind, key)
        try:
            if not self.here(kind, key):
                with locked(self._lock(kind, key)):  # `prune` may have it in its hands, and put it back
                    found = self.here(kind, key)
                if not found:
                    raise StoreError(f"{folder}: was removed from the cache; run the command again")
            facts = unsealed(folder / MANIFEST, strict=True)
        except StoreError:
            _checked.pop(folder, None)
            raise
        return {name: value for name, value in facts.items() if name not in ("entry", "files")}

    @contextlib.contextmanager
    def building(self, kind: str, key: str, *, wait_message: str | None = None) -> Iterator[Entry | None]:
        """Build an entry, alone: yields the Entry to fill, or None if it is complete (perhaps since just now).

        The folder yielded keeps what an interrupted attempt left in it; the builder decides which of that
        is complete. On success the files are brought to the disk, the manifest is written last and the folder renamed
        into place; after an error the partial folder remains for the next attempt.

        Raises:
            StoreError: the disk is full or the place cannot be written.
        """
        final = self.path(kind, key)
        if self.has(kind, key):
            yield None
            return
        with disk_errors(final), locked(self._lock(kind, key), wait_message):
            if self.has(kind, key):
                yield None
                return
            partial = final.with_name(final.name + ".partial")
            for folder in (final, partial):
                _clear_way(folder)
            partial.mkdir(exist_ok=True)
            _sweep(partial)
            entry = Entry(partial, {})
            try:
                yield entry
            except BaseException:
                with contextlib.suppress(OSError):
                    partial.rmdir()  # where nothing is in it
                raise
            names = _finish(partial, f"{kind}/{key}", entry.manifest)
            delete(final)  # a folder without its manifest is damaged, not an entry
            os.replace(partial, final)
            sync(final.parent)
            _note_written(final, names)

    def in_use(self) -> contextlib.AbstractContextManager[None]:
        """Keep `prune`, in any process, from deleting what is used from now on, for as long as the block runs."""
        return at_work(self.root)

    def entries(self) -> list[dict[str, Any]]:
        """List every entry: kind, key, bytes, last use (seconds since the epoch), complete or not."""
        rows = []
        for kind in sorted(path for path in self.root.glob("[!.]*") if path.is_dir()):
            for folder in sorted(path for path in kind.glob("[!.]*") if path.is_dir()):
                manifest = folder / MANIFEST
                with contextlib.suppress(FileNotFoundError):  # another process has just deleted or finished it
                    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
                    stamp = (manifest if manifest.exists() else folder).stat().st_mtime
                    rows.append(
                        {
                            "kind": kind.name,
                            "key": folder.name,
                            "bytes": size,
                            "used": stamp,
                            "complete": manifest.exists(),
                        }
                    )
        return rows

    def remove(self, kind: str, key: str) -> None:
        """Delete one entry, its manifest first, so that a crash leaves no entry that looks complete."""
        folder = self.path(kind, key)
        _checked.pop(folder, None)
        (folder / MANIFEST).unlink(missing_ok=True)
        delete(folder)

    def drop(self, kind: str, key: str) -> None:
        """Delete an entry that is no longer needed, if there is one; also where other machines would find it."""
        self.remove(kind, key)

    def prune(self, keep_bytes: int) -> int:
        """Delete the least recently used entries until at most `keep_bytes` remain; return the bytes freed.

        What is being built, and what a process that is at work has used since it began, is left alone.
        """
        began = since(self.root)
        rows = sorted(self.entries(), key=lambda row: (row["complete"], row["used"]))
        total, freed = sum(row["bytes"] for row in rows), 0
        for row in rows:
            if total - freed <= keep_bytes:
                break
            limit = float("inf") if began is None else began - _CLOCKS
            if row["used"] < limit and self._remove_unused(row["kind"], row["key"], row["used"]):
                freed += row["bytes"]
        return freed

    def verify(self) -> Iterator[Verified]:
        """Check every byte of every complete entry; delete those that are damaged, where that is possible."""
        for kind, key in [(row["kind"], row["key"]) for row in self.entries() if row["complete"]]:
            why = self.damage(kind, key, Depth.WHOLE)
            if why is None:
                yield Verified(kind, key, None, deleted=False)
                continue
            try:
                became = self._discard(kind, key, why, Depth.WHOLE, "deleted")
            except StoreError:  # write-protected: the other entries are checked all the same
                became = "left"
            if became == "left":
                say(f"{self.path(kind, key)}: damaged ({why}); not deleted: it is in use or write-protected")
            yield Verified(kind, key, None if became == "sound" else why, became == "deleted")

    def clear(self) -> None:
        """Delete the lock files, and the remains of deleted entries, that processes which died have left."""
        clear(self.root, levels=2)
        for lock in sorted(self.root.glob("[!.]*/*.lock")):
            with tried(lock):
                pass  # which deletes it

    def _lock(self, kind: str, key: str) -> Path:
        return self.root / kind / f"{key}.lock"

    def _discard(self, kind: str, key: str, why: str, depth: Depth, then: str) -> Literal["deleted", "left", "sound"]:
        """Delete a damaged entry, say so and what follows, and return what became of it.

        It is left alone while another process builds it, and sound if one has built it again by now.
        """
        folder = self.path(kind, key)
        with tried(self._lock(kind, key)) as mine:
            if not mine or not (folder / MANIFEST).exists():
                return "left" if folder.exists() else "deleted"
            if self.damage(kind, key, depth) is None:
                return "sound"
            with disk_errors(folder):
                rest = temporary(folder)
                os.replace(folder, rest)
            say(f"{folder}: damaged ({why}); {then}")
            delete(rest)
        return "deleted"

    def _remove_unused(self, kind: str, key: str, used: float) -> bool:
        """Delete an entry, complete or partial, unless it is being built or has been used since; say if it is gone.

        The manifest is taken away first, and put back if the entry was used meanwhile; who misses it waits here.
        """
        folder = self.path(kind, key)
        with tried(self._lock(kind, key.removesuffix(".partial"))) as mine:
            if not mine:
                return False
            held = folder / (MANIFEST + ".pruned")
            with contextlib.suppress(FileNotFoundError):
                os.replace(folder / MANIFEST, held)
                if held.stat().st_mtime > used:
                    os.replace(held, folder / MANIFEST)
                    return False
            self.remove(kind, key)
        return not folder.exists()


def drop_file(folder: Path, name: str) -> None:
    """Delete one file of a complete entry, which remains complete without it."""
    if not (folder / name).exists():
        return
    with disk_errors(folder):
        facts = unsealed(folder / MANIFEST, strict=True)
        if facts["files"].pop(name, None) is not None:
            write_json(folder / MANIFEST, sealed(facts))
        (folder / name).unlink(missing_ok=True)


def _finish(partial: Path, name: str, facts: dict[str, Any]) -> tuple[str, ...]:
    """Write the manifest of a folder whose files are all there; return their names."""
    _sweep(partial)
    (partial / MANIFEST).unlink(missing_ok=True)
    files = described(partial)
    write_json(partial / MANIFEST, sealed({**facts, "created": time.time(), "entry": name, "files": files}))
    for folder in (*(path for path in partial.rglob("*") if path.is_dir()), partial):
        sync(folder)
    return tuple(files)


def _note_written(folder: Path, names: tuple[str, ...]) -> None:
    """Note that these files have just been hashed, so that they are read again only if they change."""
    stamps = _stamps(folder, names)
    if stamps is not None and _are_settled(stamps):
        _checked[folder] = (names, stamps, Depth.WHOLE)


def _clear_way(folder: Path) -> None:
    """Delete what has an entry's name and is no folder, such as a file or a link that leads nowhere."""
    if os.path.lexists(folder) and not folder.is_dir():
        say(f"{folder}: damaged (it is not a folder); it will be rebuilt")
        folder.unlink()


def _sweep(partial: Path) -> None:
    """Delete the temporary files of an attempt that died: the lock of this folder is held, so none is in use."""
    for path in partial.rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def _stamps(folder: Path, names: Iterable[str]) -> Stamps | None:
    """Return what changes when the manifest or one of the files is replaced or written to; None if one is missing."""
    try:
        states = [(folder / name).stat() for name in names]
        own = (folder / MANIFEST).stat()
    except OSError:
        return None
    return [(own.st_size, own.st_ino), *((s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for s in states)]


def _are_settled(stamps: Stamps) -> bool:
    """Return whether the time of each file, of which none was written a moment ago, would show that it changes."""
    return all(is_settled(*times) for _, _, *times in stamps[1:])


def _is_known(folder: Path, depth: Depth) -> bool:
    """Return whether the files of an entry are those that were checked, as deep as this."""
    names, stamps, done = _checked.get(folder, ((), None, depth))
    return stamps is not None and done >= depth and _stamps(folder, names) == stamps
