"""A normal distribution for each class, with one covariance for all, and the directions in which rows vary."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from scipy import linalg

_FLOOR = 1e-12


def gaussian(
    unit: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], centre: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, "d d"], Float[np.ndarray, "c d"]]:
    """Return what whitens the embeddings within classes, and the whitened means of the classes."""
    _, codes = np.unique(labels, return_inverse=True)
    sums = np.zeros((codes.max() + 1, unit.shape[1]))
    np.add.at(sums, codes, unit)
    means = sums / np.bincount(codes)[:, None]
    white = whitening(unit - means[codes])
    return white, (means - centre) @ white


def whitening(centred: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d d"]:
    """Return the inverse square root of the Ledoit–Wolf covariance (2004) of rows with mean zero.

    From the inner products of the rows or of the columns, whichever are fewer.
    """
    n, d = centred.shape
    values, directions = spectrum(centred)
    squares = (centred**2).sum(1)
    mean = float(squares.sum()) / (n * d)
    size = float((values**2).sum()) / n**2  # the squared norm of the empirical covariance
    distance = size / d - mean**2
    error = (float((squares**2).sum()) / n - size) / (d * n)
    shrinkage = min(error, distance) / distance if distance > 0 else 1.0
    floor = max(mean * 1e-6, _FLOOR)
    scales = 1 / np.sqrt((1 - shrinkage) * values / n + shrinkage * mean + floor)
    rest = 1 / math.sqrt(shrinkage * mean + floor)
    return np.asarray((directions * (scales - rest)) @ directions.T + rest * np.eye(d))


def spectrum(rows: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, "d r"]]:
    """Return the eigenvalues of rows' @ rows that are not zero, the largest first, and their directions [d, r]."""
    n, d = rows.shape
    values, vectors = linalg.eigh(rows @ rows.T if n < d else rows.T @ rows)
    kept = np.flatnonzero(values > max(float(values[-1]) * 1e-10, _FLOOR))[::-1]
    values, vectors = values[kept], vectors[:, kept]
    return values, vectors if n >= d else rows.T @ vectors / np.sqrt(values)
