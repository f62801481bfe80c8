"""A store that several machines share through object storage: a local cache in front, any fsspec address behind.

An entry is looked for here first, then behind, from where it is fetched whole. What is built here is sent
behind: its files under a name of their own, then, last, the one manifest that names them with size and
hash. A push that was interrupted leaves files that no manifest names; an entry that looks whole is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.errors import StoreError, first_line
from headstart.progress import say
from headstart.storage.checksums import sha256_of
from headstart.storage.files import disk_errors, sync, temporary
from headstart.storage.locks import locked
from headstart.storage.store import MANIFEST, Entry, Store

_FILE = re.compile(r"[^\\:\x00-\x1f]{1,1000}")  # no drive, no stream, no separator but "/"


@dataclass(frozen=True)
class RemoteStore(Store):
    """A store whose entries are shared through `remote`; `root` is this machine's cache of it.

    Args:
        root: the local folder.
        remote: such as "s3://bucket/prefix", "gs://…", "file:///mnt/shared" or "memory://place".

    Raises:
        StoreError: the address is none, its package is not installed, or it does not answer.
    """

    remote: str = ""
    _same: set[tuple[str, str]] = field(default_factory=set, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._system()

    def has(self, kind: str, key: str) -> bool:
        """Return whether the entry is complete here or in the remote store; after True it is here."""
        if self.here(kind, key):
            self._share(kind, key)
            return True
        return self._fetch(kind, key)

    @contextlib.contextmanager
    def building(self, kind: str, key: str, *, wait_message: str | None = None) -> Iterator[Entry | None]:
        """Build an entry, alone on this machine, unless it is here or behind; send it behind when it is complete.

        Two machines that build the same entry at once both send it; the last upload wins.

        Raises:
            StoreError: a full disk, or the shared store cannot be written; what was finished is kept here.
        """
        with super().building(kind, key, wait_message=wait_message) as entry:
            yield entry
        self._share(kind, key)

    def drop(self, kind: str, key: str) -> None:
        """Delete an entry here and behind, there its manifest first."""
        super().drop(kind, key)
        with _answers(self.remote):
            system, root = self._system()
            place = f"{root}/{kind}/{key}"
            with contextlib.suppress(FileNotFoundError):
                system.rm_file(f"{place}/{MANIFEST}")
                system.rm(place, recursive=True)
        self._same.discard((kind, key))

    def _system(self) -> tuple[Any, str]:
        """Return the file system and the path in it."""
        import fsspec

        protocol = self.remote.partition("://")[0]
        try:
            system, root = fsspec.core.url_to_fs(self.remote, use_listings_cache=False)
        except ImportError as error:
            raise StoreError(f"{self.remote}: {protocol}:// needs a package that is not installed: {error}") from error
        except ValueError as error:
            raise StoreError(
                f"{self.remote}: {error}; a shared store is a folder, or an address such as s3://bucket/prefix"
            ) from error
        return system, str(root).rstrip("/")

    def _share(self, kind: str, key: str) -> None:
        """Send an entry that is complete here behind, unless it is there."""
        if (kind, key) in self._same or not self.here(kind, key):
            return
        with _answers(self.remote):
            system, root = self._system()
            if not system.exists(f"{root}/{kind}/{key}/{MANIFEST}"):
                _push(system, f"{root}/{kind}/{key}", self.path(kind, key))
        self._same.add((kind, key))

    def _fetch(self, kind: str, key: str) -> bool:
        """Bring an entry here; return False if it is not behind, or is damaged there (it is then built anew)."""
        with _answers(self.remote):
            system, root = self._system()
            place = f"{root}/{kind}/{key}"
            if not system.exists(f"{place}/{MANIFEST}"):
                return False
            listed = _listed(system.cat_file(f"{place}/{MANIFEST}"))
        final = self.path(kind, key)
        arrived = False
        with locked(final.with_name(final.name + ".fetch.lock")):  # a second process waits and finds it done
            if self.here(kind, key):
                return True
            arriving = temporary(final)
            with disk_errors(final):
                try:
                    if listed is not None:
                        with _answers(self.remote):
                            arrived = _pull(system, f"{place}/{listed.at}", listed.files, arriving)
                    if arrived:
                        shutil.rmtree(final, ignore_errors=True)
                        os.replace(arriving, final)
                finally:
                    shutil.rmtree(arriving, ignore_errors=True)
        if not (arrived and self.here(kind, key)):
            say(f"{self.remote}: the shared {kind}/{key} is damaged; it will be rebuilt")
            with _answers(self.remote), contextlib.suppress(FileNotFoundError):  # another machine was faster
                system.rm_file(f"{place}/{MANIFEST}")
            return False
        self._same.add((kind, key))
        return True


@dataclass(frozen=True)
class _Listed:
    """What a remote manifest says: the folder of the files, and the size and sha256 of each by its name."""

    at: str
    files: dict[str, tuple[int, str]]


def _listed(content: bytes) -> _Listed | None:
    """Read a remote manifest, which another may have written; return None unless it is one and stays in its place."""
    try:
        given = json.loads(content)
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in given["files"].items()}
        at = str(given["at"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    inside = re.fullmatch(r"[0-9a-f]{32}", at) is not None and all(map(_stays_inside, files))
    return _Listed(at, files) if inside and MANIFEST in files else None


def _stays_inside(name: str) -> bool:
    """Return whether a name of a file, on any system, is of one inside the entry's folder."""
    return _FILE.fullmatch(name) is not None and not any(
        part in ("", ".", "..") or part.endswith((".", " ")) for part in name.split("/")
    )


def _push(system: Any, place: str, folder: Path) -> None:
    """Send a folder's files, then the manifest that names them."""
    at = uuid.uuid4().hex
    files: dict[str, list[Any]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        system.makedirs(f"{place}/{at}/{name}".rpartition("/")[0], exist_ok=True)
        system.put_file(str(path), f"{place}/{at}/{name}")
        files[name] = [path.stat().st_size, sha256_of(path)]
    manifest = json.dumps({"at": at, "files": files}, sort_keys=True).encode()
    system.pipe_file(f"{place}/{at}.manifest", manifest)  # then into place by one move: never half a manifest
    system.mv(f"{place}/{at}.manifest", f"{place}/{MANIFEST}")


def _pull(system: Any, place: str, files: Mapping[str, tuple[int, str]], folder: Path) -> bool:
    """Fetch the files into a folder, the manifest last; say whether all are what they were when they were sent."""
    for name, (size, digest) in sorted(files.items(), key=lambda item: item[0] == MANIFEST):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if system.size(f"{place}/{name}") != size:
                return False
            system.get_file(f"{place}/{name}", str(path))
        except FileNotFoundError:
            return False
        if path.is_symlink() or not path.is_file() or sha256_of(path) != digest:
            return False
        sync(path)
    return True


@contextlib.contextmanager
def _answers(remote: str) -> Iterator[None]:
    """Turn what a file system raises into one line."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # every fsspec implementation passes on what its own client raises
        raise StoreError(
            f"{remote}: the shared store cannot be used ({first_line(error)}); finished work is kept in the"
            " local cache: check the address and the credentials, then run the command again"
        ) from error
