"""The content-addressed store: a result is found by the hash of everything it depends on.

An entry is a folder `KIND/KEY` whose `manifest.json`, written last, says that it is complete.
Work in progress is in `KIND/KEY.partial` under a lock, so that an interrupted job can
resume there and a second process waits and then reuses instead of doing the same work twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from headstart.storage.files import disk_errors, read_json, write_json

MANIFEST = "manifest.json"


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
        """Say whether the entry is complete in this folder."""
        return (self.path(kind, key) / MANIFEST).is_file()

    def has(self, kind: str, key: str) -> bool:
        """Say whether the entry is complete; after True it is at `path`."""
        return self.here(kind, key)

    def manifest(self, kind: str, key: str) -> dict[str, Any]:
        """Return the facts written with a complete entry, and record that it was used just now."""
        path = self.path(kind, key) / MANIFEST
        with contextlib.suppress(OSError):  # a read-only shared store cannot record the use, but can be read
            os.utime(path)
        value: dict[str, Any] = read_json(path)
        return value

    @contextlib.contextmanager
    def building(self, kind: str, key: str, *, wait_message: str | None = None) -> Iterator[Entry | None]:
        """Build an entry, alone: yields the Entry to fill, or None if it is complete (perhaps since just now).

        The folder yielded keeps what an interrupted attempt left in it; the builder decides which of that
        is complete. On success the manifest is written last and the folder renamed into place; after an
        error the partial folder remains for the next attempt.

        Raises:
            StoreError: the disk is full or the place cannot be written.
        """
        final = self.path(kind, key)
        if self.has(kind, key):
            yield None
            return
        with disk_errors(final):
            final.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(str(final) + ".lock")
            _acquire(lock, wait_message)
            try:
                if self.has(kind, key):
                    yield None
                    return
                partial = final.with_name(final.name + ".partial")
                partial.mkdir(exist_ok=True)
                entry = Entry(partial, {})
                yield entry
                write_json(partial / MANIFEST, {**entry.manifest, "created": time.time()})
                if final.exists():  # a folder without its manifest is damaged, not an entry
                    shutil.rmtree(final)
                os.replace(partial, final)
            finally:
                lock.release()
                if self.here(kind, key):
                    Path(lock.lock_file).unlink(missing_ok=True)

    def entries(self) -> list[dict[str, Any]]:
        """List every entry: kind, key, bytes, last use (seconds since the epoch), complete or not."""
        rows = []
        for kind in sorted(path for path in self.root.glob("*") if path.is_dir()):
            for folder in sorted(path for path in kind.iterdir() if path.is_dir()):
                manifest = folder / MANIFEST
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
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def prune(self, keep_bytes: int) -> int:
        """Delete the least recently used entries until at most `keep_bytes` remain; return the bytes freed."""
        rows = sorted(self.entries(), key=lambda row: (row["complete"], row["used"]))
        total, freed = sum(row["bytes"] for row in rows), 0
        for row in rows:
            if total - freed <= keep_bytes:
                break
            self.remove(row["kind"], row["key"])
            freed += row["bytes"]
        return freed


def _acquire(lock: FileLock, wait_message: str | None) -> None:
    try:
        lock.acquire(timeout=1.0)
    except Timeout:
        if wait_message:
            from headstart.progress import say

            say(wait_message)
        lock.acquire()
