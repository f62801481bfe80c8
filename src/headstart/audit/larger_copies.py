"""Pairs of large images compared on copies of 72 pixels, read from their files when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from headstart.audit.inspect import small
from headstart.audit.likeness import agreement, align_details
from headstart.audit.match import SHORT, fine_match, resized_grey
from headstart.data.dataset import IntArray
from headstart.data.decoding.decode import UndecodableError, quiet_pillow
from headstart.progress import progress
from headstart.threads import cores

Floats = npt.NDArray[np.float32]
Grey = npt.NDArray[np.uint8]
Read = Callable[[int], bytes | npt.NDArray[np.uint8]]

_BAND = (0.7, 2.5)  # pixels: details are finer than the second and coarser than the first
_ROUNDS = 4
_CHUNK = 64  # pairs aligned at once
_KEPT = 512  # copies kept in memory


@dataclass(frozen=True)
class Match:
    """A row that may show a part of another: `part` covers height × width 32nds of `whole`."""

    whole: int
    part: int
    height: int
    width: int


def match_whole(
    read: Read, a: IntArray, b: IntArray, mirrored: npt.NDArray[np.bool_], warp: Floats
) -> tuple[Floats, Floats]:
    """Return the agreement [m] of pairs of images and their warps [m, 4], from a first guess of the warps.

    An image that cannot be read agrees with none: -1.
    """
    score, warps = np.full(len(a), -1.0, dtype=np.float32), warp.copy()
    rows: list[int] = []
    squares: list[tuple[Floats, Floats]] = []

    def compare() -> None:
        first, second = (np.stack([pair[side] for pair in squares]) for side in (0, 1))
        warps[rows] = align_details(first, second, warps[rows], _ROUNDS, _BAND)
        score[rows] = agreement(first, second, warps[rows], _BAND)
        rows.clear()
        squares.clear()

    order = np.lexsort((b, a)).tolist()  # pairs of one image follow each other: few files are read twice
    with progress("comparing larger copies", len(a), "pairs") as ticker:
        for row, (x, y) in zip(order, _copies(read, [(int(a[k]), int(b[k])) for k in order]), strict=True):
            ticker.advance(1)
            if x is not None and y is not None:
                rows.append(row)
                squares.append((_square(x), _square(y[:, ::-1] if mirrored[row] else y)))
            if len(rows) == _CHUNK:
                compare()
        if rows:
            compare()
    return score, warps


def match_cutouts(read: Read, matches: Sequence[Match]) -> list[float]:
    """Return how well the details of each part agree with those of its whole; -1 if one cannot be read."""
    scores = [-1.0] * len(matches)
    order = sorted(range(len(matches)), key=lambda k: (matches[k].whole, matches[k].part))
    with progress("checking cut-outs", len(matches), "pairs") as ticker:
        pairs = _copies(read, [(matches[k].whole, matches[k].part) for k in order])
        for k, (whole, part) in zip(order, pairs, strict=True):
            ticker.advance(1)
            if whole is not None and part is not None:
                scores[k] = min(1.0, fine_match(whole, part, matches[k].height, matches[k].width))
    return scores


def _copies(read: Read, pairs: Sequence[tuple[int, int]]) -> Iterator[tuple[Grey | None, Grey | None]]:
    """Yield the larger copies of both images of each pair, read in threads; None for what cannot be read."""

    @lru_cache(maxsize=_KEPT)
    def copy(row: int) -> Grey | None:
        try:
            return small(read(row), SHORT)
        except (UndecodableError, OSError):  # reported elsewhere in the audit; such an image is not a duplicate
            return None

    with quiet_pillow(), ThreadPoolExecutor(cores(), "read") as pool:
        yield from pool.map(lambda pair: (copy(pair[0]), copy(pair[1])), pairs)


def _square(image: Grey) -> Floats:
    return resized_grey(image, SHORT, SHORT)
