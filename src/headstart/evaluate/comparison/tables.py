"""The rows that `compare_runs` returns: one a run, one a comparison."""

from __future__ import annotations

from typing import Literal, TypedDict

import numpy as np
from jaxtyping import Float

from headstart.evaluate.comparison import sentences
from headstart.evaluate.comparison.families import Family
from headstart.evaluate.comparison.leader import Means
from headstart.evaluate.comparison.sources import Pairs, Runs, Scores
from headstart.evaluate.comparison.verdict import (
    LIKELY,
    Category,
    Matters,
    Needed,
    beliefs_of,
    category_of,
    matters_of,
    needed_for,
)

ALPHA = 0.05
TEST = "moderated t over seeds and images"
State = Literal["best", "tied", "cannot tell", "behind"]


class Ranked(TypedDict):
    """One row of the ranking; the interval holds for other seeds and other images of the same kind.

    `state`: "best" for the first, otherwise how the run compares with it. `tied_with_best`: the state is "tied", or
    it is the first itself. `within_margin`: it is unlikely to be worse than the first by more than the margin, so it
    may be preferred for its cost. `behind`: the probability that it is worse by more than the margin. `letters`: runs
    that share one do not differ significantly when all pairs are asked about.
    """

    run: str
    mean: float
    sd: float | None
    low: float
    high: float
    n: int
    seeds: int
    state: State
    tied_with_best: bool
    within_margin: bool
    behind: float
    letters: str


class Pair(TypedDict):
    """One comparison, a minus b; a is the run that is ahead.

    `low` to `high` holds for this pair alone, `wide_low` to `wide_high` for all of its list together; `p_adjusted` is
    corrected for all in its list, and `significant` goes by it. `probability`: that a beats b when both are trained
    with new seeds, on images of this kind. `matters`: whether the difference exceeds the margin. `needed`: what would
    settle it, where the category is "cannot tell". `verdict`: all this in words.
    """

    a: str
    b: str
    difference: float
    low: float
    high: float
    wide_low: float
    wide_high: float
    p: float
    p_adjusted: float
    significant: bool
    test: str
    probability: float
    margin: float
    matters: Matters
    category: Category
    needed: Needed | None
    verdict: str


class PairRows:
    """Rows of the tables of differences."""

    def __init__(self, runs: Runs, pairs: Pairs, sign: float, margin: float, share: bool) -> None:
        self.runs, self.pairs, self.sign, self.margin, self.share = runs, pairs, sign, margin, share
        self.alone = pairs.p_value()
        self.beliefs = beliefs_of(runs, pairs, margin, sign)

    def row(self, family: Family, k: int) -> Pair:
        """Return the k-th comparison of a family."""
        place = int(family.pairs[k])
        significant = bool(family.p[k] <= ALPHA)
        category = category_of(self.beliefs, place, significant)
        matters = matters_of(*self.beliefs.interval(place), self.margin)
        needed = None
        if category == "cannot tell":
            needed = needed_for(self.runs, self.pairs, place, self.margin, family.reach)
        a, b = (self.runs.names[int(side[place])] for side in (self.pairs.a, self.pairs.b))
        # from "better for a" back to the scores
        low, high = sorted(self.sign * end for end in self.beliefs.interval(place))
        wide_low, wide_high = sorted(self.sign * end for end in self.beliefs.interval(place, family.reach))
        difference = float(self.pairs.difference[place])
        size = sentences.size_of(difference, low, high, self.share)
        margin = sentences.margin_words(self.margin, self.share)
        return Pair(
            a=a,
            b=b,
            difference=difference,
            low=low,
            high=high,
            wide_low=wide_low,
            wide_high=wide_high,
            p=float(self.alone[place]),
            p_adjusted=float(family.p[k]),
            significant=significant,
            test=TEST,
            probability=float(self.beliefs.probability[place]),
            margin=self.margin,
            matters=matters,
            category=category,
            needed=needed,
            verdict=sentences.pair_sentence(a, b, size, category, matters, margin, needed, self.runs.n, self.runs.unit),
        )


def ranked(scores: Scores, runs: Runs, means: Means, k: int, state: State, behind: float, letters: str) -> Ranked:
    """Return the k-th row of the ranking."""
    low, high = means.interval(k)
    per_seed: Float[np.ndarray, " s"] = scores.mean(axis=1)
    return Ranked(
        run=runs.names[k],
        mean=float(runs.means[k]),
        sd=float(per_seed.std(ddof=1)) if len(per_seed) > 1 else None,
        low=low,
        high=high,
        n=runs.n,
        seeds=int(runs.seeds[k]),
        state=state,
        tied_with_best=state in ("best", "tied"),
        within_margin=state == "best" or behind <= 1 - LIKELY,
        behind=behind,
        letters=letters,
    )
