"""What a difference means: better, worse, tied, or not yet clear, and then what would settle it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np
from jaxtyping import Float
from scipy import special

from headstart.evaluate.comparison.sources import Pairs, Runs

Category = Literal["better", "worse", "tied", "cannot tell"]
Matters = Literal["yes", "no", "unclear"]
LIKELY = 0.95  # from which probability on something is called likely, its opposite unlikely
_NORMAL = float(special.ndtri(0.5 + LIKELY / 2))
_SURE = float(special.ndtri(0.8))  # what is said to settle a question does so in four of five studies
_MOST_SEEDS, _MOST_IMAGES = 100, 1_000_000  # beyond them it is not said
_FEWEST_DISCORDANT = 6  # images that one run alone has right: fewer cannot be significant (McNemar's exact: 2 / 2**6)


class Needed(TypedDict):
    """What would settle a question, if the difference stays as it is; None where it cannot by this alone.

    `seeds`: on the present test images. `images`: with the present seeds. `both`: seeds and images together.
    """

    seeds: int | None
    images: int | None
    both: tuple[int, int] | None


@dataclass(frozen=True)
class Beliefs:
    """What is believed of each pair, as better minus worse for a, whichever way the metric points.

    Args:
        difference: as observed.
        centre, half: middle of each interval and half its width, each taken alone.
        probability: that a, trained with a new seed, beats b, trained with a new seed, on images of this kind.
        ahead, behind: probability that a is better, or worse, than b by more than the margin, on average over seeds.
        limit: the most that a difference can be, or None.
    """

    difference: Float[np.ndarray, " p"]
    centre: Float[np.ndarray, " p"]
    half: Float[np.ndarray, " p"]
    probability: Float[np.ndarray, " p"]
    ahead: Float[np.ndarray, " p"]
    behind: Float[np.ndarray, " p"]
    limit: float | None

    def interval(self, place: int, reach: float = 1.0) -> tuple[float, float]:
        """Return the interval of one pair, widened by a factor, within what is possible."""
        half = float(self.half[place]) * reach
        difference, centre = float(self.difference[place]), float(self.centre[place])
        low, high = min(difference, centre - half), max(difference, centre + half)
        return (low, high) if self.limit is None else (max(-self.limit, low), min(self.limit, high))


def beliefs_of(runs: Runs, pairs: Pairs, margin: float, sign: float) -> Beliefs:
    """Return what is believed of all pairs.

    Args:
        runs: compared.
        pairs: their differences.
        margin: differences up to it do not matter.
        sign: -1 where lower is better.
    """
    centre, scale, freedom = sign * pairs.centre, pairs.scale, pairs.freedom
    return Beliefs(
        difference=sign * pairs.difference,
        centre=centre,
        half=pairs.half_width(),
        probability=_above(centre, np.sqrt(scale**2 + pairs.seed_variance), freedom),
        ahead=_above(centre - margin, scale, freedom),
        behind=_above(-margin - centre, scale, freedom),
        limit=None if runs.bounds is None else runs.bounds[1] - runs.bounds[0],
    )


def category_of(beliefs: Beliefs, place: int, significant: bool) -> Category:
    """Return what may be said of a pair whose difference is more than chance, or is not."""
    if significant:
        return "better" if beliefs.difference[place] > 0 else "worse"
    return "tied" if beliefs.ahead[place] + beliefs.behind[place] <= 1 - LIKELY else "cannot tell"


def _above(
    distance: Float[np.ndarray, " p"], scale: Float[np.ndarray, " p"], freedom: Float[np.ndarray, " p"]
) -> Float[np.ndarray, " p"]:
    """Return the probability that a t around `distance` is above zero."""
    safe = np.where(scale > 0, scale, 1.0)
    certain = np.where(distance == 0, 0.5, distance > 0)
    return np.asarray(np.where(scale > 0, special.stdtr(freedom, distance / safe), certain))


def matters_of(low: float, high: float, margin: float) -> Matters:
    """Return whether a difference exceeds the margin, by its interval."""
    if low > margin or high < -margin:
        return "yes"
    return "no" if -margin <= low and high <= margin else "unclear"


def needed_for(runs: Runs, pairs: Pairs, place: int, margin: float, reach: float) -> Needed:
    """Return how many seeds, images, or both would make it plain, in four of five studies, if the difference stays."""
    a, b, n = int(pairs.a[place]), int(pairs.b[place]), runs.n
    varied = [int(runs.seeds[k]) for k in (a, b) if not runs.deterministic[k]]
    seeds = min(varied) if varied else 1
    size = abs(float(pairs.difference[place]))
    apart, equal = size / (_NORMAL * reach + _SURE), (margin - size) / (_NORMAL + _SURE)
    goal = max(apart, equal) ** 2
    one_set = runs.bounds == (0.0, 1.0) and runs.image_means.shape[1] == n  # right or wrong, the same images each seed
    least = _FEWEST_DISCORDANT / size if one_set and size > 0 and apart >= equal else 0.0
    seed_part = float(pairs.seed_variance[place])
    noise = float(pairs.noise[place])
    lasting = max(0.0, float(pairs.image_variance[place]) - noise / seeds)
    if goal <= 0:
        return Needed(seeds=None, images=None, both=None)
    by_seeds = (seed_part + noise) / (goal - lasting) if goal > lasting and n >= least else np.inf
    rest = goal - seed_part / seeds
    by_images = max(least, n * (lasting + noise / seeds) / rest) if rest > 0 else np.inf
    together = max(seeds, int(np.ceil(min(1e9, 2 * seed_part / goal))), 1)
    left = goal - seed_part / together
    both = max(least, n * (lasting + noise / together) / left) if left > 0 else np.inf
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
    step = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // step) * step
