"""Which images to label next: a random sample that measures, and informative images.

The first images are typical ones: groups of similar images are represented in the order in which they cover the rest
(greedy facility location; for few labels typical images are the most informative, Hacohen, Dekel & Weinshall 2022).
Once there are about two labels per class, the images that the classifier is least sure of are more informative (the
margin of Scheffer et al. 2001), spread so that no two are alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.audit.neighbours import sphere_centres

IntArray = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

RANDOM, TYPICAL, UNCERTAIN = "random", "typical", "uncertain"
REST = "rest"  # in random order, when the random sample is used up
PER_CLASS = 2  # labels per class, on average, from which on uncertain images are more informative than typical ones
GROUPS = 600  # representatives of similar images
_DIMENSIONS = 64
_SAMPLE = 12_000  # images from which directions and groups are found
_POOL = 8  # times as many uncertain images are looked at as are taken
_BLOCK = 8192


@dataclass(frozen=True)
class Suggestion:
    """An image to label next, and why."""

    row: int
    how: str


class Suggester:
    """Suggests images of one folder; the same vectors, seed and labels give the same suggestions.

    Args:
        vectors: float32 [n, d], may be memory-mapped.
        seed: of the random sample and of the groups.
        share: of suggestions that come from the random sample.
        most: size of the random sample; also at most 30 % of the images.
    """

    def __init__(
        self, vectors: npt.NDArray[np.floating], *, seed: int = 0, share: float = 0.25, most: int = 1000
    ) -> None:
        generator = np.random.default_rng([seed, len(vectors)])
        self.short = project(vectors, generator)
        self.share = share
        order = generator.permutation(len(vectors))
        self.sample: IntArray = order[: min(most, int(0.3 * len(vectors)))]
        self._rest: IntArray = order[len(self.sample) :]
        self._others = np.sort(self._rest)
        self.typical, self.weights = representatives(self.short, self._others, GROUPS, generator)

    def next(
        self,
        labelled: npt.NDArray[np.bool_],
        count: int,
        *,
        margins: Floats | None = None,
        busy: npt.NDArray[np.bool_] | None = None,
    ) -> list[Suggestion]:
        """Return at most `count` images without labels.

        Args:
            labelled: bool [n].
            count: how many are wanted.
            margins: float32 [n], the difference of the two largest probabilities of each image; None while there are
                too few labels for a classifier: then typical images are suggested.
            busy: bool [n], images that are not to be suggested now.
        """
        free = ~labelled if busy is None else ~(labelled | busy)
        done = int(labelled[self.sample].sum())
        wanted = self._random_wanted(done, int(labelled.sum()), count)
        sample = self.sample[free[self.sample]][:wanted]
        rest = count - len(sample)
        taught = self._typical(labelled, free, rest) if margins is None else self._uncertain(margins, free, rest)
        how = TYPICAL if margins is None else UNCERTAIN
        if len(taught) < rest:  # nothing else is left: more of the sample
            sample = self.sample[free[self.sample]][: count - len(taught)]
        found = [Suggestion(int(row), how) for row in taught]
        for place, row in enumerate(sample.tolist()):  # spread among the others
            found.insert(min(len(found), round((place + 0.5) * count / max(1, len(sample)))), Suggestion(row, RANDOM))
        return found

    def at_random(
        self, labelled: npt.NDArray[np.bool_], count: int, busy: npt.NDArray[np.bool_] | None = None
    ) -> list[Suggestion]:
        """Return at most `count` images without labels in random order, those of the random sample first."""
        free = ~labelled if busy is None else ~(labelled | busy)
        sample = [Suggestion(row, RANDOM) for row in self.sample[free[self.sample]].tolist()]
        rest = [Suggestion(row, REST) for row in self._rest[free[self._rest]].tolist()]
        return [*sample, *rest][:count]

    def _random_wanted(self, done: int, labelled: int, count: int) -> int:
        """Return how many of the next labels keep the share of the random sample."""
        return max(0, min(count, round(self.share * (labelled + count)) - done))

    def _typical(self, labelled: npt.NDArray[np.bool_], free: npt.NDArray[np.bool_], count: int) -> IntArray:
        """Return representatives in the order in which they cover what no labelled image outside the sample covers."""
        likeness = self.short[self.typical] @ self.short[self.typical].T
        taught = self._others[labelled[self._others]]
        covered = (
            (self.short[self.typical] @ self.short[taught].T).max(axis=1)
            if len(taught)
            else np.full(len(self.typical), -1.0, dtype=np.float32)
        )
        open_ = free[self.typical].copy()
        chosen: list[int] = []
        while len(chosen) < count and open_.any():
            gains = (self.weights[:, None] * np.maximum(likeness - covered[:, None], 0)).sum(axis=0)
            best = int(np.where(open_, gains, -1.0).argmax())
            chosen.append(int(self.typical[best]))
            open_[best] = False
            covered = np.maximum(covered, likeness[best])
        if len(chosen) < count:
            more = np.setdiff1d(self._others[free[self._others]], np.array(chosen, dtype=np.int64))
            chosen += more[: count - len(chosen)].tolist()
        return np.array(chosen, dtype=np.int64)

    def _uncertain(self, margins: Floats, free: npt.NDArray[np.bool_], count: int) -> IntArray:
        """Return the images of smallest margin, none of them close to another that is taken."""
        rows = self._others[free[self._others]]
        pool = rows[np.argsort(margins[rows], kind="stable")[: _POOL * count]]
        return pool[spread(self.short[pool], margins[pool], count)]


def spread(short: Floats, margins: Floats, count: int) -> IntArray:
    """Return places of `count` rows: each time the one of smallest margin + largest cosine with those taken.

    Args:
        short: [m, k], of unit length.
        margins: [m], 0 to 1.
        count: how many.
    """
    taken: list[int] = []
    nearest = np.zeros(len(short), dtype=np.float32)
    for _ in range(min(count, len(short))):
        cost = margins + np.maximum(nearest, 0)
        cost[taken] = np.inf
        best = int(cost.argmin())
        taken.append(best)
        nearest = np.maximum(nearest, short @ short[best])
    return np.array(taken, dtype=np.int64)


def project(vectors: npt.NDArray[np.floating], generator: np.random.Generator) -> Floats:
    """Return unit vectors float32 [n, k], k at most 64: centred, in the principal directions of a sample."""
    n, d = vectors.shape
    rows = np.sort(generator.permutation(n)[:_SAMPLE])
    sample = np.asarray(vectors[rows], dtype=np.float32)
    middle = sample.mean(axis=0)
    gram = (sample - middle).T @ (sample - middle)
    _, directions = np.linalg.eigh(gram)
    turn = directions[:, ::-1][:, : min(_DIMENSIONS, d)]
    short = np.empty((n, turn.shape[1]), dtype=np.float32)
    for start in range(0, n, _BLOCK):
        block = (np.asarray(vectors[start : start + _BLOCK], dtype=np.float32) - middle) @ turn
        short[start : start + len(block)] = block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
    return short


def representatives(
    short: Floats, rows: IntArray, groups: int, generator: np.random.Generator
) -> tuple[IntArray, Floats]:
    """Return (rows, weights): the image nearest to the centre of each group of similar images, and the group's size.

    Args:
        short: [n, k], of unit length.
        rows: those that may represent, and are represented.
        groups: the maximum number.
        generator: draws the images that the search for groups starts from.
    """
    if len(rows) <= groups:
        return rows, np.ones(len(rows), dtype=np.float32)
    centres = sphere_centres(short[rows], groups, generator)
    group = np.empty(len(rows), dtype=np.int64)
    likeness = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK):
        products = short[rows[start : start + _BLOCK]] @ centres.T
        group[start : start + len(products)] = products.argmax(axis=1)
        likeness[start : start + len(products)] = products.max(axis=1)
    order = np.lexsort((-likeness, group))
    _, first, sizes = np.unique(group[order], return_index=True, return_counts=True)
    return rows[order[first]], sizes.astype(np.float32)


def margins_of(probabilities: npt.NDArray[np.floating]) -> Floats:
    """Return the difference of the two largest of each row's values [n, C]: float32 [n]; 1 with one class."""
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities), dtype=np.float32)
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    return (two[:, 1] - two[:, 0]).astype(np.float32)


def can_judge(taught: int, classes: int) -> bool:
    """Return whether there are enough labels for the classifier to say which images it is unsure of."""
    return classes > 1 and taught >= max(10, PER_CLASS * classes)
