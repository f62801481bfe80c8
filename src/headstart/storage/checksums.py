"""What the files of a folder were when they were written, and whether they still are.

Each file has its size and sha256; a large one also has the CRC-32 of each of its blocks, so that it can be checked
faster, or in part. The manifest that lists them ends with its own sha256.
"""

from __future__ import annotations

import hashlib
import json
import random
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.errors import StoreError
from headstart.storage.files import read_json, sync

MANIFEST = "manifest.json"
BLOCK = 1 << 22  # bytes
SMALL = 1 << 26  # bytes: up to here the sha256 of the whole file is checked
SAMPLED = 1 << 28  # bytes: from here on only some blocks are
_SAMPLE = 16  # blocks, with the first and the last

Facts = dict[str, Any]
_known: dict[Path, tuple[tuple[int, int, int], str]] = {}


def sha256_of(path: Path) -> str:
    """Return a file's sha256; it is read once, and again if its size, time or place on the disk has changed."""
    state = path.stat()
    stamp = (state.st_size, state.st_mtime_ns, state.st_ino)
    known = _known.get(path)
    if known is None or known[0] != stamp:
        with path.open("rb") as file:
            known = _known[path] = (stamp, hashlib.file_digest(file, "sha256").hexdigest())
    return known[1]


def described(folder: Path) -> dict[str, Facts]:
    """Bring every file below a folder to the disk, and return what it is, by its path in the folder."""
    return {
        path.relative_to(folder).as_posix(): _described(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST
    }


def _described(path: Path) -> Facts:
    sync(path)
    digest, size = hashlib.sha256(), 0
    blocks: list[str] = []
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            blocks.append(f"{zlib.crc32(block):08x}")
            size += len(block)
    return {"bytes": size, "sha256": digest.hexdigest(), **({"blocks": "".join(blocks)} if size > SMALL else {})}


def fault(folder: Path, files: Mapping[str, Facts], *, whole: bool = False, seed: int | None = None) -> str | None:
    """Say which file is not what was written, or None.

    Args:
        folder: holds the files.
        files: by name, as `described` returned them.
        whole: check every byte by sha256. Otherwise a file over 64 MiB is checked by the CRC-32 of its blocks,
            and one over 256 MiB by that of 16 of them: the first, the last and a few at random.
        seed: of those few; another set each time if None.
    """
    for name, facts in files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            return f"{name} is missing"
        size = path.stat().st_size
        if size != facts["bytes"]:
            return f"{name} has {size:,} of {facts['bytes']:,} bytes"
        if whole or "blocks" not in facts:
            same = sha256_of(path) == facts["sha256"]
        else:
            same = _blocks_are(path, facts["blocks"], size, seed)
        if not same:
            return f"{name} is not what was written"
    return None


def _blocks_are(path: Path, blocks: str, size: int, seed: int | None) -> bool:
    count = len(blocks) // 8
    chosen: Sequence[int] = range(count)
    if size > SAMPLED and count > _SAMPLE:
        few = random.Random(seed).sample(range(1, count - 1), _SAMPLE - 2)
        chosen = [0, *sorted(few), count - 1]
    with path.open("rb") as file:
        for number in chosen:
            file.seek(number * BLOCK)
            if f"{zlib.crc32(file.read(BLOCK)):08x}" != blocks[8 * number : 8 * number + 8]:
                return False
    return True


def sealed(facts: Mapping[str, Any]) -> Facts:
    """Return the facts with their own sha256."""
    return {**facts, "sha256": _digest(facts)}


def unsealed(path: Path, *, strict: bool = False) -> Facts:
    """Read facts that were sealed, without the seal; with `strict`, facts without one are refused.

    Raises:
        StoreError: the file is absent, is not JSON, or is not what was written.
    """
    facts = read_json(path)
    if not isinstance(facts, dict):
        raise StoreError(f"{path}: holds no facts; delete it to create it again")
    seal = facts.pop("sha256", None)
    if seal != _digest(facts) and (strict or seal is not None):
        raise StoreError(f"{path}: is not what was written; delete it to create it again")
    return facts


def _digest(facts: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(facts))  # as they are read: every key is text, and is sorted as such
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
