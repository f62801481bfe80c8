"""How likely two images are one photograph: the agreement of their details once one is aligned with the other.

Alignment starts on copies of 16 pixels, where most pairs drop out, and ends on 32. The score is the mean of two
numbers: the correlation of all details, and the mean correlation over a grid of 4 × 4 blocks. The second keeps
apart two aeroplanes that share an outline and nothing else.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from headstart.audit.alignment import align, correlation, warp_images
from headstart.audit.small_copies import SmallCopies
from headstart.data.dataset import IntArray
from headstart.progress import progress
from headstart.threads import cores

Floats = npt.NDArray[np.float32]
Grey = npt.NDArray[np.uint8]

PROMISING = 0.84  # least correlation on copies of 16 pixels
_COARSE_BAND = (0.6, 3.0)  # pixels: details are finer than the second and coarser than the first
_BAND = (0.5, 3.0)
_ROUNDS = (6, 3)  # on 16 pixels, on 32
_BLOCKS = 4  # along each side
_FAINT = 2.0  # grey levels: a block with fainter details tells nothing
_SEEN = 0.3  # share of a block that both images must show
_CHUNK = 512  # pairs at once


@dataclass(frozen=True)
class Likeness:
    """What became of pairs of images.

    Args:
        pairs: int64 [m], which of the given pairs were promising; the others are different images.
        score: float32 [m], agreement of the details, at most 1.
        warp: float32 [m, 4], how the second image was stretched and shifted to match the first.
    """

    pairs: IntArray
    score: Floats
    warp: Floats


def likeness(grey: SmallCopies, a: IntArray, b: IntArray, mirrored: npt.NDArray[np.bool_]) -> Likeness:
    """Compare pairs of small grey images [n, 32, 32], b mirrored where it says so."""

    def compare(rows: IntArray) -> tuple[IntArray, Floats, Floats]:
        return _compare(grey[a[rows]], _turned(grey[b[rows]], mirrored[rows]), rows)

    parts: list[tuple[IntArray, Floats, Floats]] = []
    with progress("aligning small copies", len(a), "pairs") as ticker, ThreadPoolExecutor(cores()) as pool:
        chunks = [np.arange(k, min(k + _CHUNK, len(a))) for k in range(0, len(a), _CHUNK)]
        for rows, part in zip(chunks, pool.map(compare, chunks), strict=True):
            parts.append(part)
            ticker.advance(len(rows))
    if not parts:
        return Likeness(np.zeros(0, dtype=np.int64), np.zeros(0, np.float32), np.zeros((0, 4), np.float32))
    return Likeness(*(np.concatenate([part[k] for part in parts]) for k in range(3)))


def align_details(
    first: Floats, second: Floats, start: Floats | None, rounds: int, band: tuple[float, float]
) -> Floats:
    """Return the warp [m, 4] with which the details of grey images [m, s, s] match best."""
    return align(details(first, band), details(second, band), rounds, start).warp


def agreement(first: Floats, second: Floats, warp: Floats, band: tuple[float, float]) -> Floats:
    """Return how well details agree, all over and block by block, once the second images are warped."""
    warped, inside = warp_images(second, warp)
    inside = ndimage.minimum_filter(inside, (0, 3, 3), mode="nearest")  # the border of a warped image is not a detail
    u, v = (_centred(details(images, band), inside) for images in (first, warped))
    whole = correlation(u, v, inside)
    gain = np.sqrt(np.einsum("mij,mij->m", u, u) / np.maximum(np.einsum("mij,mij->m", v, v), 1e-3))
    v = v * gain[:, None, None]
    uu, vv, uv, seen = (_blocks(values) for values in (u * u, v * v, u * v, inside))
    faint = seen * _FAINT**2
    telling = (np.maximum(uu, vv) > faint) & (seen > _SEEN * (first.shape[1] / _BLOCKS) ** 2)
    each = uv / np.sqrt(np.maximum((uu + faint) * (vv + faint), 1e-6))
    mean = np.where(telling, each, 0).sum(axis=1) / np.maximum(telling.sum(axis=1), 1)
    score: Floats = ((whole + mean) / 2).astype(np.float32)
    return score


def details(images: Floats, band: tuple[float, float]) -> Floats:
    """Return grey images [m, s, s] less what is finer than the band (noise) or coarser (light)."""
    smooth = _blurred(images, band[0])
    result: Floats = smooth - _blurred(smooth, band[1])
    return result


def overlap(warp: Floats) -> Floats:
    """Return the share of the first image that the warped second image covers, roughly."""
    covered = np.ones(len(warp), dtype=np.float32)
    for axis in (0, 2):
        half = 0.5 / (1 + warp[:, axis])
        middle = -warp[:, axis + 1] / (1 + warp[:, axis])
        covered *= np.clip(np.minimum(middle + half, 0.5) - np.maximum(middle - half, -0.5), 0, 1)
    return covered


def _compare(first: Grey, second: Grey, rows: IntArray) -> tuple[IntArray, Floats, Floats]:
    coarse = align(details(_halved(first), _COARSE_BAND), details(_halved(second), _COARSE_BAND), _ROUNDS[0])
    keep = np.flatnonzero(coarse.score >= PROMISING)
    if not len(keep):
        return rows[keep], np.zeros(0, np.float32), np.zeros((0, 4), np.float32)
    x, y = first[keep].astype(np.float32), second[keep].astype(np.float32)
    warp = align_details(x, y, coarse.warp[keep], _ROUNDS[1], _BAND)
    return rows[keep], agreement(x, y, warp, _BAND), warp


def _turned(images: Grey, mirrored: npt.NDArray[np.bool_]) -> Grey:
    images[mirrored] = images[mirrored][:, :, ::-1]
    return images


def _halved(images: Grey) -> Floats:
    n, side, _ = images.shape
    halved: Floats = images.reshape(n, side // 2, 2, side // 2, 2).mean(axis=(2, 4), dtype=np.float32)
    return halved


def _blurred(images: Floats, width: float) -> Floats:
    blurred: Floats = ndimage.gaussian_filter(images, (0.0, width, width), mode="nearest")
    return blurred


def _centred(values: Floats, inside: Floats) -> Floats:
    values = values * inside
    mean = values.sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1)
    centred: Floats = values - mean[:, None, None] * inside
    return centred


def _blocks(values: Floats) -> Floats:
    """Return the sums over blocks, [m, 16]."""
    m, side, _ = values.shape
    each = side // _BLOCKS
    sums: Floats = values.reshape(m, _BLOCKS, each, _BLOCKS, each).sum(axis=(2, 4)).reshape(m, -1)
    return sums
