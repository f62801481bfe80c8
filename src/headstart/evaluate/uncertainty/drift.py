"""Whether new images are like those that a model was checked on: one permutation test of what it sees and predicts.

Held-out images and new images of the same kind are exchangeable: any division of both into two groups is as likely as
the one at hand. What differs more than in 95 % of random divisions has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, Int16
from scipy import linalg, special

from headstart.errors import DataError
from headstart.evaluate.uncertainty.appearance import APPEARANCE
from headstart.evaluate.uncertainty.familiarity import unit_length

MOST_COMPARED = 1000  # held-out and training images that are kept, and new images that are looked at
DIMENSIONS = 64  # directions of the embeddings that are kept
FEWEST = 10  # images on either side
LEVEL = 0.05  # false alarms
PERMUTATIONS = 499
FOR_WIDTH = 300  # images that the width of the kernel is taken from
EMBEDDINGS, MIX = "embeddings", "predicted classes"
_ROWS = 250  # of the kernel at a time
_FLOOR = 1e-12
_MOST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Sketch:
    """What is kept of held-out images, so that new ones can be compared with them; float32, as a file keeps it.

    Args:
        centre: [d], the mean of the training embeddings, each of length one.
        basis: [d, k], the directions in which training embeddings vary most, rounded to half precision.
        scales: [k], which give each of them unit variance.
        embeddings: [m, k], the held-out images there, rounded to half precision.
        looks: [m, 6], their appearance.
        predicted: int64 [m], their most probable class.
        bank: [b, k], training images there, rounded to half precision.
        bank_labels: int64 [b], their class.
    """

    centre: np.ndarray
    basis: np.ndarray
    scales: np.ndarray
    embeddings: np.ndarray
    looks: np.ndarray
    predicted: np.ndarray
    bank: np.ndarray
    bank_labels: np.ndarray

    def __len__(self) -> int:
        return len(self.predicted)


def sketch_of(
    train: Float[np.ndarray, "t d"],
    labels: Int[np.ndarray, " t"],
    embeddings: Float[np.ndarray, "n d"],
    looks: Float[np.ndarray, "n 6"],
    predicted: Int[np.ndarray, " n"],
    *,
    seed: int = 0,
) -> Sketch:
    """Return the sketch of held-out images.

    The directions come from training images, which are in neither of the groups that will be compared.

    Args:
        train, labels: training embeddings, as the network gives them, and their classes.
        embeddings, looks, predicted: of the held-out images.
        seed: of the training images that are kept.
    """
    unit = unit_length(train)
    centre = unit.mean(0).astype(np.float32)
    centred = unit - centre
    n, d = centred.shape
    products = centred @ centred.T if n < d else centred.T @ centred
    size = len(products)
    values, vectors = linalg.eigh(products, subset_by_index=(max(0, size - DIMENSIONS), size - 1))
    kept = np.flatnonzero(values > max(float(values[-1]) * 1e-10, _FLOOR))[::-1]
    basis = centred.T @ vectors[:, kept] / np.sqrt(values[kept]) if n < d else vectors[:, kept]
    rounded, scales = _halved(basis), np.sqrt(n / values[kept]).astype(np.float32)
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:MOST_COMPARED])
    held, bank = (_projected(each, centre, rounded, scales) for each in (embeddings, train[rows]))
    return Sketch(centre, rounded, scales, held, looks, predicted, bank, labels[rows])


def projected(sketch: Sketch, embeddings: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
    """Return embeddings as the network gives them in the directions of a sketch."""
    return _projected(embeddings, sketch.centre, sketch.basis, sketch.scales)


def nearest_labels(sketch: Sketch, embeddings: Float[np.ndarray, "n k"]) -> Int[np.ndarray, " n"]:
    """Return the class of the nearest training image that is kept, for embeddings in the directions of the sketch."""
    distances = (sketch.bank**2).sum(1) - 2 * embeddings @ sketch.bank.T
    return np.asarray(sketch.bank_labels[distances.argmin(1)])


def _projected(
    embeddings: Float[np.ndarray, "n d"],
    centre: Float[np.ndarray, " d"],
    basis: Float[np.ndarray, "d k"],
    scales: Float[np.ndarray, " k"],
) -> Float[np.ndarray, "n k"]:
    return _halved((unit_length(embeddings) - centre) @ basis * scales)


def _halved(array: np.ndarray) -> np.ndarray:
    """Return float32 with the precision of float16, for both groups alike; what is beyond its range is its end."""
    return np.asarray(array.clip(-_MOST_HALF, _MOST_HALF).astype(np.float16).astype(np.float32))


@dataclass(frozen=True)
class Change:
    """One thing that was compared.

    Args:
        what: EMBEDDINGS, MIX or a name in APPEARANCE.
        p: the probability of a difference like this or larger in any of the things compared, if nothing has changed.
        before, now: means of an appearance; NaN of the others.
    """

    what: str
    p: float
    before: float = float("nan")
    now: float = float("nan")

    @property
    def found(self) -> bool:
        """Return whether it has changed."""
        return self.p <= LEVEL


@dataclass(frozen=True)
class ClassChange:
    """A class that is predicted more or less often than on held-out images.

    Args:
        number: of the class.
        before, now: the share of images.
        p: as of `Change`, over all classes.
    """

    number: int
    before: float
    now: float
    p: float


@dataclass(frozen=True)
class DriftTest:
    """What a comparison found.

    Args:
        p: of all things together: without a change it is at most 0.05 in 5 % of cases.
        changes: embeddings, predicted classes and each appearance, in this order.
        classes: those that are predicted significantly more or less often, the largest change first.
        held_out, new: the number of images on both sides.
    """

    p: float
    changes: tuple[Change, ...]
    classes: tuple[ClassChange, ...]
    held_out: int
    new: int

    @property
    def found(self) -> bool:
        """Return whether the images differ."""
        return self.p <= LEVEL


def compare(
    sketch: Sketch,
    embeddings: Float[np.ndarray, "n k"],
    looks: Float[np.ndarray, "n 6"],
    predicted: Int[np.ndarray, " n"],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> DriftTest:
    """Compare new images with the held-out ones.

    The maximum mean discrepancy of the embeddings (Gretton et al. 2012; a Gaussian kernel as wide as the median
    distance), the largest likelihood ratio of a class's frequency, and the Kolmogorov–Smirnov distance of each
    appearance are all computed for the same random divisions; the smallest p of them is compared with the smallest in
    each division (Westfall & Young 1993), so that false alarms are 5 % in all, whatever the number of images.

    Args:
        embeddings: in the directions of the sketch, as `projected` gives them.
        looks: as `appearance` gives them.
        predicted: the most probable class.
        permutations: random divisions.
        seed: of these.

    Raises:
        DataError: there are fewer than ten images on a side.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(predicted))[:MOST_COMPARED])
    m, n = len(sketch), len(chosen)
    if min(m, n) < FEWEST:
        which = f"{m} held-out images" if m < FEWEST else f"{n} new images"
        raise DataError(f"{which} are too few to measure drift; at least {FEWEST} of each are needed")
    groups = _divisions(m, n, permutations, seed)
    together = np.concatenate([sketch.embeddings, embeddings[chosen]])
    both = np.concatenate([sketch.looks, looks[chosen]]).astype(np.float64)
    codes = np.concatenate([sketch.predicted, predicted[chosen]])
    ratios, numbers = _class_ratios(codes, groups, m, n)
    statistics = [_discrepancy(together, groups, n), ratios.max(1)]
    members = np.ascontiguousarray(groups.T.astype(np.int16))
    statistics += [_kolmogorov(column, members, m, n) for column in both.T]
    ps = np.stack([_own_p(each) for each in statistics], axis=1)  # [divisions, things]
    least = np.sort(ps.min(1))
    adjusted = np.searchsorted(least, ps[0] + _FLOOR, side="right") / len(least)
    means = [(float(column[:m].mean()), float(column[m:].mean())) for column in both.T]
    changes = [Change(EMBEDDINGS, float(adjusted[0])), Change(MIX, float(adjusted[1]))]
    changes += [Change(name, float(p), *pair) for name, p, pair in zip(APPEARANCE, adjusted[2:], means, strict=True)]
    found = _changed_classes(codes, ratios, numbers, m, n) if changes[1].found else ()
    return DriftTest(float(adjusted.min()), tuple(changes), found, m, n)


def _divisions(m: int, n: int, permutations: int, seed: int) -> Float[np.ndarray, "b t"]:
    """Return who is in the second group, 1 or 0: as it is in the first row, at random in the others."""
    generator = np.random.default_rng([seed, 1])
    groups = np.zeros((permutations + 1, m + n), np.float32)
    groups[0, m:] = 1
    for row in groups[1:]:
        row[generator.permutation(m + n)[:n]] = 1
    return groups


def _discrepancy(
    together: Float[np.ndarray, "t k"], groups: Float[np.ndarray, "b t"], n: int
) -> Float[np.ndarray, " b"]:
    """Return the squared maximum mean discrepancy of each division, up to terms that are the same for all.

    Each pair of images is looked at once, so many rows of the kernel at a time as fit into the processor's cache.
    """
    t = len(together)
    centred = together - together.mean(0)
    squares = (centred**2).sum(1)
    some = slice(None, None, max(1, t // FOR_WIDTH))
    distances = _squared_distances(centred[some], squares[some], centred[some], squares[some])
    width = float(np.median(distances[np.tri(len(distances), k=-1, dtype=bool)])) or 1.0
    own, second = np.zeros(t), np.zeros(len(groups))
    for start in range(0, t, _ROWS):
        end = min(t, start + _ROWS)
        kernel = _squared_distances(centred[start:end], squares[start:end], centred[start:], squares[start:])
        kernel *= np.float32(-1 / width)
        np.exp(kernel, out=kernel)
        np.fill_diagonal(kernel, 0)  # an image and itself are not counted
        right = kernel[:, end - start :]
        own[start:end] += kernel.sum(1, dtype=np.float64)
        own[end:] += right.sum(0, dtype=np.float64)
        right *= 2
        second += ((groups[:, start:] @ kernel.T) * groups[:, start:end]).sum(1, dtype=np.float64)
    m = t - n
    mixed = groups.astype(np.float64) @ own - second
    first = own.sum() - second - 2 * mixed
    return np.asarray(first / (m * (m - 1)) + second / (n * (n - 1)) - 2 * mixed / (m * n))


def _squared_distances(
    rows: Float[np.ndarray, "r k"],
    their_squares: Float[np.ndarray, " r"],
    others: Float[np.ndarray, "s k"],
    other_squares: Float[np.ndarray, " s"],
) -> Float[np.ndarray, "r s"]:
    found = rows @ others.T
    found *= -2
    found += their_squares[:, None]
    found += other_squares
    return np.asarray(np.maximum(found, 0, out=found))


def _kolmogorov(
    values: Float[np.ndarray, " t"], members: Int16[np.ndarray, "t b"], m: int, n: int
) -> Float[np.ndarray, " b"]:
    """Return the largest difference of the two distribution functions in each division."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    second = members[order]
    for before, row in pairwise(second):
        row += before  # as cumsum, which takes three times as long
    if len(last) < len(ranked):
        second = second[last]
    ahead = second * np.float32(1 / n + 1 / m)
    ahead -= ((last + 1) / m).astype(np.float32)[:, None]  # second / n - first / m
    return np.asarray(np.maximum(ahead.max(0), -ahead.min(0)))


def _class_ratios(
    codes: Int[np.ndarray, " t"], groups: Float[np.ndarray, "b t"], m: int, n: int
) -> tuple[Float[np.ndarray, "b c"], Int[np.ndarray, " c"]]:
    """Return the likelihood ratio of each class's frequency in each division, and the classes' numbers."""
    numbers, places, totals = np.unique(codes, return_inverse=True, return_counts=True)
    second = groups @ np.eye(len(numbers), dtype=np.float32)[places]
    first, share = totals - second, totals / (m + n)
    cells = ((second, n * share), (first, m * share), (n - second, n * (1 - share)), (m - first, m * (1 - share)))
    return 2 * sum(special.xlogy(seen, seen / np.maximum(expected, _FLOOR)) for seen, expected in cells), numbers


def _changed_classes(
    codes: Int[np.ndarray, " t"], ratios: Float[np.ndarray, "b c"], numbers: Int[np.ndarray, " c"], m: int, n: int
) -> tuple[ClassChange, ...]:
    largest = np.sort(ratios.max(1))
    found = []
    for place in np.argsort(-ratios[0], kind="stable"):
        p = float((largest >= ratios[0, place] - _FLOOR).mean())
        if p > LEVEL:
            break
        of = codes == numbers[place]
        found.append(ClassChange(int(numbers[place]), float(of[:m].mean()), float(of[m:].mean()), p))
    return tuple(found)


def _own_p(statistic: Float[np.ndarray, " b"]) -> Float[np.ndarray, " b"]:
    """Return which share of the divisions has a statistic as large as each.

    Within the steps of these shares, the larger statistic in standard deviations comes first: otherwise the largest of
    every statistic would be equally rare, however far it is from the others.
    """
    ranked = np.sort(statistic)
    tolerance = 1e-9 * max(1.0, float(np.abs(ranked).max()))
    share = (len(ranked) - np.searchsorted(ranked, statistic - tolerance, side="left")) / len(ranked)
    far = (statistic - statistic.mean()) / max(float(statistic.std()), _FLOOR)
    return np.asarray(share - 0.4 / len(ranked) * far / (1 + np.abs(far)))
