"""Selective classification: how accurate a model is on the images that it is most certain of, and what is left out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from headstart.errors import DataError
from headstart.evaluate.metrics.intervals import Estimate

CONFIDENCE = 0.95  # of guarantees
_FIRST = 4  # the first tried threshold keeps at least one in this many images


@dataclass(frozen=True)
class RiskCoverage:
    """The risk–coverage curve (El-Yaniv & Wiener 2010), from the most certain images to all.

    Args:
        coverage: float64 [m], the share of images that are answered; rising.
        risk: float64 [m], the share of wrong answers among them.
        threshold: float64 [m], answered are the images whose confidence is at least this.
        area: below the curve: the mean risk over all thresholds; images of equal confidence are answered together.
    """

    coverage: Float[np.ndarray, " m"]
    risk: Float[np.ndarray, " m"]
    threshold: Float[np.ndarray, " m"]
    area: float


def risk_coverage(confidence: Float[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]) -> RiskCoverage:
    """Return the curve of labelled images.

    Raises:
        DataError: there are none.
    """
    n = len(confidence)
    if n == 0:
        raise DataError("a risk–coverage curve needs labelled images, and there are none")
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of the images of equal confidence
    risk = np.cumsum(~correct[order])[last] / (last + 1)
    coverage = (last + 1) / n
    area = float((risk * np.diff(coverage, prepend=0.0)).sum())
    return RiskCoverage(coverage, risk, ranked[last], area)


@dataclass(frozen=True)
class Guarantee:
    """A threshold above which the answers are right with at least the accuracy asked for.

    Args:
        at_least: the accuracy asked for.
        above: answers of a confidence above this are kept; minus infinity keeps all.
        kept: the number of labelled images that are kept.
        wrong: the number of wrong answers among them.
        left: the share of images that is left for review, with its exact interval.
        low: the lower bound of the accuracy of the kept ones (Clopper & Pearson, one-sided).
    """

    at_least: float
    above: float
    kept: int
    wrong: int
    left: Estimate
    low: float


def guarantee(
    confidence: Float[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    at_least: float,
    level: float = CONFIDENCE,
) -> Guarantee | None:
    """Return the threshold that leaves out the fewest images and whose kept answers are `at_least` so often right.

    The claim is wrong in 1 - `level` of all draws of the labelled images at most. Thresholds are tested from a
    strict one to the loosest, each by the exact binomial test, until the first that fails: tests in a fixed order
    need no correction (Learn then Test, Angelopoulos et al. 2021; Bauer 1991). The first keeps a quarter of the
    images, or as many as could pass without a mistake, if these are more. Where exactly the k most certain images are
    kept, their answers are independent draws, whatever the confidence of the next one is.

    Returns:
        None where nothing can be guaranteed; `fewest` says how many images without a mistake it takes.

    Raises:
        DataError: `at_least` is not between 0 and 1.
    """
    if not 0 < at_least < 1:
        raise DataError(f"a guaranteed accuracy must be above 0 and below 1, not {at_least:g}; such as 0.99")
    n, first = len(confidence), fewest(at_least, level)
    if n < first:
        return None
    order = np.argsort(-confidence, kind="stable")
    ranked = np.append(confidence[order], -np.inf)
    counts = np.arange(max(first, math.ceil(n / _FIRST)), n + 1)
    above = ranked[counts]  # the confidence of the next one
    kept = np.searchsorted(-ranked[:-1], -above, side="left")  # fewer than counted where confidences are equal
    wrong = np.concatenate([[0], np.cumsum(~correct[order])])[kept]
    passed = special.bdtr(wrong, kept, 1 - at_least) <= 1 - level
    passed[kept == 0] = False
    failed = np.flatnonzero(~passed & (kept >= first))
    good = np.flatnonzero(passed[: failed[0]] if len(failed) else passed)
    if not len(good):
        return None
    best = int(good[-1])
    k, bad = int(kept[best]), int(wrong[best])
    return Guarantee(at_least, float(above[best]), k, bad, exact(n - k, n), 1.0 - _upper(bad, k, level))


def fewest(at_least: float, level: float = CONFIDENCE) -> int:
    """Return how many labelled images without a mistake guarantee this accuracy: 299 for 99 %, 59 for 95 %."""
    return math.ceil(math.log(1 - level) / math.log(at_least) - 1e-9)


def most_accurate(n: int, level: float = CONFIDENCE) -> float:
    """Return the highest accuracy for which n labelled images suffice, if all are answered correctly."""
    return float((1 - level) ** (1 / n)) if n else 0.0


def exact(successes: int, n: int, level: float = CONFIDENCE) -> Estimate:
    """Return successes / n with the exact interval (Clopper & Pearson 1934); undefined for n = 0."""
    if n == 0:
        return Estimate(value=None, low=None, high=None, n=0)
    tail = (1 - level) / 2
    low = float(special.betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return Estimate(value=successes / n, low=low, high=high, n=n)


def _upper(successes: int, n: int, level: float) -> float:
    """Return the exact one-sided upper bound of a proportion."""
    return float(special.betaincinv(successes + 1, n - successes, level)) if successes < n else 1.0
