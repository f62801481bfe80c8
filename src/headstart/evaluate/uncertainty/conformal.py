"""Split-conformal prediction sets: sets of classes that hold the right one with a probability chosen beforehand.

A nonconformity score says how badly a class fits an image; the calibration images, which the model has not learned
from, say how large the score of the right class may be. With n of them, the threshold is the score of rank
⌈(n + 1) · level⌉, and a set holds every class whose score is no larger. Where an image is drawn as the calibration
images were, its set holds the right class with at least that probability, whatever the model (Vovk et al. 2005).

Only single-label images have sets: several labels an image would need a threshold for each class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from headstart.errors import DataError, choose
from headstart.evaluate.metrics.intervals import Estimate, proportion

LEVEL = 0.95
PENALTY, FREE_RANKS = 0.01, 5  # of RAPS: what each rank after the free ones adds to a score


def lac_scores(probabilities: Float[np.ndarray, "n c"], draws: Float[np.ndarray, " n"] | None) -> np.ndarray:
    """Return 1 - p for every class (Sadinle, Lei & Wasserman 2019): the smallest sets on average, some of them empty.

    `draws` changes nothing: these scores are not randomised.
    """
    return 1.0 - probabilities.astype(np.float64)


def aps_scores(probabilities: Float[np.ndarray, "n c"], draws: Float[np.ndarray, " n"] | None) -> np.ndarray:
    """Return for every class the probability of all that are at least as probable (Romano, Sesia & Candès 2020).

    Sets grow where the model hesitates. With `draws` from [0, 1), that part of the class's own probability is left
    out, which makes the coverage exact even where probabilities repeat.
    """
    return cumulative(probabilities, draws)[0]


def raps_scores(probabilities: Float[np.ndarray, "n c"], draws: Float[np.ndarray, " n"] | None) -> np.ndarray:
    """Return the scores of APS with 0.01 more for each rank after the fifth (Angelopoulos et al. 2021).

    The penalty keeps sets of many classes from growing by the noise of small probabilities.
    """
    scores, ranks = cumulative(probabilities, draws)
    return np.asarray(scores + PENALTY * np.maximum(0, ranks - FREE_RANKS))


def cumulative(probabilities: np.ndarray, draws: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of all classes down to each one, that one counted in part, and its rank from 1."""
    exact = probabilities.astype(np.float64)
    order = np.argsort(-exact, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, exact.shape[1] + 1)[None].repeat(len(exact), 0), 1)
    sums = np.take_along_axis(exact, order, 1).cumsum(1)
    scores = np.take_along_axis(sums, ranks - 1, 1)
    return (scores if draws is None else scores - draws[:, None] * exact), ranks


Score = Callable[[np.ndarray, "np.ndarray | None"], np.ndarray]
SCORES: dict[str, Score] = {"lac": lac_scores, "aps": aps_scores, "raps": raps_scores}


def nonconformity(
    method: str, probabilities: Float[np.ndarray, "n c"], draws: Float[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, "n c"]:
    """Return the score of every class of every image, float64; the larger, the worse it fits.

    Args:
        method: a name in SCORES.
        probabilities: rows sum to one.
        draws: uniform numbers for the randomised form; None for the deterministic one.

    Raises:
        SpecError: an unknown method.
        DataError: the probabilities are not those of one label an image.
    """
    score = choose("kind of prediction set", method, SCORES)
    if probabilities.ndim != 2 or not np.allclose(probabilities.sum(1), 1.0, atol=1e-3):
        raise DataError("prediction sets need probabilities that sum to one: one label an image, not several")
    return score(probabilities, draws)


def scores_in_sets(method: str, probabilities: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Return the scores that decide which classes are in the set of an image: the lowest that any draw can give.

    Thresholds come from randomised scores, whose coverage is exact. A set by these scores holds the randomised one
    whatever its draw, so it covers no less, and no answer depends on chance. With APS and RAPS it is never empty.
    MAPIE does the same unless it is asked for randomised sets.
    """
    return nonconformity(method, probabilities, np.ones(len(probabilities)))


@dataclass(frozen=True)
class Thresholds:
    """How large the score of a class may be in a set.

    Args:
        values: float64 [C], one a class; equal unless they are class-conditional.
        guaranteed: float64 [C], the coverage that the calibration images suffice to guarantee for images of each class
            (class-conditional), or of all classes together (equal for all).
        level: that was asked for.
        calibrated: int64 [C], the number of calibration images of each class.
    """

    values: Float[np.ndarray, " c"]
    guaranteed: Float[np.ndarray, " c"]
    level: float
    calibrated: Int[np.ndarray, " c"]


def calibrate(
    scores: Float[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    classes: int,
    level: float = LEVEL,
    *,
    by_class: bool = False,
) -> Thresholds:
    """Return the thresholds that n calibration images give.

    n images suffice for a level of n / (n + 1) at most: 19 are needed for 95 %, 99 for 99 %. Where there are fewer, the
    threshold is their largest score, and `guaranteed` is below `level`. By class, a class with too few has the larger
    of its own largest score and the threshold of all classes together; one without any is guaranteed nothing.

    Args:
        scores: of the right class of each calibration image.
        labels: the right class.
        classes: C.
        level: of coverage, above 0 and below 1.
        by_class: guarantee the level for the images of each class, not only for all images together.

    Raises:
        DataError: there are no calibration images, or the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise DataError(f"a level of coverage must be above 0 and below 1, not {level:g}; 0.95 is usual")
    if not len(scores):
        raise DataError("prediction sets need calibration images, and there are none: keep some for validation")
    counts = np.bincount(labels, minlength=classes)
    pooled, guaranteed = _threshold(scores, level)
    values, guarantees = np.full(classes, pooled), np.full(classes, guaranteed)
    if by_class:
        for each in range(classes):
            own, guarantees[each] = _threshold(scores[labels == each], level)
            values[each] = own if guarantees[each] >= level else max(own, pooled)
    return Thresholds(values, guarantees, level, counts)


def most_guaranteed(n: int) -> float:
    """Return the highest level of coverage for which n calibration images suffice: n / (n + 1)."""
    return n / (n + 1)


def needed(level: float) -> int:
    """Return the least number of calibration images that suffice for this level of coverage."""
    return max(1, math.ceil(level / (1 - level) - 1e-9))


def prediction_sets(
    scores: Float[np.ndarray, "n c"], thresholds: Thresholds, *, never_empty: bool = False
) -> Bool[np.ndarray, "n c"]:
    """Return which classes are in the set of each image.

    Args:
        scores: of every class, as `nonconformity` gives them.
        thresholds: from the calibration images, by scores of the same method.
        never_empty: add the class that fits best to a set that would be empty; coverage can only rise.
    """
    inside = scores <= thresholds.values
    if never_empty:
        empty = ~inside.any(1)
        inside[empty, scores[empty].argmin(1)] = True
    return inside


@dataclass(frozen=True)
class SetQuality:
    """How sets did on labelled images.

    Args:
        coverage: the share of sets that hold the right class.
        size: mean number of classes in a set.
        sizes: the number of sets with 0, 1, 2 … C classes.
        by_class: the coverage of the images of each class.
    """

    coverage: Estimate
    size: float
    sizes: tuple[int, ...]
    by_class: tuple[Estimate, ...]


def set_quality(inside: Bool[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> SetQuality:
    """Return coverage, with Wilson intervals, and sizes of sets on labelled images."""
    right = inside[np.arange(len(labels)), labels]
    counts = inside.sum(1)
    classes = inside.shape[1]
    by_class = [right[labels == each] for each in range(classes)]
    return SetQuality(
        coverage=proportion(int(right.sum()), len(right)),
        size=float(counts.mean()) if len(counts) else math.nan,
        sizes=tuple(np.bincount(counts, minlength=classes + 1).tolist()),
        by_class=tuple(proportion(int(each.sum()), len(each)) for each in by_class),
    )


def _threshold(scores: np.ndarray, level: float) -> tuple[float, float]:
    """Return the score of rank ⌈(n + 1) level⌉ and the level; of fewer scores than that, the largest and n / (n + 1).

    Without scores: minus infinity, and 0.
    """
    n = len(scores)
    if n == 0:
        return -math.inf, 0.0
    rank = math.ceil((n + 1) * level - 1e-9)  # 0.95 · 20 is 19, not a little more
    if rank > n:
        return float(scores.max()), most_guaranteed(n)
    return float(np.partition(scores, rank - 1)[rank - 1]), level
