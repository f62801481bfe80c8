"""What the files of a folder were when they were written, and whether they still are.

Each file has its size and sha256; a large one has the CRC-32 of each of its blocks, too, so that it can be checked in
part. The manifest that lists them ends with its own sha256.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import zlib
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

from headstart.errors import StoreError
from headstart.storage.files import read_json, sync, write_atomic
from headstart.storage.settled import is_settled

MANIFEST = "manifest.json"
BLOCK = 1 << 22  # bytes
LARGE = 1 << 28  # bytes: beyond, only some blocks of a file are checked, unless more is asked for
_SAMPLE = 16  # blocks, with the first and the last
_PIECE = 1 << 17  # bytes that are hashed at once: they remain in the processor's cache between two checksums

Facts = dict[str, Any]
_known: dict[Path, tuple[tuple[int, int, int, int], str]] = {}


def sha256_of(path: Path) -> str:
    """Return a file's sha256; it is read once, and again if its size, times or place on the disk have changed."""
    state = path.stat()
    stamp = (state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns)  # `cp -p` keeps the first of the times
    known = _known.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    settled = is_settled(state.st_mtime_ns, state.st_ctime_ns)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if settled:  # else its time might not show that it changes
        _known[path] = (stamp, digest)
    return digest


def described(folder: Path) -> dict[str, Facts]:
    """Bring every file below a folder to the disk, and return what it is, by its path in the folder."""
    return {
        path.relative_to(folder).as_posix(): _described(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST
    }


def _described(path: Path) -> Facts:
    sync(path)
    large = path.stat().st_size > LARGE
    digest, size, crc = hashlib.sha256(), 0, 0
    blocks: list[str] = []
    piece = memoryview(bytearray(_PIECE))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(piece[: min(_PIECE, BLOCK - size % BLOCK)]):
            size += count
            digest.update(piece[:count])
            if not large:
                continue
            crc = zlib.crc32(piece[:count], crc)
            if size % BLOCK == 0:
                blocks.append(f"{crc:08x}")
                crc = 0
    if large and size % BLOCK:
        blocks.append(f"{crc:08x}")
    return {"bytes": size, "sha256": digest.hexdigest(), **({"blocks": "".join(blocks)} if large else {})}


class Depth(IntEnum):
    """How much of a large file is read to check it.

    A file of up to 256 MiB is always checked by its sha256, and a larger one if WHOLE is asked for. Else the CRC-32 of
    all its blocks is compared (BLOCKS), or of 16 of them (SAMPLE): the first, the last and a few at random.
    """

    SAMPLE = 0
    BLOCKS = 1
    WHOLE = 2


def fault(
    folder: Path, files: Mapping[str, Facts], depth: Depth = Depth.SAMPLE, *, seed: int | None = None
) -> str | None:
    """Return which file has changed since it was written, or None.

    Args:
        folder: holds the files.
        files: by name, as `described` returned them.
        depth: how much of a large file is read.
        seed: of the blocks of a sample; another set each time if None.
    """
    for name, facts in files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            return f"{name} is missing"
        size = path.stat().st_size
        if size != facts["bytes"]:
            return f"{name} has {size:,} of {facts['bytes']:,} bytes"
        if "sha256" in facts and (depth is Depth.WHOLE or size <= LARGE):
            same = sha256_of(path) == facts["sha256"]
        else:  # a former version wrote no sha256 of files over 64 MiB
            same = _blocks_are(path, facts["blocks"], depth is Depth.SAMPLE and size > LARGE, seed)
        if not same:
            return f"{name} has changed since it was written"
    return None


def _blocks_are(path: Path, blocks: str, sampled: bool, seed: int | None) -> bool:
    count = len(blocks) // 8
    chosen: Sequence[int] = range(count)
    if sampled and count > _SAMPLE:
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
        StoreError: the file is absent, is not JSON, or has changed since it was written.
    """
    facts = read_json(path)
    if isinstance(facts, dict) and not strict and not _has_seal(facts):
        return facts
    try:
        return opened(facts)
    except ValueError as error:
        raise StoreError(f"{path}: {error}; delete it to create it again") from error


def _has_seal(facts: Facts) -> bool:
    """Return whether facts were sealed, also where damage has given the seal another name."""
    return "sha256" in facts or any(
        isinstance(value, str) and len(value) == 64 and value == _digest({k: v for k, v in facts.items() if k != name})
        for name, value in facts.items()
    )


def opened(facts: Any) -> Facts:
    """Return sealed facts without the seal.

    Raises:
        ValueError: they are not what was sealed.
    """
    if not isinstance(facts, dict):
        raise ValueError("holds no facts")
    found = dict(facts)
    if found.pop("sha256", None) != _digest(found):
        raise ValueError("has changed since it was written")
    return found


def _digest(facts: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(facts))  # as they are read: every key is text, and is sorted as such
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def certify(part: Path, path: Path) -> None:
    """Move a file that has been written whole to `path`, with its sha256 beside it; `is_intact` compares them.

    A process that dies in between leaves the old file or the new one, either of them with its sha256.
    """
    sync(part)
    known = [sha256_of(path)] if is_intact(path) else []
    write_atomic(_note(path), "\n".join([sha256_of(part), *known]) + "\n")
    os.replace(part, path)


def is_intact(path: Path) -> bool:
    """Return whether a file is there and is what `certify` moved there."""
    try:
        return sha256_of(path) in _note(path).read_text().split()
    except (OSError, ValueError):
        return False


def forget(path: Path) -> None:
    """Delete a file that `certify` moved there, and its sha256; nothing if it is not there."""
    path.unlink(missing_ok=True)
    _note(path).unlink(missing_ok=True)


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
