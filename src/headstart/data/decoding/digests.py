"""Look at every image's bytes once: its digest, whether its header is that of an image, and its depth.

What was seen is remembered by path, size, inode and times in a small database in the cache, so that the next look at
an unchanged folder opens no file.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL

from headstart.addresses import is_address, needs_path
from headstart.data.dataset import Reader
from headstart.data.decoding.decode import (
    CHECK,
    DECODER,
    UndecodableError,
    check,
    check_bands,
    open_image,
    quiet_pillow,
)
from headstart.data.decoding.deep_colour import deep_mode
from headstart.data.decoding.faults import LacksMemoryError
from headstart.data.decoding.formats import heif_version
from headstart.data.decoding.tiff_bands import tifffile_version
from headstart.data.readers import item_codes
from headstart.errors import DataError
from headstart.progress import progress
from headstart.storage.settled import is_settled
from headstart.storage.store import cache_root
from headstart.threads import cores

_BATCH = 64
_QUERY = 500  # values in one SQL question
_PATIENCE = 10.0  # seconds to wait for another process that writes
_JPEG = b"\xff\xd8"  # always 8 bits
ABSENT = "does not exist"
_DEPTHS = {"I;16": "16 bits", "I": "32 bits", "F": "floats"}  # by the beginning of Pillow's mode


@dataclass(frozen=True)
class Examined:
    """What was seen of the images.

    Args:
        digests: bytes [n], 32 hex digits of the content of each row ("" where it cannot be read).
        problems: row -> why it is not a usable image.
        depths: row -> "16 bits", "32 bits" or "floats", where its numbers have more than 8 bits.
    """

    digests: npt.NDArray[np.bytes_]
    problems: dict[int, str]
    depths: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Seen:
    """What was seen of one image: digest, problem and depth, "" where there is none."""

    digest: str = ""
    problem: str = ""
    depth: str = ""


def examine(reader: Reader, memory: Path | None = None, *, bands: bool = False) -> Examined:
    """Return digest, problem and depth of every row, reading each distinct item once, in threads.

    Args:
        memory: the database of what was seen before; by default `files.sqlite` in the cache.
        bands: all bands of the files are read, which are decoded for that; the depth then says which bands they have,
            as `BandKind` is written, and their names.
    """
    codes = item_codes(reader)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    rows = first.tolist()
    seen = _look(reader, rows, memory or cache_root() / "files.sqlite", bands=bands)
    digests = np.array([each.digest for each in seen], dtype="S32")[inverse]
    return Examined(
        digests,
        _by_row(inverse, [each.problem for each in seen]),
        _by_row(inverse, [each.depth for each in seen]),
    )


def _by_row(inverse: npt.NDArray[np.int64], texts: list[str]) -> dict[int, str]:
    """Return row -> the text of its item, where it has one."""
    items = [item for item, text in enumerate(texts) if text]
    rows = np.flatnonzero(np.isin(inverse, items)).tolist() if items else []
    return {row: texts[inverse[row]] for row in rows}


def digest_of(data: bytes | npt.NDArray[np.uint8]) -> str:
    """Return 32 hex digits of an encoded image's bytes, or of an array's shape and pixels."""
    state = hashlib.blake2b(digest_size=16)
    if isinstance(data, np.ndarray):
        state.update(repr(data.shape).encode())
        state.update(np.ascontiguousarray(data).data)
    else:
        state.update(data)
    return state.hexdigest()


def distinct(digests: npt.NDArray[np.bytes_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return (rows, codes): the first row of each distinct digest, in order, and each row's place there."""
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order].astype(np.int64), place[inverse].astype(np.int64)


def _look(reader: Reader, rows: list[int], memory: Path, *, bands: bool) -> list[_Seen]:
    """Return what is seen of each of these rows."""
    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    seen: list[_Seen] = []
    with (
        _Memory(memory, f"bands {tifffile_version()}|" if bands else "") as known,
        quiet_pillow(),
        progress("looking at the images", len(rows)) as ticker,
        ThreadPoolExecutor(cores(), "look") as pool,
    ):
        identities = pool.map(lambda batch: [_identity(reader, row) for row in batch], batches)
        for batch, names in zip(batches, identities, strict=True):
            remembered = known.recall([name for name, _ in names if name])
            todo = [k for k, (name, problem) in enumerate(names) if not problem and name not in remembered]
            fresh = pool.map(lambda row: _examine_one(reader, row, bands=bands), [batch[k] for k in todo])
            found = dict(zip(todo, fresh, strict=True))
            for k, (name, problem) in enumerate(names):
                seen.append(_Seen(problem=problem) if problem else found.get(k) or remembered[name])
            known.remember({names[k][0]: value for k, value in found.items() if names[k][0] and value.digest})
            ticker.advance(len(batch))
    return seen


def _identity(reader: Reader, row: int) -> tuple[str, str]:
    """Return (identity, why it is unavailable)."""
    try:
        return reader.identity(row), ""
    except OSError as error:
        return "", _unreadable(error, reader.name(row))


def _examine_one(reader: Reader, row: int, *, bands: bool) -> _Seen:
    try:
        data = reader.read(row)
        if bands:
            fault, kind = check_bands(data)
            return _Seen(digest_of(data), fault, "" if kind is None else kind.described())
        if isinstance(data, np.ndarray):
            return _Seen(digest_of(data), "" if data.size else "has no pixels")
        problem = check(data) or ""
        return _Seen(digest_of(data), problem, "" if problem else _depth_of(data))
    except OSError as error:
        return _Seen(problem=_unreadable(error, reader.name(row)))
    except (LacksMemoryError, MemoryError) as error:  # it says nothing about the image
        raise DataError(f"{reader.name(row)} {LacksMemoryError()}") from error
    except UndecodableError as error:
        return _Seen(problem=str(error))


def _depth_of(data: bytes) -> str:
    """Return the depth of an encoded image in words, where it has more than 8 bits; the header is read again."""
    if data.startswith(_JPEG):
        return ""
    with open_image(data) as image:
        mode = "I;16" if deep_mode(image) else image.mode
        return next((words for begun, words in _DEPTHS.items() if mode.startswith(begun)), "")


def _unreadable(error: OSError, name: str) -> str:
    if isinstance(error, FileNotFoundError):
        return needs_path(name) if is_address(name) else ABSENT
    return f"cannot be read ({error.strerror or error})"


class _Memory:
    """The database of files seen; without one (a read-only cache) every image is looked at afresh.

    Each row has a checksum: what was damaged is looked at again, and never believed.
    """

    def __init__(self, path: Path, how: str = "") -> None:
        self.path, self.how = path, how
        self.connection: sqlite3.Connection | None = None
        self.started = time.time()

    def __enter__(self) -> _Memory:
        try:
            self.connection = self._open()
        except (sqlite3.OperationalError, OSError):  # busy, or no place to write: do without
            self.connection = None
        except sqlite3.DatabaseError:  # damaged: what it held can be found again
            self._renew()
        return self

    def __exit__(self, *_: object) -> None:
        if self.connection is not None:
            self.connection.close()

    def recall(self, identities: Sequence[str]) -> dict[str, _Seen]:
        """Return what is known of these identities."""
        if self.connection is None:
            return {}
        keys = {_key(self.how + identity): identity for identity in identities}
        result: dict[str, _Seen] = {}
        for part in _parts(list(keys), _QUERY):
            marks = ",".join("?" * len(part))
            question = f"SELECT key, digest, problem, depth, sum FROM seen WHERE key IN ({marks})"
            try:
                for *row, checksum in self.connection.execute(question, part):
                    if checksum == _sum(*row):
                        result[keys[row[0]]] = _Seen(row[1].hex(), row[2], row[3])
            except sqlite3.OperationalError:  # busy
                continue
            except sqlite3.Error:
                self._renew()
                return result
        return result

    def remember(self, found: dict[str, _Seen]) -> None:
        """Note what was found, except of files that changed a moment ago."""
        facts = [
            (_key(self.how + identity), bytes.fromhex(each.digest), each.problem, each.depth)
            for identity, each in found.items()
            if is_settled(*_times(identity), by=self.started)
        ]
        rows = [(*row, _sum(*row)) for row in facts]
        if self.connection is None or not rows:
            return
        with contextlib.suppress(sqlite3.Error), self.connection:  # it is only a memory
            self.connection.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)", rows)

    def _renew(self) -> None:
        """Begin anew in the place of a damaged database."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        with contextlib.suppress(sqlite3.Error, OSError):
            for end in ("", "-wal", "-shm"):
                Path(f"{self.path}{end}").unlink(missing_ok=True)
            self.connection = self._open()

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_PATIENCE)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS seen"
            " (key BLOB PRIMARY KEY, digest BLOB, problem TEXT, depth TEXT, sum BLOB) WITHOUT ROWID"
        )
        return connection


def _times(identity: str) -> list[int]:
    """Return the times of the last changes that an identity ends with, in ns."""
    *_, content, latest = identity.split("|")
    return [int(latest), *([int(content)] if content.isdecimal() else [])]


def _key(identity: str) -> bytes:
    decoder = f"{DECODER}.{CHECK}|{PIL.__version__}|{heif_version()}".removesuffix("|")
    text = f"{decoder}|{identity}"  # another decoder may find other problems
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _sum(*row: object) -> bytes:
    return hashlib.blake2b(repr(row).encode("utf-8", "surrogateescape"), digest_size=8).digest()


def _parts(values: list[bytes], size: int) -> Iterator[list[bytes]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
