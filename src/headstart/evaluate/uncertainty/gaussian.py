"""A normal distribution for each class, with one covariance for all, and the directions in which rows vary."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from scipy import linalg
from scipy.sparse import csr_matrix

_FLOOR = 1e-12


def gaussian(
    unit: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    centre: Float[np.ndarray, " d"],
    weights: Float[np.ndarray, " n"],
    products: Float[np.ndarray, "d d"] | None = None,
) -> tuple[Float[np.ndarray, "d d"], Float[np.ndarray, "c d"]]:
    """Return what whitens the embeddings within classes, and the whitened means of the classes.

    Args:
        weights: of the images in the covariance, the same for all of a class.
        products: (weights[:, None] * unit).T @ unit, where it is known already.
    """
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = class_sums(codes, unit, len(counts)) / counts[:, None]
    within = None
    if products is not None:
        masses = np.bincount(codes, weights)
        within = products - (masses[:, None] * means).T @ means
    white = whitening(np.sqrt(weights)[:, None] * (unit - means[codes]), within)
    return white, (means - centre) @ white


def class_sums(codes: Int[np.ndarray, " n"], rows: Float[np.ndarray, "n d"], classes: int) -> Float[np.ndarray, "c d"]:
    """Return the sum of the rows of each class, whose codes count from 0; zeros for a class without any."""
    return np.asarray(csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))), (classes, len(codes))) @ rows)


def class_weights(labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return weights of images with which each class counts the same; their mean is one."""
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray((len(labels) / len(counts) / counts)[codes])


def weighted_products(rows: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, "d d"]:
    """Return (weights[:, None] * rows).T @ rows."""
    scaled = np.sqrt(weights)[:, None] * rows
    return np.asarray(scaled.T @ scaled)


def whitening(
    centred: Float[np.ndarray, "n d"], products: Float[np.ndarray, "d d"] | None = None
) -> Float[np.ndarray, "d d"]:
    """Return W, with W @ W.T the inverse of the Ledoit–Wolf covariance (2004) of rows with mean zero.

    From the inner products of the columns, W is triangular; from those of the rows, where these are fewer, symmetric.

    Args:
        products: centred.T @ centred, where it is known already; used only if there are as many rows as columns.
    """
    n, d = centred.shape
    squares = (centred**2).sum(1)
    mean = float(squares.sum()) / (n * d)
    if n < d:
        values, directions = spectrum(centred)
        size = float((values**2).sum()) / n**2  # the squared norm of the empirical covariance
    else:
        inner = centred.T @ centred if products is None else products
        size = float((inner**2).sum()) / n**2
    distance = size / d - mean**2
    error = (float((squares**2).sum()) / n - size) / (d * n)
    shrinkage = min(error, distance) / distance if distance > 0 else 1.0
    least = shrinkage * mean + max(mean * 1e-6, _FLOOR)
    if n < d:
        scales, rest = 1 / np.sqrt((1 - shrinkage) * values / n + least), 1 / math.sqrt(least)
        return np.asarray((directions * (scales - rest)) @ directions.T + rest * np.eye(d))
    covariance = (1 - shrinkage) / n * inner
    covariance[np.diag_indices(d)] += least
    inverse, _ = linalg.lapack.dtrtri(linalg.cholesky(covariance, lower=True), lower=1)
    return np.asarray(inverse.T)


def spectrum(rows: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, "d r"]]:
    """Return the eigenvalues of rows' @ rows that are not zero, the largest first, and their directions [d, r]."""
    n, d = rows.shape
    values, vectors = linalg.eigh(rows @ rows.T if n < d else rows.T @ rows)
    kept = np.flatnonzero(values > max(float(values[-1]) * 1e-10, _FLOOR))[::-1]
    values, vectors = values[kept], vectors[:, kept]
    return values, vectors if n >= d else rows.T @ vectors / np.sqrt(values)
