"""Perceptual hashes, and all pairs of them that differ in few bits, without comparing all with all.

The hash holds the signs of 64 low frequencies of the small grey image (after Zauner 2010). Mirroring an
image flips the sign of every odd horizontal frequency, so that the hash of the mirror image is the hash
with one fixed set of bits turned over. Close hashes are found by multi-index hashing (Norouzi, Punjani &
Fleet 2012): cut into bands, two hashes that differ in at most r bits agree in one band but for r / bands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from headstart.audit.small_copies import SmallCopies
from headstart.data.dataset import IntArray
from headstart.progress import Ticker

Hashes = npt.NDArray[np.uint64]

_BLOCK = 4096  # images transformed at once
_CROWD = 64  # a bucket with more than so many times its fair share is compared only in part
_PAIRS = 4_000_000  # pairs expanded at once

# the 64 lowest frequencies (vertical, horizontal), the mean left out
_FREQUENCIES = sorted(((u + v, u, v) for u in range(12) for v in range(12) if u + v), key=lambda f: (f[0], f[1]))[:64]
_VERTICAL = np.array([u for _, u, _ in _FREQUENCIES])
_HORIZONTAL = np.array([v for _, _, v in _FREQUENCIES])


def _mask(bits: npt.NDArray[np.bool_]) -> np.uint64:
    return np.uint64(sum(1 << int(place) for place in np.flatnonzero(bits)))


MIRROR = _mask(_HORIZONTAL % 2 == 1)
"""Bits that turn over when an image is mirrored left to right."""


@dataclass(frozen=True)
class HashPairs:
    """Pairs of close hashes: a [m] < b [m] unless they come from two sets, bits that differ, mirrored or not."""

    a: IntArray
    b: IntArray
    bits: IntArray
    mirrored: npt.NDArray[np.bool_]


def perceptual_hashes(grey: SmallCopies) -> Hashes:
    """Return the 64-bit hash of each grey image [n, 32, 32]."""
    weights = np.uint64(1) << np.arange(64, dtype=np.uint64)
    parts = []
    for start in range(0, len(grey), _BLOCK):
        waves = fft.dctn(grey[start : start + _BLOCK].astype(np.float32), axes=(1, 2), norm="ortho")
        bits = waves[:, _VERTICAL, _HORIZONTAL] > 0
        parts.append((bits * weights).sum(axis=1, dtype=np.uint64))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)


def radius_for(n: int) -> int:
    """Return up to how many bits hashes of n images may differ to be looked at: fewer for very many images."""
    return 7 if n <= 200_000 else 5


def close_pairs(hashes: Hashes, radius: int, ticker: Ticker | None = None) -> HashPairs:
    """Return all pairs of rows whose hashes differ in at most `radius` bits, as they are or one mirrored.

    Buckets that hold far more than their share (blank images, one object a thousand times) are compared
    with their nearest neighbours in sorted order only.
    """
    widths = (16, 16, 16, 16) if radius > 5 else (22, 21, 21)
    near = radius // len(widths)  # bits that may differ within the band on which two hashes agree best
    codes, bits, shifts = [], [], 0
    for width in widths:
        band = (hashes >> np.uint64(shifts)) & np.uint64((1 << width) - 1)
        shift = shifts
        shifts += width
        order = np.argsort(band, kind="stable")
        ordered = band[order]
        for turn in (np.uint64(0), MIRROR):
            turned = (turn >> np.uint64(shift)) & np.uint64((1 << width) - 1)
            for probe in _probes(width, near):
                for a, b in _join(ordered, order, band ^ turned ^ probe):
                    differ = np.bitwise_count(hashes[a] ^ hashes[b] ^ turn).astype(np.int64)
                    keep = differ <= radius
                    codes.append(_code(a[keep], b[keep], bool(turn)))
                    bits.append(differ[keep])
        if ticker is not None:
            ticker.advance(1)
    code = np.concatenate([np.zeros(0, dtype=np.uint64), *codes])
    unique, first = np.unique(code, return_index=True)
    differ = np.concatenate([np.zeros(0, dtype=np.int64), *bits])[first]
    a, b = (
        (unique >> np.uint64(32)).astype(np.int64),
        ((unique >> np.uint64(1)) & np.uint64(2**31 - 1)).astype(np.int64),
    )
    return HashPairs(a, b, differ, (unique & np.uint64(1)).astype(bool))


def _probes(width: int, near: int) -> list[np.uint64]:
    return [np.uint64(0), *(np.uint64(1 << place) for place in range(width))] if near else [np.uint64(0)]


def _join(ordered: Hashes, order: IntArray, wanted: Hashes) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield pairs (a, b), a < b, where the band of b is what a wants, a few million at a time."""
    start = np.searchsorted(ordered, wanted, side="left")
    count = np.searchsorted(ordered, wanted, side="right") - start
    limit = max(256, _CROWD * len(ordered) // 65536)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    crowded = count > limit
    if crowded.any():  # a window around where the row itself would stand among its equals
        rows = np.flatnonzero(crowded)
        offset = (place[rows] % (count[rows] - limit + 1)) if len(rows) else rows
        start[rows], count[rows] = start[rows] + offset, limit
    rows = np.flatnonzero(count)
    ends = np.cumsum(count[rows])
    begin = 0
    while begin < len(rows):
        done = ends[begin - 1] if begin else 0
        stop = max(begin + 1, int(np.searchsorted(ends, done + _PAIRS, side="right")))
        part = rows[begin:stop]
        sizes = count[part]
        a = np.repeat(part, sizes)
        within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        b = order[np.repeat(start[part], sizes) + within]
        keep = a < b
        yield a[keep], b[keep]
        begin = stop


def _code(a: IntArray, b: IntArray, mirrored: bool) -> Hashes:
    turned = np.uint64(1 if mirrored else 0)
    return (a.astype(np.uint64) << np.uint64(32)) | (b.astype(np.uint64) << np.uint64(1)) | turned
