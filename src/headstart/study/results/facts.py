"""What a study finds besides its runs: JSON with its own sha256, and that of the files which belong to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from headstart.errors import StoreError
from headstart.progress import say
from headstart.storage.checksums import sha256_of, unsealed
from headstart.storage.files import write_atomic
from headstart.study.results.folder import sealed_bytes

FILES = "sha256 of files"


def write_facts(path: Path, facts: Mapping[str, Any], files: Iterable[str] = ()) -> None:
    """Write facts, and the sha256 of files that are there already, by their path from the folder of `path`."""
    digests = {name: sha256_of(path.parent / name) for name in files}
    whole = {**facts, FILES: digests} if digests else dict(facts)
    write_atomic(path, sealed_bytes(whole))


def read_facts(path: Path) -> dict[str, Any]:
    """Read facts and check the files that belong to them.

    Raises:
        StoreError: the facts or one of the files are not what was written; the message says which.
    """
    facts = unsealed(path)
    for name, digest in facts.pop(FILES, {}).items():
        file = path.parent / name
        if not file.is_file() or sha256_of(file) != digest:
            raise StoreError(f"{file}: is missing, or has changed since it was written; run the study again")
    return facts


def known_facts(path: Path, key: str) -> dict[str, Any] | None:
    """Return the facts that are there, are what was written, and have this key; else None.

    The key says what they are of, so that intact facts of something else are not taken for them. A line says where they
    are damaged: whoever asks makes them again.
    """
    if not path.is_file():
        return None
    try:
        facts = read_facts(path)
    except StoreError:
        say(f"{path}: it, or a file that it lists, has changed since it was written; it will be rebuilt")
        return None
    return facts if facts.get("key") == key else None
