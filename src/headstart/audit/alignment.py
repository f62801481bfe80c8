"""Alignment of many pairs of small images at once: one is stretched and shifted until it matches the other.

Gauss-Newton steps on the correlation of both images (Evangelidis & Psarakis 2008), so that brightness and
contrast do not matter. Stretch and shift are found for each axis; rotation and shear are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

STRETCH = 0.3  # at most, either way
SHIFT = 0.2  # at most, as a share of the side
_STEP = 0.1  # largest change of the stretch in one round
_OVERLAP = 0.5  # share of the image that must be compared
_GAIN = (0.2, 5.0)  # contrast of one image relative to the other while a step is computed
_DAMPING = 1e-3


@dataclass(frozen=True)
class Alignment:
    """How the second image of each pair matches the first.

    Args:
        warp: float32 [m, 4], stretch and shift along y, then along x; shifts as a share of the side.
        score: float32 [m], correlation where both images overlap.
    """

    warp: Floats
    score: Floats


def align(a: Floats, b: Floats, rounds: int, start: Floats | None = None) -> Alignment:
    """Align each image b [m, s, s] with its a, from no warp or from `start`; the best of all rounds counts."""
    m, side, _ = a.shape
    warp = np.zeros((m, 4), dtype=np.float32) if start is None else start.copy()
    best, score = warp.copy(), np.full(m, -1.0, dtype=np.float32)
    for number in range(rounds + 1):
        warped, inside = warp_images(b, warp)
        first, second = _centred(a, inside), _centred(warped, inside)
        now = correlation(first, second, inside)
        better = now > score
        best[better], score[better] = warp[better], now[better]
        if number < rounds:
            warp = _step(warp, warped, inside, first, second, side)
    return Alignment(best, score)


def warp_images(images: Floats, warp: Floats) -> tuple[Floats, Floats]:
    """Return the warped images [m, s, s] and which pixels [m, s, s] come from inside them, as 0 or 1."""
    side = images.shape[1]
    middle = (side - 1) / 2
    grid = np.arange(side, dtype=np.float32) - np.float32(middle)
    places = [(1 + warp[:, k : k + 1]) * grid + warp[:, k + 1 : k + 2] * side + np.float32(middle) for k in (0, 2)]
    inside = [(place >= 0) & (place <= side - 1) for place in places]
    warped = _sampled(_sampled(images, places[0]).transpose(0, 2, 1), places[1]).transpose(0, 2, 1)
    return warped, (inside[0][:, :, None] & inside[1][:, None, :]).astype(np.float32)


def correlation(first: Floats, second: Floats, inside: Floats) -> Floats:
    """Return the correlation of centred images; -1 where they overlap in less than half of their area."""
    product = np.einsum("mij,mij->m", first, second)
    size = np.sqrt(np.einsum("mij,mij->m", first, first) * np.einsum("mij,mij->m", second, second))
    enough = inside.mean(axis=(1, 2)) >= _OVERLAP
    result: Floats = np.where(enough, product / np.maximum(size, 1e-3), np.float32(-1)).astype(np.float32)
    return result


def _sampled(images: Floats, places: Floats) -> Floats:
    """Return rows of each image at fractional places, linearly interpolated; the border is repeated."""
    side = images.shape[1]
    places = np.clip(places, 0, np.float32(side - 1.001))
    low = places.astype(np.int64)
    part = (places - low).astype(np.float32)[:, :, None]
    image = np.arange(len(images))[:, None]
    lower = images[image, low]
    sampled: Floats = lower + part * (images[image, low + 1] - lower)
    return sampled


def _centred(images: Floats, inside: Floats) -> Floats:
    masked = images * inside
    mean = masked.sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1)
    centred: Floats = masked - mean[:, None, None] * inside
    return centred


def _step(warp: Floats, warped: Floats, inside: Floats, first: Floats, second: Floats, side: int) -> Floats:
    """Return the warp after one Gauss-Newton step towards a smaller difference of the centred images."""
    m = len(warp)
    grid = (np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)) / side
    slopes = np.zeros((m, 4, side, side), dtype=np.float32)
    slopes[:, 1, 1:-1] = (warped[:, 2:] - warped[:, :-2]) / 2
    slopes[:, 3, :, 1:-1] = (warped[:, :, 2:] - warped[:, :, :-2]) / 2
    slopes[:, 1] *= inside * (side / (1 + warp[:, 0]))[:, None, None]
    slopes[:, 3] *= inside * (side / (1 + warp[:, 2]))[:, None, None]
    slopes[:, 0] = slopes[:, 1] * grid[:, None]
    slopes[:, 2] = slopes[:, 3] * grid
    slopes -= (slopes.sum(axis=(2, 3)) / inside.sum(axis=(1, 2))[:, None])[:, :, None, None] * inside[:, None]
    energy = np.einsum("mij,mij->m", second, second)
    gain = np.clip(np.einsum("mij,mij->m", first, second) / np.maximum(energy, 1e-3), *_GAIN)
    error = (first / gain[:, None, None] - second).reshape(m, -1, 1)
    flat = slopes.reshape(m, 4, -1)
    normal = flat @ flat.transpose(0, 2, 1)
    diagonal = np.einsum("mkk->m", normal) / 4
    normal += (np.eye(4, dtype=np.float32) * (diagonal * _DAMPING + 1e-3)[:, None, None]).astype(np.float32)
    change = np.clip(np.linalg.solve(normal, flat @ error)[:, :, 0], -_STEP, _STEP)
    limit = np.array([STRETCH, SHIFT, STRETCH, SHIFT], dtype=np.float32)
    stepped: Floats = np.clip(warp + change, -limit, limit).astype(np.float32)
    return stepped
