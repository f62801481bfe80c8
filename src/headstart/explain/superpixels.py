"""Superpixels: an image divided into compact pieces of one colour, by SLIC (Achanta et al. 2012)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8

from headstart.errors import SpecError

_SMALL = 0.25  # a piece under this share of the usual size is joined to a neighbour


def slic(
    image: UInt8[np.ndarray, "h w 3"], pieces: int = 60, *, compactness: float = 10.0, rounds: int = 10
) -> Int[np.ndarray, "h w"]:
    """Cut an image into about `pieces` connected pieces, numbered 0, 1, … from the top left.

    Every pixel belongs to the nearest of the nine centres around it, by colour (CIE Lab) and place; centres
    move to the mean of their pixels.

    Args:
        image: RGB.
        pieces: target number.
        compactness: weight of place against colour; larger gives squarer pieces.
        rounds: times that centres move.

    Raises:
        SpecError: fewer than one piece, or a compactness that is not positive.
    """
    height, width = image.shape[:2]
    if not 1 <= pieces <= height * width or compactness <= 0:
        raise SpecError(
            f"superpixels: {pieces} pieces of {height} × {width} pixels at compactness {compactness};"
            " give 1 … as many pieces as pixels, and a compactness above 0"
        )
    side = np.sqrt(height * width / pieces)
    down, across = max(1, round(height / side)), max(1, round(width / side))
    points = _points(image, side / compactness)
    row, column = np.arange(height) * down // height, np.arange(width) * across // width
    labels = row[:, None] * across + column[None, :]
    home_row, home_column = np.broadcast_to(row[:, None], labels.shape), np.broadcast_to(column, labels.shape)
    for _ in range(rounds):
        centres = _means(points, labels, down * across)
        labels = _nearest(points, centres, home_row, home_column, down, across)
    return connected(labels, int(_SMALL * side * side))


def squares(height: int, width: int, side: int) -> Int[np.ndarray, "h w"]:
    """Return square pieces of `side` pixels, numbered 0, 1, … from the top left, whatever the image shows."""
    row, column = np.arange(height) // side, np.arange(width) // side
    return np.asarray(row[:, None] * (column[-1] + 1) + column[None, :])


def connected(labels: Int[np.ndarray, "h w"], least: int) -> Int[np.ndarray, "h w"]:
    """Return the labels' connected parts, numbered from the top left; parts under `least` pixels join a neighbour.

    A part joins the neighbour with which it shares the longest border, the smallest part first.
    """
    parts = _parts(labels)
    while True:
        sizes = np.bincount(parts.ravel())
        small = np.flatnonzero(sizes < least)
        if not len(small) or len(sizes) == 1:
            return _renumbered(parts)
        a, b = _borders(parts)
        borders = np.zeros((len(sizes), len(sizes)), dtype=np.int64)
        np.add.at(borders, (np.concatenate([a, b]), np.concatenate([b, a])), 1)
        target = np.arange(len(sizes))
        settled = np.zeros(len(sizes), dtype=bool)
        for part in small[np.argsort(sizes[small], kind="stable")]:
            neighbour = int(borders[part].argmax())
            if not settled[part] and not settled[neighbour]:
                target[part] = neighbour
                settled[[part, neighbour]] = True
        parts = np.unique(target[parts], return_inverse=True)[1].reshape(parts.shape)


def lab(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Return an sRGB image in CIE Lab (D65): distances there are roughly perceptual."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)[image]
    to_xyz = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
    white = np.array([0.95047, 1.0, 1.08883])
    xyz = linear @ to_xyz.T / white
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def _points(image: np.ndarray, stretch: float) -> Float[np.ndarray, "h w 5"]:
    """Return colour and place of each pixel, colours stretched so that one distance weighs both."""
    height, width = image.shape[:2]
    points = np.empty((height, width, 5))
    points[..., :3] = lab(image) * stretch
    points[..., 3], points[..., 4] = np.arange(height)[:, None], np.arange(width)[None, :]
    return points


def _means(points: np.ndarray, labels: np.ndarray, pieces: int) -> Float[np.ndarray, "k 5"]:
    flat = labels.ravel()
    counts = np.bincount(flat, minlength=pieces)
    sums = np.stack([np.bincount(flat, points[..., i].ravel(), pieces) for i in range(5)], axis=1)
    means = sums / np.maximum(counts, 1)[:, None]
    means[counts == 0] = np.inf  # a centre without pixels draws no others
    return means


def _nearest(
    points: np.ndarray, centres: np.ndarray, row: np.ndarray, column: np.ndarray, down: int, across: int
) -> Int[np.ndarray, "h w"]:
    best = np.full(row.shape, np.inf)
    labels = row * across + column
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            y, x = row + i, column + j
            inside = (y >= 0) & (y < down) & (x >= 0) & (x < across)
            candidate = np.where(inside, y * across + x, 0)
            distance = np.where(inside, ((points - centres[candidate]) ** 2).sum(-1), np.inf)
            closer = distance < best
            best, labels = np.where(closer, distance, best), np.where(closer, candidate, labels)
    return np.asarray(labels)


def _borders(parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the two parts on each side of every border between neighbouring pixels."""
    left, right = parts[:, :-1].ravel(), parts[:, 1:].ravel()
    upper, lower = parts[:-1].ravel(), parts[1:].ravel()
    a, b = np.concatenate([left, upper]), np.concatenate([right, lower])
    return a[a != b], b[a != b]


def _parts(labels: np.ndarray) -> np.ndarray:
    """Return the connected parts of pixels with one label."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pixel = np.arange(labels.size).reshape(labels.shape)
    across, down = labels[:, :-1] == labels[:, 1:], labels[:-1] == labels[1:]
    a = np.concatenate([pixel[:, :-1][across], pixel[:-1][down]])
    b = np.concatenate([pixel[:, 1:][across], pixel[1:][down]])
    graph = coo_matrix((np.ones(len(a), dtype=np.int8), (a, b)), shape=(labels.size, labels.size))
    return np.asarray(connected_components(graph, directed=False)[1]).reshape(labels.shape)


def _renumbered(parts: np.ndarray) -> Int[np.ndarray, "h w"]:
    _, first, place = np.unique(parts, return_index=True, return_inverse=True)
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return np.asarray(order[place].reshape(parts.shape))
