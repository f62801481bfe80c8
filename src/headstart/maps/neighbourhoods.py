"""What a map keeps: of each image's most similar images, the share that are near it on the map too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.maps.principal import unit_rows

IntArray = npt.NDArray[np.int64]
NEAREST, WIDE = 10, 50  # images that count as similar, and as near on the map
MEASURED = 2000  # images on which the shares are measured
_BLOCK = 256  # images compared with all others at once
_COLUMNS = 16_384


@dataclass(frozen=True)
class Neighbours:
    """The most similar images of some of the images, by the cosine of their vectors.

    Args:
        rows: int64 [m], the images.
        nearest: int64 [m, k], the rows of the k most similar others of each, k at most `NEAREST`.
    """

    rows: IntArray
    nearest: IntArray


@dataclass(frozen=True)
class Preserved:
    """Shares of each image's most similar others that a map keeps near it, on average.

    Args:
        among_nearest: are among as many nearest on the map.
        among_wide: are among the `WIDE` nearest on the map.
        similar: how many others of each image were looked for.
        wide: how many nearest on the map the second share allows.
        measured: images that it was measured on.
        by_chance: the second share, if the images were placed at random.
    """

    among_nearest: float
    among_wide: float
    similar: int
    wide: int
    measured: int
    by_chance: float


@dataclass(frozen=True)
class Mixing:
    """How far one class is mixed with the others, by the vectors.

    Args:
        name: of the class.
        images: how many there are.
        own: of the nearest images of its images, the share that are of the same class; None where none was measured.
        other: the class that most of the rest are of, or "".
        other_share: its share.
    """

    name: str
    images: int
    own: float | None
    other: str
    other_share: float


def similar_images(vectors: npt.NDArray[np.float32], seed: int = 0) -> Neighbours:
    """Return the most similar others of at most `MEASURED` images, chosen at random."""
    n = len(vectors)
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:MEASURED])
    count = min(NEAREST, n - 1)
    found = []
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        queries = unit_rows(vectors, some)
        products = np.concatenate(
            [queries @ unit_rows(vectors, slice(k, k + _COLUMNS)).T for k in range(0, n, _COLUMNS)], axis=1
        )
        found.append(_nearest(-products, some, count))
    return Neighbours(rows, np.concatenate(found) if found else np.zeros((0, 0), dtype=np.int64))


def kept_near(neighbours: Neighbours, positions: npt.NDArray[np.float32]) -> Preserved:
    """Measure which of the most similar images are near on the map [n, 2]."""
    rows, count, n = neighbours.rows, neighbours.nearest.shape[1], len(positions)
    wide = min(WIDE, n - 1)
    if count < 1:
        return Preserved(1.0, 1.0, 0, 0, len(rows), 1.0)
    near, far = 0, 0
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        squares = sum((positions[some, axis][:, None] - positions[:, axis]) ** 2 for axis in (0, 1))
        places = _nearest(np.asarray(squares), some, wide)
        similar = neighbours.nearest[start : start + _BLOCK]
        near += int((similar[:, :, None] == places[:, None, :count]).sum())
        far += int((similar[:, :, None] == places[:, None, :]).sum())
    total = len(rows) * count
    return Preserved(near / total, far / total, count, wide, len(rows), wide / (n - 1))


def mixing(neighbours: Neighbours, codes: IntArray, classes: Sequence[str]) -> list[Mixing]:
    """Return how far each class is mixed with the others.

    Of each image, at most as many of the nearest images with a class count as its own class has others: an image that
    whose neighbours include all of its class has a share of 1, however few they are.

    Args:
        neighbours: of some of the images.
        codes: int64 [n], each image's class; -1 for none.
        classes: their names.
    """
    sizes = np.bincount(codes[codes >= 0], minlength=len(classes))
    own, others = codes[neighbours.rows][:, None], codes[neighbours.nearest]
    room = np.where(own >= 0, sizes[np.maximum(own, 0)] - 1, 0)
    known = (others >= 0) & (np.cumsum(others >= 0, axis=1) <= room)
    table = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(table, (np.broadcast_to(own, others.shape)[known], others[known]), 1)
    found = []
    for code, name in enumerate(classes):
        total = int(table[code].sum())
        rest = table[code].copy()
        rest[code] = 0
        worst = int(rest.argmax()) if total and rest.any() else -1
        share = None if not total else float(table[code, code] / total)
        other = ("", 0.0) if worst < 0 else (classes[worst], float(rest[worst] / total))
        found.append(Mixing(name, int(sizes[code]), share, *other))
    return found


def _nearest(distances: npt.NDArray[np.float32], own: IntArray, count: int) -> IntArray:
    """Return the columns of the `count` smallest of each row, smallest first, without the row's own image."""
    if count < 1:
        return np.zeros((len(own), 0), dtype=np.int64)
    distances[np.arange(len(own)), own] = np.inf
    some = np.argpartition(distances, count - 1, axis=1)[:, :count]
    order = np.argsort(np.take_along_axis(distances, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1).astype(np.int64)
