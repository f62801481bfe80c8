"""What a difference means: better, worse, tied, or not to be told yet and then what would settle it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np
from scipy import special

from headstart.evaluate.comparison.sources import Bounds, Pairs, Runs

Category = Literal["better", "worse", "tied", "cannot tell"]
Matters = Literal["yes", "no", "unclear"]
LIKELY = 0.95  # from which probability on something is called likely, its opposite unlikely
_POWER = 0.8  # chance that what is said to settle a question does so
_MOST_SEEDS, _MOST_IMAGES = 100, 1_000_000  # beyond them it is not said


class Needed(TypedDict):
    """What would settle a question, if the difference stays as it is; None where it cannot by this alone.

    `seeds`: on the present test images. `images`: with the present seeds. `both`: seeds and images together.
    """

    seeds: int | None
    images: int | None
    both: tuple[int, int] | None


@dataclass(frozen=True)
class Judged:
    """One difference, judged; all figures as better minus worse for a, whichever way the metric points.

    Args:
        low, high: of the 95 % interval, taken alone.
        wide_low, wide_high: of an interval that holds for the whole family together.
        probability: that a, trained with a new seed, beats b, trained with a new seed, on images of this kind.
        ahead, behind: probability that a is better, or worse, than b by more than the margin, on average over seeds.
        category: of the verdict.
        matters: whether the difference exceeds the margin.
        needed: what would settle it, where it cannot be told yet.
    """

    low: float
    high: float
    wide_low: float
    wide_high: float
    probability: float
    ahead: float
    behind: float
    category: Category
    matters: Matters
    needed: Needed | None


def judge(
    runs: Runs, pairs: Pairs, place: int, *, significant: bool, reach: float, margin: float, sign: float
) -> Judged:
    """Judge one pair.

    Args:
        runs: compared.
        pairs: their differences.
        place: of the pair.
        significant: whether the difference is more than chance, corrected for its family.
        reach: by which intervals of its family are widened to hold together.
        margin: differences up to it do not matter.
        sign: -1 where lower is better.
    """
    centre, scale, freedom = sign * pairs.centre[place], float(pairs.scale[place]), float(pairs.freedom[place])
    difference = sign * float(pairs.difference[place])
    half = float(scale * special.stdtrit(freedom, 0.5 + LIKELY / 2))
    low, high = _interval(difference, centre, half, runs.bounds)
    wide_low, wide_high = _interval(difference, centre, half * reach, runs.bounds)
    ahead = _above(centre - margin, scale, freedom)
    behind = _above(-margin - centre, scale, freedom)
    again = float(np.sqrt(scale**2 + pairs.seed_variance[place]))
    category: Category = "better" if difference > 0 else "worse"
    if not significant:
        category = "tied" if ahead + behind <= 1 - LIKELY else "cannot tell"
    return Judged(
        low=low,
        high=high,
        wide_low=wide_low,
        wide_high=wide_high,
        probability=_above(centre, again, freedom),
        ahead=ahead,
        behind=behind,
        category=category,
        matters=_matters(low, high, margin),
        needed=_needed(runs, pairs, place, margin, reach) if category == "cannot tell" else None,
    )


def _interval(difference: float, centre: float, half: float, bounds: Bounds | None) -> tuple[float, float]:
    low, high = min(difference, centre - half), max(difference, centre + half)
    if bounds is None:
        return low, high
    width = bounds[1] - bounds[0]
    return max(-width, low), min(width, high)


def _above(distance: float, scale: float, freedom: float) -> float:
    """Return the probability that a t around `distance` is above zero."""
    if scale == 0:
        return 0.5 if distance == 0 else float(distance > 0)
    return float(special.stdtr(freedom, distance / scale))


def _matters(low: float, high: float, margin: float) -> Matters:
    if low > margin or high < -margin:
        return "yes"
    return "no" if -margin <= low and high <= margin else "unclear"


def _needed(runs: Runs, pairs: Pairs, place: int, margin: float, reach: float) -> Needed:
    """Return how many seeds, images, or both would make it plain, in four of five studies, if the difference stays."""
    a, b, n = int(pairs.a[place]), int(pairs.b[place]), runs.n
    varied = [int(runs.seeds[k]) for k in (a, b) if not runs.deterministic[k]]
    seeds = min(varied) if varied else 1
    size = abs(float(pairs.difference[place]))
    normal = float(special.ndtri(0.5 + LIKELY / 2))
    goal = max(size / (normal * reach + special.ndtri(_POWER)), (margin - size) / (normal + special.ndtri(_POWER))) ** 2
    seed_part = float(pairs.seed_variance[place])
    noise = float(pairs.noise[place])
    lasting = max(0.0, float(pairs.image_variance[place]) - noise / seeds)
    if goal <= 0:
        return Needed(seeds=None, images=None, both=None)
    by_seeds = (seed_part + noise) / (goal - lasting) if goal > lasting else np.inf
    rest = goal - seed_part / seeds
    by_images = n * (lasting + noise / seeds) / rest if rest > 0 else np.inf
    together = max(seeds, int(np.ceil(min(1e9, 2 * seed_part / goal))), 1)
    left = goal - seed_part / together
    both = n * (lasting + noise / together) / left if left > 0 else np.inf
    return Needed(
        seeds=_count(by_seeds, _MOST_SEEDS, seeds) if varied else None,
        images=_count(by_images, _MOST_IMAGES, n),
        both=(together, more) if together <= _MOST_SEEDS and (more := _count(both, _MOST_IMAGES, 0)) else None,
    )


def _count(figure: float, most: int, present: int) -> int | None:
    """Return a count, rounded up to two digits that count, more than the present one."""
    if not figure <= most:
        return None
    count = max(present + 1, int(np.ceil(figure)))
    step = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step
