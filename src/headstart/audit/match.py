"""Are two images one photograph? Mirrored, cut out or saved again, their details must lie on one another.

First roughly on 32 × 32 pixels, for many pairs at once: is one image, shrunk, found somewhere in the other?
Then, for the few that pass, on larger copies and on details only (a blurred copy is taken away first), so
that two different aeroplanes on the same pale sky do not pass. Both scores are normalised
cross-correlations (Lewis 1995), 1 for equal pictures.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from headstart.audit.inspection_store import SIDE
from headstart.audit.small_copies import SmallCopies
from headstart.data.dataset import IntArray
from headstart.progress import progress
from headstart.threads import cores

Floats = npt.NDArray[np.float32]
Grey = npt.NDArray[np.uint8]

SHORT = 72  # shorter side of the larger copies
_SIZES = (18, 20, 22, 24, 26, 28, 30)  # of a cut-out shrunk into 32 × 32
_SHAPES = [(h, w) for h in _SIZES for w in _SIZES if abs(h - w) <= 2]
_BLOCK = 256
_CONTRAST = 2.0  # grey levels: flatter windows tell nothing
_BLUR = 3.0  # pixels of the larger copies
_RIM = 6  # pixels of the larger copies
_FAINT = 2.0  # grey levels: fainter details tell nothing
_LEVELS = 6.0  # grey levels by which plain pictures may differ on average
_LARGE = 4096  # small images looked at together
_STEPS = {0.05: 0.4, 0.025: 0.6, 0.0125: 0.7}  # by which the size of a cut-out is varied, and the score worth it
_AROUND = [(up, across) for up in (-1, 0, 1) for across in (-1, 0, 1) if up or across]
_HOPELESS = 0.4  # not worth a closer look


@dataclass(frozen=True)
class Rough:
    """For each pair: the score, the size (h, w of 32) at which b is found in a, or a in b where `inward` is False."""

    score: Floats
    height: IntArray
    width: IntArray
    inward: npt.NDArray[np.bool_]


def rough_match(grey: SmallCopies, a: IntArray, b: IntArray) -> Rough:
    """Look for the small grey image [n, 32, 32] of each b [m] within that of its a, and the other way round."""

    def block(start: int) -> Rough:
        return _rough_block(grey[a[start : start + _BLOCK]], grey[b[start : start + _BLOCK]])

    parts: list[Rough] = []
    with progress("comparing small copies", len(a), "pairs") as ticker, ThreadPoolExecutor(cores()) as pool:
        for part in pool.map(block, range(0, len(a), _BLOCK)):
            parts.append(part)
            ticker.advance(len(part.score))
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Rough(np.zeros(0, dtype=np.float32), none, none, none.astype(bool))
    return Rough(
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.height for part in parts]),
        np.concatenate([part.width for part in parts]),
        np.concatenate([part.inward for part in parts]),
    )


def texture(grey: SmallCopies) -> Floats:
    """Return how much the details of each small grey image vary, in grey levels: next to nothing for a plain sky."""
    parts = [_fine_lines(grey[k : k + _LARGE]).std(axis=(1, 2)) for k in range(0, len(grey), _LARGE)]
    return np.concatenate([np.zeros(0, dtype=np.float32), *parts])


def fine_match(a: Grey, b: Grey, height: float, width: float) -> float:
    """Return how well the details of b lie on those of a part of a that is height × width 32nds of it.

    Where details cover less than half of the picture (a rim, one edge in front of a plain sky), the
    grey levels must agree as well, or the result is 0.

    Args:
        a, b: whole grey images, shorter side 72.
        height, width: 32, 32 where b shows all of a.
    """
    inside = _Inside(a)
    shape = (height * a.shape[0] / SIDE, width * a.shape[1] / SIDE)
    best = inside.place(b, shape)
    for step, worth in _STEPS.items() if height < SIDE or width < SIDE else ():
        if best.score < worth:
            break
        around = (inside.place(b, (shape[0] * (1 + u * step), shape[1] * (1 + v * step))) for u, v in _AROUND)
        best = max(best, *around, key=lambda place: place.score)
        shape = best.shape
    return best.score if best.score < _HOPELESS or inside.tells(b, best) else 0.0


@dataclass(frozen=True)
class _Place:
    """The place and size of one image inside another, and how well it fits there."""

    score: float
    shape: tuple[float, float]
    top: int = 0
    left: int = 0


class _Inside:
    """An image to look in, with what each look needs of it."""

    def __init__(self, image: Grey) -> None:
        self.levels, details = _levels_and_details(image)
        self.shape: tuple[int, int] = details.shape
        self.waves = fft.rfft2(details)
        self.sums, self.squares = _integral(details[None]), _integral(details[None] ** 2)

    def place(self, image: Grey, shape: tuple[float, float]) -> _Place:
        """Return the best place of `image` at this size, in pixels."""
        (height, width), (h, w) = self.shape, (round(side) for side in shape)
        if not (8 <= h - 2 * _RIM <= height and 8 <= w - 2 * _RIM <= width):
            return _Place(-1.0, shape)
        _, part = _levels_and_details(resized_grey(image, h, w))
        h, w = part.shape
        part = part - part.mean()
        padded = np.zeros(self.shape, dtype=np.float32)
        padded[:h, :w] = part
        met = fft.irfft2(self.waves * np.conj(fft.rfft2(padded)), self.shape)[: height - h + 1, : width - w + 1]
        spread = _windows(self.squares, h, w)[0] - _windows(self.sums, h, w)[0] ** 2 / (h * w)
        least = h * w * _FAINT**2
        scores = met / np.sqrt(np.maximum(spread, least) * max(float((part**2).sum()), least))
        y, x = np.unravel_index(int(scores.argmax()), scores.shape)
        return _Place(float(scores[y, x]), shape, int(y), int(x))

    def tells(self, image: Grey, place: _Place) -> bool:
        """Return whether agreement there means anything: details all over, or equal grey levels."""
        levels, part = _levels_and_details(resized_grey(image, *(round(side) for side in place.shape)))
        here = self.levels[place.top : place.top + part.shape[0], place.left : place.left + part.shape[1]]
        return _widespread(part) or float(np.abs(here - levels).mean()) <= _LEVELS


def _rough_block(a: Grey, b: Grey) -> Rough:
    x, y = _float(a), _float(b)
    (into, shape_in), (out, shape_out) = _found_within(x, y), _found_within(y, x)
    whole = _whole(x, y)
    inward = into >= out
    shapes = np.array([*_SHAPES, (SIDE, SIDE)], dtype=np.int64)
    shape = np.where(inward, shape_in, shape_out)
    score = np.maximum(into, out)
    shape[whole >= score] = len(_SHAPES)
    return Rough(np.maximum(score, whole), shapes[shape, 0], shapes[shape, 1], inward | (whole >= score))


def _float(grey: Grey) -> Floats:
    return grey.astype(np.float32)


def _whole(a: Floats, b: Floats) -> Floats:
    x, y = (v - v.mean(axis=(1, 2), keepdims=True) for v in (a, b))
    scale = np.sqrt((x**2).sum(axis=(1, 2)) * (y**2).sum(axis=(1, 2)))
    score: Floats = (x * y).sum(axis=(1, 2)) / np.maximum(scale, a[0].size * _CONTRAST**2)
    return score


def _found_within(a: Floats, b: Floats) -> tuple[Floats, IntArray]:
    """Return the best score of b, resized to each of the shapes, at any place in a; and which shape."""
    a = a - a.mean(axis=(1, 2), keepdims=True)
    waves = fft.rfft2(a)
    sums, squares = _integral(a), _integral(a**2)
    best, which = np.full(len(a), -1.0, dtype=np.float32), np.zeros(len(a), dtype=np.int64)
    for place, (h, w) in enumerate(_SHAPES):
        part = _shrink(h) @ b @ _shrink(w).T
        part -= part.mean(axis=(1, 2), keepdims=True)
        padded = np.zeros_like(a)
        padded[:, :h, :w] = part
        met = fft.irfft2(waves * np.conj(fft.rfft2(padded)), (SIDE, SIDE))[:, : SIDE - h + 1, : SIDE - w + 1]
        least = h * w * _CONTRAST**2
        spread = np.maximum(_windows(squares, h, w) - _windows(sums, h, w) ** 2 / (h * w), least)
        own = np.maximum((part**2).sum(axis=(1, 2)), least)
        score = (met / np.sqrt(spread * own[:, None, None])).reshape(len(a), -1).max(axis=1)
        which[score > best] = place
        best = np.maximum(best, score).astype(np.float32)
    return best, which


def _integral(values: Floats) -> npt.NDArray[np.float64]:
    total = np.zeros((len(values), values.shape[1] + 1, values.shape[2] + 1))
    total[:, 1:, 1:] = values.astype(np.float64).cumsum(axis=1).cumsum(axis=2)
    return total


def _windows(integral: npt.NDArray[np.float64], h: int, w: int) -> npt.NDArray[np.float64]:
    return integral[:, h:, w:] - integral[:, :-h, w:] - integral[:, h:, :-w] + integral[:, :-h, :-w]


@lru_cache(maxsize=512)
def _shrink(to: int, size: int = SIDE) -> Floats:
    """Return the matrix [to, size] that averages (or, upwards, interpolates) along one axis."""
    edges = np.arange(to + 1) * size / to
    low, high = edges[:-1, None], edges[1:, None]
    if to > size:
        centre = np.clip((low + high) / 2, 0.5, size - 0.5)
        weight = np.maximum(0.0, 1.0 - np.abs(centre - np.arange(size) - 0.5))
    else:
        weight = np.clip(np.minimum(high, np.arange(size) + 1) - np.maximum(low, np.arange(size)), 0, None)
    matrix: Floats = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def resized_grey(image: npt.NDArray[np.generic], height: int, width: int) -> Floats:
    """Return a grey image [h, w] averaged (or, upwards, interpolated) to another size."""
    result: Floats = _shrink(height, image.shape[0]) @ image.astype(np.float32) @ _shrink(width, image.shape[1]).T
    return result


def _levels_and_details(image: npt.NDArray[np.generic]) -> tuple[Floats, Floats]:
    """Return the image, and the image less a blurred copy, without the rim, where the blur knows only one side."""
    values = image.astype(np.float32)
    inner = (slice(_RIM, -_RIM), slice(_RIM, -_RIM))
    return values[inner], (values - ndimage.gaussian_filter(values, _BLUR, mode="nearest"))[inner]


def _widespread(details: Floats) -> bool:
    """Return whether there are details in at least half of the picture."""
    rows, columns = (np.array_split(np.arange(side), 4) for side in details.shape)
    blocks = [details[r[0] : r[-1] + 1, c[0] : c[-1] + 1].std() for r in rows for c in columns]
    return bool(np.median(blocks) >= _FAINT)


def _fine_lines(grey: Grey) -> Floats:
    """Return the same of small grey images [m, 32, 32]."""
    values = grey.astype(np.float32)
    blurred = ndimage.gaussian_filter(values, (0.0, _BLUR / 2, _BLUR / 2), mode="nearest")
    lines: Floats = (values - blurred)[:, 3:-3, 3:-3]
    return lines
