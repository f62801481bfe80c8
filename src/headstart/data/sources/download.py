"""Downloads: to a temporary file, checked against the published checksum, then moved into place."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock

from headstart.errors import DataAbsent, DataError
from headstart.progress import progress
from headstart.storage.files import disk_errors

_BLOCK = 1 << 20
_TIMEOUT = 30  # seconds without an answer


def download(url: str, target: Path, md5: str) -> Path:
    """Return `target`, downloaded from `url` unless it is there.

    Raises:
        DataAbsent: no answer.
        DataError: the content is not what was published.
        StoreError: the disk is full.
    """
    if target.exists():
        return target
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(target) + ".lock"):
            if target.exists():
                return target
            partial = target.with_name(target.name + ".partial")
            found = _fetch(url, partial, target)
            if found != md5:
                partial.unlink()
                raise DataError(f"{url} gave a file with md5 {found}, not {md5}; it was deleted")
            os.replace(partial, target)
    return target


def _fetch(url: str, partial: Path, target: Path) -> str:
    """Write the content of `url` to `partial`; return its md5."""
    state = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, partial.open("wb") as file:
            total = int(answer.headers.get("Content-Length") or 0)
            with progress(f"downloading {target.name}", total >> 20, "MiB") as ticker:
                while block := answer.read(_BLOCK):
                    state.update(block)
                    file.write(block)
                    ticker.advance(len(block) >> 20)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        why = getattr(error, "reason", error)
        raise DataAbsent(f"{url} cannot be downloaded ({why}); download it elsewhere and put it at {target}") from error
    return state.hexdigest()
