"""Principal components, the same on every call: their signs are fixed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import linalg

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
_BLOCK = 8192  # rows of one product


def unit_rows(vectors: npt.NDArray[np.float32], rows: slice | npt.NDArray[np.int64]) -> Floats:
    """Return some rows of vectors [n, d] at unit length; a row of zeros remains one."""
    some = np.asarray(vectors[rows], dtype=np.float32)
    return np.asarray(some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def principal_components(vectors: Floats, count: int) -> tuple[Floats, Doubles]:
    """Return (scores, shares): unit vectors in their first principal directions, and each one's share of the variance.

    In every direction, the entry of largest absolute value is positive.

    Args:
        vectors: float32 [n, d], may be memory-mapped; each is brought to unit length.
        count: directions, at most d; those beyond the rank have scores of zero.

    Returns:
        float32 [n, count], float64 [count]; a share is 0 where the images do not differ at all.
    """
    n, d = vectors.shape
    starts = range(0, n, _BLOCK)
    middle = np.zeros(d)
    for start in starts:
        middle += unit_rows(vectors, slice(start, start + _BLOCK)).sum(axis=0, dtype=np.float64)
    middle = (middle / max(n, 1)).astype(np.float32)
    kept = min(count, n, d)
    values, total, directions = _of_few(vectors, middle, kept) if n < d else _of_many(vectors, middle, kept)
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(kept)])
    turn = np.zeros((d, count), dtype=np.float32)
    turn[:, :kept] = directions * signs
    scores = np.empty((n, count), dtype=np.float32)
    for start in starts:
        scores[start : start + _BLOCK] = (unit_rows(vectors, slice(start, start + _BLOCK)) - middle) @ turn
    spread = np.zeros(count)
    spread[:kept] = values
    return scores, spread / total if total > 1e-9 * n else np.zeros(count)


def _of_few(vectors: Floats, middle: Floats, count: int) -> tuple[Doubles, float, Doubles]:
    """Return the largest variances, that of all directions, and directions [d, count], from products of the n rows."""
    centred = (unit_rows(vectors, slice(None)) - middle).astype(np.float64)
    values, weights, total = _largest(centred @ centred.T, count)
    return values, total, (centred.T @ weights) / np.sqrt(np.maximum(values, 1e-12 * len(vectors)))


def _of_many(vectors: Floats, middle: Floats, count: int) -> tuple[Doubles, float, Doubles]:
    """Return the same from products of the d columns, block by block of rows."""
    n, d = vectors.shape
    gram = np.zeros((d, d))
    for start in range(0, n, _BLOCK):
        block = unit_rows(vectors, slice(start, start + _BLOCK)) - middle
        gram += block.T @ block
    values, directions, total = _largest(gram, count)
    return values, total, directions


def _largest(gram: Doubles, count: int) -> tuple[Doubles, Doubles, float]:
    """Return the largest eigenvalues, none below zero, their vectors, and the sum of all."""
    size = len(gram)
    if not count:
        return np.zeros(0), np.zeros((size, 0)), 0.0
    values, found = linalg.eigh(gram, subset_by_index=(size - count, size - 1))
    return np.maximum(values[::-1], 0), found[:, ::-1], float(np.trace(gram))
