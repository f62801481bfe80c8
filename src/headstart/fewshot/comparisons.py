"""Methods compared on the same episodes: better, worse, tied, or not yet clear.

The same answers as for the runs of a study (`headstart.evaluate.comparison`), with episodes in place of images. All
pairs are asked about at once: a claim must exceed what the largest difference of any pair reaches by chance (max-t,
stepping down: Westfall and Young 1993), which is drawn with the covariance that the methods have over episodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from headstart.evaluate.comparison.sentences import margin_words, pair_sentence, size_of
from headstart.evaluate.comparison.verdict import LIKELY, Category, matters_of
from headstart.fewshot.intervals import (
    Interval,
    class_difference_interval,
    difference_interval,
    least_half_width,
)

MARGIN = 0.01
_DRAWS = 10_000  # of what chance does to all pairs together
_ROUNDING = 1e-6  # of an accuracy
_MOST = 1_000_000  # episodes, beyond which it is not said what would settle a question
_SURE = float(special.ndtri(0.8))  # what is said to settle it does so in four of five cases


@dataclass(frozen=True)
class PairOfMethods:
    """Two methods on the same episodes.

    Args:
        first, second: names.
        difference: first minus second, over episodes: the same classes and images.
        new_classes: the same difference for new classes, or None where the data do not say.
        p: of no difference, corrected for all pairs of methods.
        category: "better" or "worse" (the first than the second), "tied", or "cannot tell".
        verdict: one sentence.
    """

    first: str
    second: str
    difference: Interval
    new_classes: Interval | None
    p: float
    category: Category
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def compare_pairs(
    accuracies: Mapping[str, Float[np.ndarray, " e"]],
    classes: Int[np.ndarray, "e ways"],
    queries: int,
    *,
    level: float = 0.95,
    margin: float = MARGIN,
    seed: int = 0,
) -> list[PairOfMethods]:
    """Compare every two methods on the same episodes, corrected for all pairs.

    Args:
        accuracies: of each method, one number an episode.
        classes: of each episode.
        queries: how many queries each episode has, over all its classes.
        level: of confidence.
        margin: differences up to it do not matter, as a share of 1.
        seed: of the draws.

    Raises:
        DataError: fewer than two episodes.
    """
    pairs = list(combinations(accuracies, 2))
    if not pairs:
        return []
    gaps = [accuracies[a].astype(np.float64) - accuracies[b] for a, b in pairs]
    hidden = np.array([least_half_width(gap, queries, level) for gap in gaps])
    hidden /= special.stdtrit(len(gaps[0]) - 1, 0.5 + level / 2)  # as a standard error
    corrected = _corrected(np.stack([accuracies[name] for name in accuracies]).astype(np.float64), hidden, seed)
    found = []
    for (a, b), gap, least, p in zip(pairs, gaps, hidden, corrected, strict=True):
        difference = difference_interval(gap, queries, level=level)
        elsewhere = class_difference_interval(gap, classes, level=level)
        category = _category(gap, float(least), float(p), 1 - level, margin)
        verdict = _verdict(a, b, gap, float(least), difference, elsewhere, category, margin)
        found.append(PairOfMethods(a, b, difference, elsewhere, float(p), category, verdict))
    return found


def _corrected(table: Float[np.ndarray, "m e"], least: Float[np.ndarray, " p"], seed: int) -> Float[np.ndarray, " p"]:
    """Return p of no difference of each pair of methods, corrected for all of them.

    Chance cannot be drawn for differences that are the same in all episodes: their own p, which comes from the least
    error of a difference, is multiplied by the number of pairs.
    """
    a, b = np.triu_indices(len(table), 1)
    episodes, covariance = table.shape[1], np.cov(table)
    gap = table[a].mean(axis=1) - table[b].mean(axis=1)
    variance = covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]
    flat = np.ptp(table[a] - table[b], axis=1) < _ROUNDING
    error = np.maximum(np.sqrt(np.maximum(variance, 1e-300) / episodes), least)
    size = np.abs(gap) / error
    alone = 2 * special.stdtr(episodes - 1, -size)
    if len(a) == 1:
        return np.asarray(alone)
    order = np.argsort(-size, kind="stable")
    largest = _largest(covariance / episodes, (a, b), error, order, episodes, seed)
    drawn = np.empty(len(a))
    drawn[order] = np.maximum.accumulate(((largest >= size[order]).sum(axis=0) + 1) / (_DRAWS + 1))
    drawn = np.where(flat, np.minimum(1.0, alone * len(a)), drawn)
    return np.asarray(np.minimum(1.0, np.maximum(drawn, alone)))


def _largest(
    covariance: Float[np.ndarray, "m m"],
    pairs: tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]],
    error: Float[np.ndarray, " p"],
    order: Int[np.ndarray, " p"],
    episodes: int,
    seed: int,
) -> Float[np.ndarray, "d p"]:
    """Draw the largest |t| by chance of each pair in this order and all that come after it."""
    generator = np.random.default_rng([seed, 3])
    values, vectors = np.linalg.eigh(covariance)
    means = generator.standard_normal((_DRAWS, len(values))) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    doubt = np.sqrt(generator.chisquare(episodes - 1, (_DRAWS, 1)) / (episodes - 1))
    t = np.abs(means[:, pairs[0]] - means[:, pairs[1]])[:, order] / error[order] / doubt
    return np.asarray(np.maximum.accumulate(t[:, ::-1], axis=1)[:, ::-1])


def _category(gap: Float[np.ndarray, " e"], least: float, p: float, risk: float, margin: float) -> Category:
    mean, error = float(gap.mean()), max(float(gap.std(ddof=1)) / np.sqrt(len(gap)), least)
    if p < risk:
        return "better" if mean > 0 else "worse"
    beyond = special.stdtr(len(gap) - 1, np.array([-margin - mean, mean - margin]) / error).sum()
    return "tied" if beyond <= 1 - LIKELY else "cannot tell"


def _verdict(
    a: str,
    b: str,
    gap: Float[np.ndarray, " e"],
    least: float,
    here: Interval,
    elsewhere: Interval | None,
    category: Category,
    margin: float,
) -> str:
    """Return the sentence; it names the method that is ahead first."""
    if here.mean < 0:
        category, a, b = "better" if category == "worse" else category, b, a
        here = Interval(-here.mean, -here.high, -here.low, here.level, here.over, here.n)
    size = size_of(here.mean, here.low, here.high, True)
    said = pair_sentence(
        a, b, size, category, matters_of(here.low, here.high, margin), margin_words(margin, True), None, here.n
    )
    if category != "better":
        return said + (_settled(gap, least, margin) if category == "cannot tell" else "")
    if elsewhere is None:
        return f"{said}, on these classes"
    sure = elsewhere.low > 0 or elsewhere.high < 0
    return f"{said}; on these classes, {'and it holds for new classes' if sure else 'for new ones it is uncertain'}"


def _settled(gap: Float[np.ndarray, " e"], least: float, margin: float) -> str:
    """Describe how many episodes would settle a question if the difference stays."""
    size, spread = abs(float(gap.mean())), float(gap.std(ddof=1))
    goal = max(size, margin - size)
    reach = float(special.ndtri(0.5 + LIKELY / 2))
    needed = (spread * (reach + _SURE) / goal) ** 2 if goal > 0 else np.inf
    if least > 0 and goal > 0:  # what the episodes have not shown shrinks with their number, not with its root
        needed = max(needed, len(gap) * least * float(special.stdtrit(len(gap) - 1, 0.5 + LIKELY / 2)) / goal)
    if not needed <= _MOST:
        return "; to settle it would take more episodes than is practical"
    count = max(len(gap) + 1, int(np.ceil(needed)))
    step = int(10 ** max(0, len(str(count)) - 2))
    return f"; about {-(-count // step) * step:,} episodes would settle it"
