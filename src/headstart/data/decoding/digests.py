"""Look at every image's bytes once: its digest, and whether its header is that of an image.

What was seen is remembered by (path, size, time of last change) in a small database in the cache, so that
the next look at an unchanged folder opens no file.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL

from headstart.data.dataset import Reader
from headstart.data.decoding.decode import DECODER, UndecodableError, check, quiet_pillow
from headstart.data.decoding.formats import heif_version
from headstart.data.readers import item_codes
from headstart.progress import progress
from headstart.storage.store import cache_root
from headstart.threads import cores

_BATCH = 64
_QUERY = 500  # values in one SQL question
_PATIENCE = 10.0  # seconds to wait for another process that writes
_SETTLED = 0.1  # seconds: a file changed later than this before it was read may change again unseen


@dataclass(frozen=True)
class Examined:
    """What was seen of the images.

    Args:
        digests: bytes [n], 32 hex digits of the content of each row ("" where it cannot be read).
        problems: row -> why it is not a usable image.
    """

    digests: npt.NDArray[np.bytes_]
    problems: dict[int, str]


def examine(reader: Reader, memory: Path | None = None) -> Examined:
    """Return digest and problem of every row, reading each distinct item once, in threads.

    Args:
        memory: the database of what was seen before; by default `files.sqlite` in the cache.
    """
    codes = item_codes(reader)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    rows = first.tolist()
    seen = _look(reader, rows, memory or cache_root() / "files.sqlite")
    digests = np.array([digest for digest, _ in seen], dtype="S32")[inverse]
    faulty = [item for item, (_, problem) in enumerate(seen) if problem]
    problems: dict[int, str] = {}
    if faulty:
        for row in np.flatnonzero(np.isin(inverse, faulty)).tolist():
            problems[row] = seen[inverse[row]][1]
    return Examined(digests, problems)


def digest_of(data: bytes | npt.NDArray[np.uint8]) -> str:
    """Return 32 hex digits of an encoded image's bytes, or of an array's shape and pixels."""
    state = hashlib.blake2b(digest_size=16)
    if isinstance(data, np.ndarray):
        state.update(repr(data.shape).encode())
        state.update(np.ascontiguousarray(data).data)
    else:
        state.update(data)
    return state.hexdigest()


def _look(reader: Reader, rows: list[int], memory: Path) -> list[tuple[str, str]]:
    """Return (digest, problem or "") of each of these rows."""
    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    seen: list[tuple[str, str]] = []
    with (
        _Memory(memory) as known,
        quiet_pillow(),
        progress("looking at the images", len(rows)) as ticker,
        ThreadPoolExecutor(cores(), "look") as pool,
    ):
        identities = pool.map(lambda batch: [_identity(reader, row) for row in batch], batches)
        for batch, names in zip(batches, identities, strict=True):
            remembered = known.recall([name for name, _ in names if name])
            todo = [k for k, (name, problem) in enumerate(names) if not problem and name not in remembered]
            fresh = pool.map(lambda row: _examine_one(reader, row), [batch[k] for k in todo])
            found = dict(zip(todo, fresh, strict=True))
            for k, (name, problem) in enumerate(names):
                seen.append(("", problem) if problem else found.get(k) or remembered[name])
            known.remember({names[k][0]: value for k, value in found.items() if names[k][0] and value[0]})
            ticker.advance(len(batch))
    return seen


def _identity(reader: Reader, row: int) -> tuple[str, str]:
    """Return (identity, why it is unavailable)."""
    try:
        return reader.identity(row), ""
    except OSError as error:
        return "", _unreadable(error)


def _examine_one(reader: Reader, row: int) -> tuple[str, str]:
    try:
        data = reader.read(row)
    except OSError as error:
        return "", _unreadable(error)
    except UndecodableError as error:
        return "", str(error)
    if isinstance(data, np.ndarray):
        return digest_of(data), "" if data.size else "has no pixels"
    return digest_of(data), check(data) or ""


def _unreadable(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    return f"cannot be read ({error.strerror or error})"


class _Memory:
    """The database of files seen; without one (a read-only cache) every image is looked at afresh."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection: sqlite3.Connection | None = None
        self.started = time.time()

    def __enter__(self) -> _Memory:
        try:
            self.connection = self._open()
        except (sqlite3.OperationalError, OSError):  # busy, or no place to write: do without
            self.connection = None
        except sqlite3.DatabaseError:  # damaged: what it held can be found again
            with contextlib.suppress(sqlite3.Error, OSError):
                self.path.unlink(missing_ok=True)
                self.connection = self._open()
        return self

    def __exit__(self, *_: object) -> None:
        if self.connection is not None:
            self.connection.close()

    def recall(self, identities: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return what is known of these identities."""
        if self.connection is None:
            return {}
        keys = {_key(identity): identity for identity in identities}
        result: dict[str, tuple[str, str]] = {}
        for part in _parts(list(keys), _QUERY):
            marks = ",".join("?" * len(part))
            question = f"SELECT key, digest, problem FROM files WHERE key IN ({marks})"
            with contextlib.suppress(sqlite3.Error):
                for key, digest, problem in self.connection.execute(question, part):
                    result[keys[key]] = (digest.hex(), problem)
        return result

    def remember(self, found: dict[str, tuple[str, str]]) -> None:
        """Note what was found, except of files that changed a moment ago."""
        latest = (self.started - _SETTLED) * 1e9
        rows = [
            (_key(identity), bytes.fromhex(digest), problem)
            for identity, (digest, problem) in found.items()
            if int(identity.rpartition("|")[2]) < latest
        ]
        if self.connection is None or not rows:
            return
        with contextlib.suppress(sqlite3.Error), self.connection:  # it is only a memory
            self.connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_PATIENCE)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS files (key BLOB PRIMARY KEY, digest BLOB, problem TEXT) WITHOUT ROWID"
        )
        return connection


def _key(identity: str) -> bytes:
    decoder = f"{DECODER}|{PIL.__version__}|{heif_version()}".removesuffix("|")
    text = f"{decoder}|{identity}"  # another decoder may find other problems
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _parts(values: list[bytes], size: int) -> Iterator[list[bytes]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
