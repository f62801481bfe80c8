"""Nearest neighbours among embeddings by an inverted file: only images of the same neighbourhood are compared.

Embeddings are brought to unit length, projected at random to 128 dimensions, and each is filed under
its two nearest of about 2 √n centres (k-means on a sample); products are taken inside each file only
(the inverted file of Sivic & Zisserman 2003). Similarities of what is found are then taken in full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import IntArray
from headstart.progress import Ticker

Floats = npt.NDArray[np.float32]

_DIMENSIONS = 128
_SAMPLE = 40_000
_ROUNDS = 4
_FILES = 2  # each image is filed this many times
_BLOCK = 8192
_SMALL = 4000  # up to here everything is compared with everything
_WIDTH = 2048  # rows of one product inside a file


class Table(Protocol):
    """Rows of numbers, such as an array [n, d], memory-mapped or not; or rows that are computed when they are taken."""

    @property
    def shape(self) -> tuple[int, ...]:
        """n and d."""
        ...

    def __len__(self) -> int:
        """Return n."""
        ...

    def __getitem__(self, rows: Any, /) -> npt.NDArray[np.floating]:
        """Return the rows of a slice or an array of their numbers."""
        ...


@dataclass(frozen=True)
class NearEmbeddings:
    """Pairs of near embeddings: a < b, the cosine in full dimensions; nearest first."""

    a: IntArray
    b: IntArray
    cosine: Floats


def nearest_pairs(
    features: Table, limit: int, *, each: int = 4, seed: int = 0, ticker: Ticker | None = None
) -> NearEmbeddings:
    """Return at most `limit` pairs among the `each` nearest neighbours of every row.

    Half of them are the nearest of all, half those that stand out most from their own neighbourhoods:
    where a class is dense, an odd copy is not lost among thousands of merely similar images.

    Args:
        features: [n, d], may be memory-mapped.
        limit: how many pairs at most.
        each: neighbours kept per row and file.
        seed: of projection and centres.
        ticker: advanced by the rows done, up to `rows_to_compare`.
    """
    n = len(features)
    if n < 2 or limit < 1:
        empty = np.zeros(0, dtype=np.int64)
        return NearEmbeddings(empty, empty, np.zeros(0, dtype=np.float32))
    generator = np.random.default_rng(seed)
    middle = _middle(features, generator)
    short = _projected(features, middle, generator)
    pairs: list[IntArray] = []
    scores: list[Floats] = []
    usual = np.full(n, -1.0, dtype=np.float32)  # how near the last of a row's neighbours is
    for rows in _files(short, generator):
        a, b, score = _inside(short, rows, each)
        pairs.append(np.minimum(a, b) * n + np.maximum(a, b))
        scores.append(score)
        last = score.reshape(len(rows), -1).min(axis=1)
        usual[rows] = np.maximum(usual[rows], last)
        if ticker is not None:
            ticker.advance(len(rows))
    code, first = np.unique(np.concatenate(pairs), return_index=True)
    rough = np.concatenate(scores)[first]
    a, b = code // n, code % n
    stands_out: Floats = rough - (usual[a] + usual[b]) / np.float32(2)
    keep = np.union1d(_best(rough, limit // 2), _best(stands_out, limit - limit // 2))
    cosine = _cosines(features, middle, a[keep], b[keep])
    order = np.argsort(-cosine, kind="stable")
    return NearEmbeddings(a[keep][order], b[keep][order], cosine[order])


def rows_to_compare(rows: int) -> int:
    """Return by how much `nearest_pairs` advances its ticker for a table of so many rows."""
    return rows if rows <= _SMALL else _FILES * rows


def _best(score: Floats, count: int) -> IntArray:
    return np.argsort(-score, kind="stable")[:count]


def _middle(features: Table, generator: np.random.Generator) -> Floats:
    rows = np.sort(generator.permutation(len(features))[:_SAMPLE])
    middle: Floats = np.asarray(features[rows], dtype=np.float32).mean(axis=0)
    return middle


def _unit(block: npt.NDArray[np.floating], middle: Floats) -> Floats:
    centred = np.asarray(block, dtype=np.float32) - middle
    length = np.sqrt(np.einsum("nd,nd->n", centred, centred))
    unit: Floats = centred / np.maximum(length, 1e-12)[:, None]
    return unit


def _projected(features: Table, middle: Floats, generator: np.random.Generator) -> Floats:
    n, d = features.shape
    turn = None
    if d > _DIMENSIONS:
        turn = generator.standard_normal((d, _DIMENSIONS)).astype(np.float32) / np.float32(np.sqrt(_DIMENSIONS))
    short = np.empty((n, min(d, _DIMENSIONS)), dtype=np.float32)
    for start in range(0, n, _BLOCK):
        unit = _unit(features[start : start + _BLOCK], middle)
        block = unit if turn is None else unit @ turn
        short[start : start + _BLOCK] = block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
    return short


def _files(short: Floats, generator: np.random.Generator) -> list[IntArray]:
    n = len(short)
    if n <= _SMALL:
        return [np.arange(n)]
    count = int(min(2 * np.sqrt(n), n // 16))
    centres = sphere_centres(short, count, generator)
    filed = np.empty((n, _FILES), dtype=np.int64)
    for start in range(0, n, _BLOCK):
        nearness = short[start : start + _BLOCK] @ centres.T
        best = np.argpartition(-nearness, _FILES, axis=1)[:, :_FILES]
        filed[start : start + _BLOCK] = best
    order = np.argsort(filed.ravel(), kind="stable")
    cuts = np.searchsorted(filed.ravel()[order], np.arange(1, count))
    return [np.sort(part // _FILES) for part in np.split(order, cuts) if len(part) > 1]


def sphere_centres(short: Floats, count: int, generator: np.random.Generator) -> Floats:
    """Return the centres [count, k] of groups of unit vectors [n, k]: k-means on the sphere, on a sample of rows."""
    sample = short[np.sort(generator.permutation(len(short))[:_SAMPLE])]
    centres = sample[np.sort(generator.permutation(len(sample))[:count])]
    for _ in range(_ROUNDS):
        nearest = np.concatenate(
            [(sample[k : k + _BLOCK] @ centres.T).argmax(axis=1) for k in range(0, len(sample), _BLOCK)]
        )
        order = np.argsort(nearest, kind="stable")
        starts = np.searchsorted(nearest[order], np.arange(count))
        filled = np.flatnonzero(np.bincount(nearest, minlength=count))
        sums = np.add.reduceat(sample[order], starts[filled], axis=0)
        centres[filled] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centres


def _inside(short: Floats, rows: IntArray, each: int) -> tuple[IntArray, IntArray, Floats]:
    """Return, inside one file, each row's nearest others."""
    members = short[rows]
    keep = min(each, len(rows) - 1)
    firsts, seconds, scores = [], [], []
    for start in range(0, len(rows), _WIDTH):
        block = members[start : start + _WIDTH] @ members.T
        here = np.arange(len(block))
        block[here, start + here] = -np.inf
        best = np.argpartition(-block, keep - 1, axis=1)[:, :keep]
        firsts.append(np.repeat(rows[start : start + _WIDTH], keep))
        seconds.append(rows[best.ravel()])
        scores.append(np.take_along_axis(block, best, axis=1).ravel())
    return np.concatenate(firsts), np.concatenate(seconds), np.concatenate(scores)


def _cosines(features: Table, middle: Floats, a: IntArray, b: IntArray) -> Floats:
    cosine = np.empty(len(a), dtype=np.float32)
    for start in range(0, len(a), _BLOCK):
        stop = start + _BLOCK
        rows, place = np.unique(np.concatenate([a[start:stop], b[start:stop]]), return_inverse=True)
        unit = _unit(features[rows], middle)
        half = len(a[start:stop])
        cosine[start:stop] = np.einsum("nd,nd->n", unit[place[:half]], unit[place[half:]])
    return cosine
