"""Near duplicates: the same photograph saved again, resized, mirrored or cut out.

Candidates come from perceptual hashes and, where features are at hand, from the nearest neighbours among
them; then every candidate is checked on its pixels, so that what is reported is alike in its details and
not only in its subject.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from headstart.audit.hashes import close_pairs, perceptual_hashes, radius_for
from headstart.audit.inspect import SIDE, small
from headstart.audit.match import SHORT, fine_match, rough_match, texture, whole_match
from headstart.audit.neighbours import nearest_pairs
from headstart.data.dataset import IntArray
from headstart.data.decoding.decode import UndecodableError, quiet_pillow
from headstart.progress import progress
from headstart.threads import cores

Grey = npt.NDArray[np.uint8]
Read = Callable[[int], bytes | npt.NDArray[np.uint8]]
Wanted = Callable[[IntArray, IntArray], IntArray]

ALIKE = 0.85
"""Least correlation of details at which two images are reported as one photograph."""

_ROUGHLY = 0.78  # of cut-outs, on small copies
_ROUGHLY_WHOLE = 0.6  # of details of whole images, on small copies
_PLAIN = 1.5  # grey levels: images with fainter details than this cannot be told apart
_HASH_PAIRS = 60_000  # checked at most, closest first
_NEIGHBOURS = 24_000
_FINE = {"copy": 6_000, "mirror image": 6_000, "cut-out": 3_000}  # candidates checked, likeliest first
_KEPT = 512  # larger copies kept in memory


@dataclass(frozen=True)
class NearPair:
    """Two images that show the same photograph.

    Args:
        a, b: places among the images given, a < b.
        similarity: correlation of their details, at most 1.
        kind: "copy", "mirror image" or "cut-out".
    """

    a: int
    b: int
    similarity: float
    kind: str


@dataclass(frozen=True)
class _Candidate:
    a: int
    b: int
    rough: float
    mirrored: bool
    height: int
    width: int

    @property
    def kind(self) -> str:
        if self.mirrored:
            return "mirror image"
        return "copy" if self.height == self.width == SIDE else "cut-out"


def near_duplicates(
    grey: Grey,
    read: Read,
    features: npt.NDArray[np.floating] | None = None,
    *,
    allowed: Callable[[IntArray, IntArray], npt.NDArray[np.bool_]] | None = None,
    seed: int = 0,
) -> tuple[list[NearPair], list[str]]:
    """Return all near duplicates found, most alike first, and notes on what was left unchecked.

    Args:
        grey: uint8 [n, 32, 32], small copies of images that are no exact duplicates of one another.
        read: gives the encoded bytes or pixels of an image by its place.
        features: [n, d]; without them cut-outs are not found.
        allowed: says of pairs (a, b) which are of interest.
        seed: of the approximate index over the features.
    """
    notes: list[str] = []
    telling = texture(grey) >= _PLAIN
    if not telling.all():
        notes.append(f"{int((~telling).sum())} images without details were not searched for near duplicates")

    def wanted(a: IntArray, b: IntArray) -> IntArray:
        keep = telling[a] & telling[b]
        return np.flatnonzero(keep if allowed is None else keep & allowed(a, b))

    found = _by_hash(grey, wanted, notes)
    if features is not None:
        found += _by_features(grey, features, wanted, seed)
    best: dict[tuple[int, int, str], _Candidate] = {}
    for each in sorted(found, key=lambda c: (-c.rough, c.a, c.b)):
        best.setdefault((each.a, each.b, each.kind), each)
    chosen: list[_Candidate] = []
    for kind, limit in _FINE.items():
        candidates = [each for each in best.values() if each.kind == kind]
        chosen += candidates[:limit]
        if len(candidates) > limit:
            notes.append(f"{len(candidates) - limit} of {len(candidates)} candidates of kind {kind!r} left unchecked")
    return _checked(chosen, read), notes


def _by_hash(grey: Grey, wanted: Wanted, notes: list[str]) -> list[_Candidate]:
    with progress("comparing hashes", 4, "bands") as ticker:
        pairs = close_pairs(perceptual_hashes(grey), radius_for(len(grey)), ticker)
    order = wanted(pairs.a, pairs.b)
    order = order[np.argsort(pairs.bits[order], kind="stable")]
    if len(order) > _HASH_PAIRS:
        notes.append(f"{len(order) - _HASH_PAIRS} of {len(order)} pairs of close hashes left unchecked")
    order = order[:_HASH_PAIRS]
    return _whole_images(grey, pairs.a[order], pairs.b[order], pairs.mirrored[order])


def _by_features(grey: Grey, features: npt.NDArray[np.floating], wanted: Wanted, seed: int) -> list[_Candidate]:
    n = len(grey)
    with progress("comparing features", 2 * n) as ticker:
        near = nearest_pairs(features, min(2 * n, _NEIGHBOURS), seed=seed, ticker=ticker)
    keep = wanted(near.a, near.b)
    a, b = near.a[keep], near.b[keep]
    found = _whole_images(grey, a, b, np.zeros(len(a), dtype=bool))
    rough = rough_match(grey, a, b)
    for k in np.flatnonzero((rough.score >= _ROUGHLY) & (rough.height < SIDE)).tolist():
        first, second = (int(a[k]), int(b[k])) if rough.inward[k] else (int(b[k]), int(a[k]))
        found.append(_Candidate(first, second, float(rough.score[k]), False, int(rough.height[k]), int(rough.width[k])))
    return found


def _whole_images(grey: Grey, a: IntArray, b: IntArray, turned: npt.NDArray[np.bool_]) -> list[_Candidate]:
    score = whole_match(grey, a, b, turned)
    return [
        _Candidate(int(a[k]), int(b[k]), float(score[k]), bool(turned[k]), SIDE, SIDE)
        for k in np.flatnonzero(score >= _ROUGHLY_WHOLE)
    ]


def _checked(candidates: list[_Candidate], read: Read) -> list[NearPair]:
    """Return the candidates whose details agree on larger copies."""

    @lru_cache(maxsize=_KEPT)
    def larger(place: int) -> Grey | None:
        try:
            return small(read(place), SHORT)
        except (UndecodableError, OSError):  # said elsewhere in the audit: such an image is no duplicate
            return None

    best: dict[tuple[int, int], NearPair] = {}
    order = sorted(candidates, key=lambda c: (c.a, c.b))  # what is alike stands together: fewer files read twice
    with (
        quiet_pillow(),
        progress("checking near duplicates", len(order), "pairs") as ticker,
        ThreadPoolExecutor(cores(), "read") as pool,  # reading lets go of the interpreter, matching hardly does
    ):
        pictures = pool.map(lambda each: (larger(each.a), larger(each.b)), order)
        for each, (a, b) in zip(order, pictures, strict=True):
            ticker.advance(1)
            if a is None or b is None:
                continue
            similarity = fine_match(a, b[:, ::-1] if each.mirrored else b, each.height, each.width)
            pair = min(each.a, each.b), max(each.a, each.b)
            if similarity >= ALIKE and (pair not in best or similarity > best[pair].similarity):
                best[pair] = NearPair(*pair, min(1.0, similarity), each.kind)
    return sorted(best.values(), key=lambda pair: (-pair.similarity, pair.a, pair.b))
