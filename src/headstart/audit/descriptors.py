"""Descriptors of small colour copies, and all pairs of images whose descriptors are alike.

A descriptor is the image on a grid of 8 × 8, in one grey and two colour channels, each with its local mean
taken away and divided by its local contrast. Brightness, contrast and a slow change of colour leave it
nearly as it was, and a shift or stretch by a tenth changes it little. Mirroring the image mirrors the grid.
All pairs are compared by blocks of matrix products; above 100,000 images
neighbours come from an inverted file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from headstart.audit.neighbours import nearest_pairs, rows_to_compare
from headstart.audit.small_copies import SmallCopies
from headstart.data.dataset import IntArray
from headstart.progress import Ticker

Floats = npt.NDArray[np.float32]

GRID = 8
EXACT_UP_TO = 100_000  # images that are compared all with all
ALIKE_GREY = 0.82  # cosine of the grey channel from which a pair is a candidate
ALIKE_COLOUR = 0.72  # cosine of all channels from which a pair is a candidate
EACH = 10  # a pair is kept if it is among the best so many of either image
_FINE, _COARSE = 1.0, 4.0  # pixels of the copies: what is finer is noise, what is coarser is light
_NOISE = 4.0  # levels: contrast below this is not amplified
_CHUNK = 4096
_BLOCK = 512


@dataclass(frozen=True)
class AlikePairs:
    """Pairs a < b of alike images, `mirrored` where b must be mirrored; `score` is 0 to 1, 1 for equal ones."""

    a: IntArray
    b: IntArray
    mirrored: npt.NDArray[np.bool_]
    score: Floats


def describe(colour: SmallCopies, rows: IntArray | None = None) -> Floats:
    """Return the descriptors float32 [m, 8, 8, 3] of small colour copies [n, 16, 16, 3], or of some rows of them.

    The last axis is grey and two colour channels.
    """
    found = np.empty((len(colour) if rows is None else len(rows), GRID, GRID, 3), dtype=np.float32)
    for start in range(0, len(found), _CHUNK):
        some = slice(start, start + _CHUNK)
        pixels = colour[some if rows is None else rows[some]].astype(np.float32)
        red, green, blue = (pixels[..., channel] for channel in range(3))
        channels = np.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue], axis=-1)
        smooth = _blurred(channels, _FINE)
        flat = smooth - _blurred(smooth, _COARSE)
        even = flat / (np.sqrt(_blurred(flat**2, _COARSE)) + np.float32(_NOISE))
        grid = even.reshape(len(even), GRID, 2, GRID, 2, 3).mean(axis=(2, 4))
        found[some] = grid - grid.mean(axis=(1, 2), keepdims=True)
    return found


def alike_pairs(descriptors: Floats, ticker: Ticker | None = None, *, exact_up_to: int = EXACT_UP_TO) -> AlikePairs:
    """Return all pairs of images that are alike in grey or in colour, as they are or one mirrored.

    Args:
        descriptors: of all images, from `describe`.
        ticker: advanced by the rows done, up to `copies_to_compare`.
        exact_up_to: of more images, only neighbours that an inverted file finds are compared.
    """
    if len(descriptors) > exact_up_to:
        return _approximate(descriptors, ticker)
    found = [_exact(descriptors, mirrored, ticker) for mirrored in (False, True)]
    return AlikePairs(
        np.concatenate([a for a, _, _ in found]),
        np.concatenate([b for _, b, _ in found]),
        np.repeat([False, True], [len(a) for a, _, _ in found]),
        np.concatenate([score for _, _, score in found]),
    )


def copies_to_compare(images: int, *, exact_up_to: int = EXACT_UP_TO) -> int:
    """Return by how much `alike_pairs` advances its ticker for so many images, each with its mirror image."""
    return 2 * images if images <= exact_up_to else rows_to_compare(2 * images)


def _exact(descriptors: Floats, mirrored: bool, ticker: Ticker | None) -> tuple[IntArray, IntArray, Floats]:
    other = descriptors[:, :, ::-1] if mirrored else descriptors
    views = [
        (_unit(part), _unit(turned)) for part, turned in ((descriptors[..., :1], other[..., :1]), (descriptors, other))
    ]
    a, b = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    scores = [np.zeros(0, dtype=np.float32)]
    for start in range(0, len(descriptors), _BLOCK):
        grey, colour = (left[start : start + _BLOCK] @ right[start:].T for left, right in views)
        row, column = np.nonzero((grey > ALIKE_GREY) | (colour > ALIKE_COLOUR))
        forward = row < column
        row, column = row[forward], column[forward]
        a.append(row + start)
        b.append(column + start)
        scores.append(np.maximum(_excess(grey[row, column], ALIKE_GREY), _excess(colour[row, column], ALIKE_COLOUR)))
        if ticker is not None:
            ticker.advance(len(grey))
    first, second, score = np.concatenate(a), np.concatenate(b), np.concatenate(scores)
    best = _best_of_each(first, second, score)
    return first[best], second[best], score[best]


def _approximate(descriptors: Floats, ticker: Ticker | None) -> AlikePairs:
    """Return the pairs alike in colour that an inverted file over all images and their mirror images finds."""
    n = len(descriptors)
    found = nearest_pairs(_BothWays(descriptors), EACH * n, ticker=ticker)
    mirrored = found.b >= n
    excess = _excess(found.cosine, ALIKE_COLOUR)
    keep = (found.a < np.where(mirrored, found.b - n, n)) & (excess > 0)
    return AlikePairs(found.a[keep], found.b[keep] % n, mirrored[keep], excess[keep])


class _BothWays:
    """The unit descriptors of all images, then of their mirror images; computed for the rows that are taken."""

    def __init__(self, descriptors: Floats) -> None:
        self.descriptors = descriptors
        self.shape = (2 * len(descriptors), descriptors[0].size)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | IntArray) -> Floats:
        """Return float32 [m, d]."""
        places = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        chosen = self.descriptors[places % len(self.descriptors)]
        turned = places >= len(self.descriptors)
        chosen[turned] = chosen[turned][:, :, ::-1]
        return _unit(chosen)


def _excess(cosine: Floats, least: float) -> Floats:
    """Return by how much of what is left up to 1 each cosine is above `least`."""
    excess: Floats = (cosine - np.float32(least)) / np.float32(1 - least)
    return excess


def _best_of_each(a: IntArray, b: IntArray, score: Floats) -> IntArray:
    """Return which pairs are among the best `EACH` of one of their images."""
    images, scores = np.concatenate([a, b]), np.concatenate([score, score])
    order = np.lexsort((-scores, images))
    ordered = images[order]
    rank = np.arange(len(order)) - np.searchsorted(ordered, ordered, side="left")
    chosen: IntArray = np.unique(order[rank < EACH] % max(1, len(a)))
    return chosen


def _blurred(values: Floats, width: float) -> Floats:
    blurred: Floats = ndimage.gaussian_filter(values, (0.0, width, width, 0.0), mode="nearest")
    return blurred


def _unit(grids: Floats) -> Floats:
    flat = grids.reshape(len(grids), math.prod(grids.shape[1:]))
    length = np.sqrt(np.einsum("nd,nd->n", flat, flat))
    unit: Floats = flat / np.maximum(length, 1e-6)[:, None]
    return unit
