"""Near duplicates: the same photograph saved again, resized, shifted, recoloured, mirrored or cut out.

Candidates come from perceptual hashes, from descriptors of small colour copies and, where features are available,
from the nearest neighbours among those. Every candidate is then aligned and compared in its details, so that
images of the same subject are not taken for the same photograph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.audit.descriptors import alike_pairs, copies_to_compare, describe
from headstart.audit.hashes import close_pairs, perceptual_hashes, radius_for
from headstart.audit.inspection_store import SIDE
from headstart.audit.larger_copies import Match, match_cutouts, match_whole
from headstart.audit.likeness import Likeness, likeness, overlap
from headstart.audit.match import rough_match, texture
from headstart.audit.neighbours import NearEmbeddings, nearest_pairs, rows_to_compare
from headstart.audit.small_copies import SmallCopies
from headstart.audit.threshold import least_score
from headstart.data.dataset import IntArray
from headstart.progress import progress

Bools = npt.NDArray[np.bool_]
Read = Callable[[int], bytes | npt.NDArray[np.uint8]]
PairTest = Callable[[IntArray, IntArray], Bools]

ALIKE = 0.89
"""Least agreement of details at which two small images, or a cut-out and its whole, are reported as one photograph."""

ALIKE_LARGE = 0.92
"""The same of large images, whose larger copies show finer details."""

SMALL = 64  # pixels of the shorter side: from here on, pairs are compared on larger copies
_ROUGHLY = 0.78  # least correlation of a cut-out on small copies
_NEARLY = 0.8  # least agreement on small copies of a pair that is compared on larger ones
_PLAIN = 1.5  # grey levels: images with fainter details cannot be compared
_CUT = 0.85  # a copy that shows less than this share of the other image is called a cut-out
_NEIGHBOURS = 24_000
_LIMITS = {"hash": 60_000, "align": 500_000, "read": 12_000, "cut-out": 3_000}  # pairs, likeliest first


@dataclass(frozen=True)
class Copies:
    """Small copies of images, one for each group of exact duplicates.

    Args:
        grey: uint8 [n, 32, 32].
        colour: uint8 [n, 16, 16, 3].
        short: int [n], the shorter side of the original in pixels.
    """

    grey: SmallCopies
    colour: SmallCopies
    short: npt.NDArray[np.integer]


@dataclass(frozen=True)
class NearPair:
    """Two images that show the same photograph.

    Args:
        a, b: rows among the images given, a < b.
        similarity: agreement of their details, at most 1.
        kind: "copy", "mirror image" or "cut-out".
    """

    a: int
    b: int
    similarity: float
    kind: str


@dataclass(frozen=True)
class _Candidates:
    a: IntArray
    b: IntArray
    mirrored: Bools

    def __getitem__(self, rows: IntArray | Bools) -> _Candidates:
        return _Candidates(self.a[rows], self.b[rows], self.mirrored[rows])


def near_duplicates(
    copies: Copies,
    read: Read,
    features: npt.NDArray[np.floating] | None = None,
    *,
    allowed: PairTest | None = None,
    different: PairTest | None = None,
    seed: int = 0,
) -> tuple[list[NearPair], list[str]]:
    """Return all near duplicates found, most alike first, and notes on what was not checked.

    Args:
        copies: of all images.
        read: returns the encoded bytes or the pixels of an image by its row.
        features: [n, d]; without them cut-outs are not found.
        allowed: says of pairs (a, b) which are of interest.
        different: says of pairs (a, b) which are of different classes; they calibrate the threshold.
        seed: of the approximate index over the features.
    """
    notes: list[str] = []
    telling = texture(copies.grey) >= _PLAIN
    if not telling.all():
        notes.append(f"{int((~telling).sum())} images without details were not searched for near duplicates")

    def wanted(a: IntArray, b: IntArray) -> Bools:
        keep = telling[a] & telling[b]
        return keep if allowed is None else keep & allowed(a, b)

    near = _neighbours(features, len(copies.grey), wanted, seed)
    candidates = _candidates(copies, telling, near, wanted, notes)
    alike = likeness(copies.grey, candidates.a, candidates.b, candidates.mirrored)
    candidates = candidates[alike.pairs]
    small = np.minimum(copies.short[candidates.a], copies.short[candidates.b]) < SMALL
    found = _small_images(candidates[small], _part(alike, small), different, notes)
    found += _large_images(candidates[~small], _part(alike, ~small), read, notes)
    found += _cutouts(copies, near, read, notes)
    return _best(found), notes


def _neighbours(features: npt.NDArray[np.floating] | None, n: int, wanted: PairTest, seed: int) -> NearEmbeddings:
    if features is None:
        none = np.zeros(0, dtype=np.int64)
        return NearEmbeddings(none, none, np.zeros(0, dtype=np.float32))
    with progress("comparing features", rows_to_compare(n), "rows") as ticker:
        near = nearest_pairs(features, min(2 * n, _NEIGHBOURS), seed=seed, ticker=ticker)
    keep = wanted(near.a, near.b)
    return NearEmbeddings(near.a[keep], near.b[keep], near.cosine[keep])


def _candidates(
    copies: Copies, telling: Bools, near: NearEmbeddings, wanted: PairTest, notes: list[str]
) -> _Candidates:
    """Return the pairs worth a comparison in detail, each once."""
    with progress("comparing hashes", 4, "bands") as ticker:
        close = close_pairs(perceptual_hashes(copies.grey), radius_for(len(copies.grey)), ticker)
    by_hash = _first(wanted(close.a, close.b), close.bits, "hash", "pairs of close hashes", notes)
    rows = np.flatnonzero(telling)
    with progress("comparing small copies", copies_to_compare(len(rows)), "rows") as ticker:
        alike = alike_pairs(describe(copies.colour, rows), ticker)
    a, b = rows[alike.a], rows[alike.b]
    by_look = _first(wanted(a, b), -alike.score, "align", "pairs of alike small copies", notes)
    found = _Candidates(
        np.concatenate([close.a[by_hash], a[by_look], near.a]),
        np.concatenate([close.b[by_hash], b[by_look], near.b]),
        np.concatenate([close.mirrored[by_hash], alike.mirrored[by_look], np.zeros(len(near.a), dtype=bool)]),
    )
    code = (found.a * len(copies.grey) + found.b) * 2 + found.mirrored
    return found[np.unique(code, return_index=True)[1]]


def _small_images(
    candidates: _Candidates, alike: Likeness, different: PairTest | None, notes: list[str]
) -> list[NearPair]:
    """Return the near duplicates among images that have no more details than their small copies show."""
    apart = np.zeros(len(candidates.a), bool) if different is None else different(candidates.a, candidates.b)
    covers = overlap(alike.warp)
    found: list[NearPair] = []
    for mirrored in (False, True):
        side = candidates.mirrored == mirrored
        least = least_score(alike.score[side], apart[side], ALIKE)
        doubtful = int((side & (alike.score >= ALIKE) & (alike.score < least)).sum())
        if doubtful:
            notes.append(_not_reported(doubtful, least, mirrored))
        for k in np.flatnonzero(side & (alike.score >= least)).tolist():
            kind = _kind(mirrored, float(covers[k]))
            found.append(NearPair(int(candidates.a[k]), int(candidates.b[k]), float(alike.score[k]), kind))
    return found


def _large_images(candidates: _Candidates, alike: Likeness, read: Read, notes: list[str]) -> list[NearPair]:
    """Return the near duplicates among larger images, compared on larger copies."""
    rows = _first(alike.score >= _NEARLY, -alike.score, "read", "candidates", notes)
    part = candidates[rows]
    scores, warps = match_whole(read, part.a, part.b, part.mirrored, alike.warp[rows])
    covers = overlap(warps)
    return [
        NearPair(int(part.a[k]), int(part.b[k]), float(scores[k]), _kind(bool(part.mirrored[k]), float(covers[k])))
        for k in np.flatnonzero(scores >= ALIKE_LARGE).tolist()
    ]


def _cutouts(copies: Copies, near: NearEmbeddings, read: Read, notes: list[str]) -> list[NearPair]:
    """Return the cut-outs among neighbours of large images."""
    large = np.minimum(copies.short[near.a], copies.short[near.b]) >= SMALL
    a, b = near.a[large], near.b[large]
    rough = rough_match(copies.grey, a, b)
    part = (rough.score >= _ROUGHLY) & (rough.height < SIDE)
    rows = _first(part, -rough.score, "cut-out", "candidates for cut-outs", notes)
    whole, piece = np.where(rough.inward, a, b)[rows], np.where(rough.inward, b, a)[rows]
    matches = [Match(*each) for each in zip(whole, piece, rough.height[rows], rough.width[rows], strict=True)]
    return [
        NearPair(min(match.whole, match.part), max(match.whole, match.part), score, "cut-out")
        for match, score in zip(matches, match_cutouts(read, matches), strict=True)
        if score >= ALIKE
    ]


def _first(
    keep: Bools, cost: npt.NDArray[np.integer] | npt.NDArray[np.floating], limit: str, what: str, notes: list[str]
) -> IntArray:
    """Return the rows to keep, the cheapest first, up to a limit; more are noted."""
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(cost[rows], kind="stable")]
    if len(rows) > _LIMITS[limit]:
        notes.append(f"{len(rows) - _LIMITS[limit]} of {len(rows)} {what} were not checked")
    return rows[: _LIMITS[limit]]


def _part(alike: Likeness, rows: Bools) -> Likeness:
    return Likeness(alike.pairs[rows], alike.score[rows], alike.warp[rows])


def _not_reported(pairs: int, least: float, mirrored: bool) -> str:
    what = f"{'mirrored ' if mirrored else ''}pair{'' if pairs == 1 else 's'}"
    return (
        f"{pairs} {what} of small images with an agreement of {ALIKE:.2f} to {least:.3f} "
        f"{'is' if pairs == 1 else 'are'} not reported: images of different classes agree as well"
    )


def _kind(mirrored: bool, covers: float) -> str:
    if mirrored:
        return "mirror image"
    return "copy" if covers >= _CUT else "cut-out"


def _best(found: list[NearPair]) -> list[NearPair]:
    """Return each pair once, most alike first."""
    best: dict[tuple[int, int], NearPair] = {}
    for pair in sorted(found, key=lambda pair: (-pair.similarity, pair.a, pair.b, pair.kind)):
        best.setdefault((pair.a, pair.b), pair)
    return list(best.values())
