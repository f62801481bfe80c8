"""Opening a store: the default one, one by its address, and entries whose store has moved."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from headstart.errors import StoreError
from headstart.storage.presence import at_work
from headstart.storage.store import Store, cache_root


def default_store() -> Store:
    """Return the store at `cache_root()`; in front of `$HEADSTART_REMOTE`, where that is set.

    Raises:
        StoreError: the cache is a file, or its folder cannot be made.
    """
    if cache_root().is_file():
        raise StoreError(f"{cache_root()}: the cache is a file; set HEADSTART_CACHE to a folder")
    try:
        cache_root().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{cache_root()}: cannot create the cache there ({error.strerror}); set HEADSTART_CACHE to a folder that"
            " can be written"
        ) from error
    return open_store(os.environ.get("HEADSTART_REMOTE") or cache_root())


@contextlib.contextmanager
def default_store_in_use() -> Iterator[Store]:
    """Open the default store, and keep `headstart cache --prune` from deleting what the block uses; also a decorator.

    Raises:
        StoreError: the cache is a file.
    """
    store = default_store()
    with store.in_use():
        yield store


@contextlib.contextmanager
def cache_in_use() -> Iterator[None]:
    """Keep the cache from being pruned, where there is one, without opening it: for a block that may not need it."""
    remote = os.environ.get("HEADSTART_REMOTE", "")
    root = cache_root() if not remote or "://" in remote else Path(remote).expanduser()
    with at_work(root) if root.is_dir() else contextlib.nullcontext():
        yield


def open_store(place: str | Path) -> Store:
    """Return the store in a folder, or the one that is shared through an address such as "s3://bucket/prefix".

    Raises:
        StoreError: the address is invalid, its package is not installed, or it is a file.
    """
    if "://" not in str(place):
        if Path(place).expanduser().is_file():
            raise StoreError(f"{place}: this store is a file; give a folder")
        return Store(Path(place).expanduser())
    from headstart.storage.remote import RemoteStore

    return RemoteStore(cache_root(), str(place))


def found_again(path: Path) -> Path:
    """Return the path of an entry's file in the default store, if it is not at the recorded path."""
    if path.exists() or len(path.parts) < 4:
        return path
    kind, key, name = path.parts[-3:]
    store = default_store()
    known = re.fullmatch(r"[0-9a-f]{32}", key) is not None and store.has(kind, key)
    return store.path(kind, key) / name if known else path
