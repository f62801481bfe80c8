"""Principal components, the same on every call: their signs are fixed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
_BLOCK = 8192  # rows of one product


def unit_rows(vectors: npt.NDArray[np.float32], rows: slice | npt.NDArray[np.int64]) -> Floats:
    """Return some rows of vectors [n, d] at unit length; a row of zeros remains one."""
    some = np.asarray(vectors[rows], dtype=np.float32)
    return np.asarray(some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def principal_components(vectors: npt.NDArray[np.float32], count: int) -> tuple[Floats, npt.NDArray[np.float64]]:
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
    gram = np.zeros((d, d))
    for start in starts:
        block = unit_rows(vectors, slice(start, start + _BLOCK)) - middle
        gram += block.T @ block
    values, directions = np.linalg.eigh(gram)
    directions = directions[:, ::-1][:, :count]
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    turn = np.zeros((d, count), dtype=np.float32)
    turn[:, : directions.shape[1]] = directions * signs
    scores = np.empty((n, count), dtype=np.float32)
    for start in starts:
        scores[start : start + _BLOCK] = (unit_rows(vectors, slice(start, start + _BLOCK)) - middle) @ turn
    spread = np.zeros(count)
    spread[: min(count, d)] = np.maximum(values[::-1][:count], 0)
    total = float(np.maximum(values, 0).sum())
    return scores, spread / total if total > 1e-9 * n else np.zeros(count)
