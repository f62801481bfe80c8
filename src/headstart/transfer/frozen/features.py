"""Features: the frozen part of a network, run once per image and stored.

The store's key is made of all that the numbers depend on: the images' content and view, the bits of
the frozen parameters and buffers, the normalisation and the engine. The matrix is written piece by
piece with a journal, so that an interrupted pass continues where it stopped.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import nn

from headstart.errors import StoreError
from headstart.models.freeze import fingerprint
from headstart.models.preprocessing import Preprocessing
from headstart.progress import progress
from headstart.storage.checksums import sealed, unsealed
from headstart.storage.files import write_json
from headstart.storage.opening import default_store
from headstart.storage.store import Store, content_key
from headstart.transfer.frozen.engine import Engine, Pixels

KIND = "features"
JOURNAL = "journal.json"
BATCH = 32
_VERSION = 1  # raise it when the numbers of an unchanged input change

OnChunk = Callable[[int, int, Pixels], None]
Source = Callable[[OnChunk], None]


@runtime_checkable
class Images(Protocol):
    """Decoded images of one view."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def batch(self, rows: npt.NDArray[np.int64]) -> Pixels:
        """Return uint8 [b, size, size, 3]."""
        ...


def network_facts(prefix: nn.Module) -> dict[str, str]:
    """Return the bits and the structure of a prefix: what the key of its features depends on."""
    return {"network": fingerprint(prefix), "structure": str(prefix)}


def features_key(
    images_key: str,
    prefix: nn.Module,
    preprocessing: Preprocessing,
    device: str,
    facts: Mapping[str, str] | None = None,
) -> str:
    """Return the content key of the features of these images at the end of this prefix.

    Args:
        images_key, prefix, preprocessing, device: of the pass.
        facts: the prefix's `network_facts`, from a caller who knows them: they take a sha256 over all parameters.
    """
    return content_key(
        {
            "images": images_key,
            **(network_facts(prefix) if facts is None else facts),
            "mean": preprocessing.mean,
            "std": preprocessing.std,
            "device": device.split(":")[0],
            "version": _VERSION,
        }
    )


def extract(
    images: Images,
    prefix: nn.Module,
    preprocessing: Preprocessing,
    *,
    key: str,
    store: Store | None = None,
    device: str = "cpu",
    title: str = "features",
    source: Source | None = None,
    parts: Sequence[str] = (),
) -> npt.NDArray[np.float32]:
    """Return the prefix's output for every image, float32 [n, *shape], memory-mapped from the store.

    Args:
        images: the decoded images.
        prefix: the frozen stages; takes normalised images.
        preprocessing: size, mean and std.
        key: the content key; see `features_key`.
        store: where the result is kept; the default store if None.
        device: where the network runs.
        title: what the progress line says.
        source: hands over the pixels chunk by chunk, in order, as they are decoded; without it they
            are read from `images`.
        parts: the keys under which the store may have the output for the first of these images, in this order, which
            the caller has checked; up to the first that is missing, they are copied.

    Raises:
        StoreError: the disk is full.
    """
    store = store or default_store()
    store.check(KIND, key)
    with store.building(KIND, key, wait_message=f"{title}: another process is computing it; waiting") as entry:
        if entry is not None:
            give = source or reading(images)
            copied = _copy_parts(entry.path, parts, store, len(images)) if parts else Copied()
            facts = _fill(entry.path, len(images), prefix, preprocessing, device, title, give, copied)
            entry.manifest.update(facts)
    return load_features(key, store)


def load_features(key: str, store: Store | None = None) -> npt.NDArray[np.float32]:
    """Return a stored feature array, memory-mapped, read-only."""
    store = store or default_store()
    store.manifest(KIND, key)
    matrix: npt.NDArray[np.float32] = np.load(store.path(KIND, key) / "features.npy", mmap_mode="r")
    return matrix


def reading(images: Images, start: int = 0, stop: int | None = None) -> Source:
    """Return what hands over decoded images: all of them, or consecutive rows, which are then counted from 0."""
    end = len(images) if stop is None else stop

    def hand_over(take: OnChunk) -> None:
        for low in range(start, end, 8 * BATCH):
            high = min(low + 8 * BATCH, end)
            take(low - start, high - start, images.batch(np.arange(low, high)))

    return hand_over


def _fill(
    folder: Path,
    n: int,
    prefix: nn.Module,
    preprocessing: Preprocessing,
    device: str,
    title: str,
    source: Source,
    copied: Copied,
) -> dict[str, Any]:
    engine = Engine(prefix, preprocessing, device)
    matrix, done, checksum = _open(folder, (n, *engine.output_shape))
    began, resumed = time.perf_counter(), done
    with progress(title, n) as ticker:
        ticker.advance(done)

        def take(start: int, stop: int, pixels: Pixels) -> None:
            nonlocal done, checksum
            for low in range(max(start, done), stop, BATCH):
                high = min(low + BATCH, stop)
                matrix[low:high] = engine(pixels[low - start : high - start])
                ticker.advance(high - low)
            if stop > done:
                checksum, done = zlib.crc32(matrix[done:stop].tobytes(), checksum), stop
                matrix.flush()
                write_json(folder / JOURNAL, sealed({"done": done, "shape": list(matrix.shape), "crc32": checksum}))

        if done < n:
            source(take)
    seconds = time.perf_counter() - began + copied.seconds
    rate = (n - resumed + copied.rows) / seconds if seconds > 0 else 0.0
    return {"engine": engine.name, "seconds": seconds, "images_per_second": rate, "shape": list(matrix.shape)}


@dataclass(frozen=True)
class Copied:
    """Rows that were copied from parts, and the seconds that computing them took."""

    rows: int = 0
    seconds: float = 0.0


def _copy_parts(folder: Path, parts: Sequence[str], store: Store, n: int) -> Copied:
    """Write the output for the first images as if a pass over all n had been interrupted after them.

    Nothing is written if there is none, or if an earlier attempt has as much.
    """
    known = []
    for key in parts:
        if not store.has(KIND, key):
            break
        known.append(load_features(key, store))
    ends = np.cumsum([0, *map(len, known)]).tolist()
    while known and ends[len(known)] > n:
        known.pop()
    done = ends[len(known)]
    if not known or done <= _journalled(folder):
        return Copied()
    matrix = _new_matrix(folder / "features.npy", (n, *known[0].shape[1:]))
    for start, rows in zip(ends, known, strict=False):
        matrix[start : start + len(rows)] = rows
    matrix.flush()
    note = {"done": done, "shape": list(matrix.shape), "crc32": _checksum(matrix[:done])}
    write_json(folder / JOURNAL, sealed(note))
    return Copied(done, sum(store.manifest(KIND, key)["seconds"] for key in parts[: len(known)]))


def _journalled(folder: Path) -> int:
    """Return how many rows an earlier attempt finished, by its journal."""
    with contextlib.suppress(StoreError, OSError, ValueError, KeyError, TypeError):
        return int(unsealed(folder / JOURNAL, strict=True)["done"])
    return 0


def _open(folder: Path, shape: tuple[int, ...]) -> tuple[np.memmap[Any, Any], int, int]:
    """Return the matrix to fill, how many rows of it an earlier attempt finished, and their CRC-32."""
    path = folder / "features.npy"
    with contextlib.suppress(
        StoreError, OSError, ValueError, KeyError, TypeError
    ):  # what is absent or damaged is computed again
        note = unsealed(folder / JOURNAL, strict=True)
        matrix = np.lib.format.open_memmap(path, mode="r+")
        if (
            matrix.dtype == np.float32
            and matrix.shape == shape == tuple(note["shape"])
            and _checksum(matrix[: note["done"]]) == note["crc32"]
        ):
            return matrix, note["done"], note["crc32"]
    return _new_matrix(path, shape), 0, 0


def _new_matrix(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    matrix = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    if hasattr(os, "posix_fallocate"):  # a full disk is an error now, not a crash of the process later
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return matrix


def _checksum(rows: npt.NDArray[Any]) -> int:
    found = 0
    for start in range(0, len(rows), 8 * BATCH):
        found = zlib.crc32(rows[start : start + 8 * BATCH].tobytes(), found)
    return found
