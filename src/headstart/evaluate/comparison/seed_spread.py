"""How much the seed of a run matters, from few seeds: what is known of such spreads, updated by the runs of the study.

On the probit scale, where a point of accuracy means the same at 60 % and at 98 %, the standard deviations of the
seeds of the runs of one study are like each other: each is the study's typical one times a factor. About one run in ten
is an exception, noisy not beside its study but beside recorded runs in general. The typical one is not known either,
and its prior comes from recorded runs, too (`benchmarks/seed_spread.py`, docs/statistics.md). With ten seeds the run's
own figures decide, with two they are moderated by the other runs and by the prior (as the moderated variances of Smyth
2004 and Phipson et al. 2016), with one seed the prior decides alone. The posterior is a sum over a grid: no sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import special

# The typical standard deviation of a seed in a study, in probits: its prior median, and the sd of its logarithm.
SEEDS = (0.1, 0.6)
ALIKE = {0.05: 0.5, 0.15: 0.3, 0.35: 0.2}  # standard deviation of the logarithm of a run's factor: chance of each
EXCEPTION = {0.02: 0.3, 0.1: 0.4, 0.3: 0.3}  # share of runs that are exceptions: chance of each …
EXCEPTIONAL = (1.5, 0.4)  # … and their median, over that of the typical one, and the sd of the logarithm
FEW = 6  # runs up to which the draws are the posterior's alone
SAMPLES = (0.2, 0.8)  # the same where each seed also has training images of its own
FLAT = 0.6  # sd of the seeds' means / sd over images, per probit: for losses, which have no probit scale

_GRID = np.exp(np.linspace(np.log(0.003), np.log(0.9), 40))  # standard deviations of a run's seeds
_TYPICAL_GRID = np.exp(np.linspace(np.log(0.004), np.log(0.6), 20))


@dataclass(frozen=True)
class SeedFacts:
    """What the scores of one run say about its seeds.

    Args:
        variance: of the means of its seeds; 0 with one seed.
        freedom: seeds - 1.
        noise: the part of `variance` that chance adds on a finite set of images.
        slope: points of the mean score per probit.
        deterministic: it was declared that its seeds change nothing.
    """

    variance: float
    freedom: int
    noise: float
    slope: float
    deterministic: bool = False


@dataclass(frozen=True)
class SeedSpread:
    """The posterior of the variance between seeds (of a single seed's mean), jointly for all runs.

    Args:
        typical: weights of the study's typical standard deviation, over a grid of k: one row for all runs.
        mean, square: expected variance, and its square, of each run at each of the k.
        cumulative: cumulative weights over the grid of a run's variance at each of the k.
        variances: the variance of each run at each grid place.
    """

    typical: Float[np.ndarray, " k"]
    mean: Float[np.ndarray, "r k"]
    square: Float[np.ndarray, "r k"]
    cumulative: Float[np.ndarray, "k r g"]
    variances: Float[np.ndarray, "r g"]

    def expected(self) -> Float[np.ndarray, " r"]:
        """Return the expected variance between the seeds of each run."""
        return np.asarray(self.mean @ self.typical)

    def covariance(self) -> Float[np.ndarray, "r r"]:
        """Return how the runs' unknown variances vary together, since the typical one is common to them."""
        centred = self.mean - self.expected()[:, None]
        own = ((self.square - self.mean**2) @ self.typical).clip(min=0.0)
        return np.asarray((centred * self.typical) @ centred.T + np.diag(own))

    def draw(self, count: int, generator: np.random.Generator) -> Float[np.ndarray, "b r"]:
        """Draw variances of all runs from the posterior."""
        counts = generator.multinomial(count, self.typical)
        level = generator.random((count, len(self.variances)))
        found, start = np.empty_like(level), 0
        for k in np.flatnonzero(counts):
            rows = slice(start, start + counts[k])
            for run, own in enumerate(self.variances):
                place = np.searchsorted(self.cumulative[k, run], level[rows, run])
                found[rows, run] = own[np.minimum(place, len(own) - 1)]
            start += counts[k]
        return found

    def eased(self, drawn: Float[np.ndarray, "b r"]) -> Float[np.ndarray, "b r"]:
        """Mix drawn variances with their expectation where the runs are many.

        Among many runs nearly every draw holds one that is an exception by chance. For a question about one run that
        corrects for more than there is (docs/statistics.md has the simulations).
        """
        own_share = min(1.0, FEW / len(self.variances))
        return own_share * drawn + (1 - own_share) * self.expected()


def seed_spread(facts: Sequence[SeedFacts], weight: float = 1.0, prior: tuple[float, float] = SEEDS) -> SeedSpread:
    """Return what is known of the seeds' variance of each run, given all of them.

    Args:
        facts: of each run, or of each difference of two runs whose seeds are paired.
        weight: of what all say about the typical spread: below 1 where they are not independent of each other.
        prior: of the typical standard deviation: median, and standard deviation of its logarithm.
    """
    variances, joint = _joint(facts, prior[0])
    evidence = joint.sum(axis=2)
    varied = [k for k, fact in enumerate(facts) if not fact.deterministic]
    told = np.log(evidence[:, varied]).sum(axis=1)
    return SeedSpread(
        typical=np.asarray(special.softmax(_log_prior(prior) + weight * told)),
        mean=((joint * variances).sum(axis=2) / evidence).T,
        square=((joint * variances**2).sum(axis=2) / evidence).T,
        cumulative=np.cumsum(joint, axis=2) / evidence[:, :, None],
        variances=variances,
    )


def _joint(facts: Sequence[SeedFacts], median: float) -> tuple[Float[np.ndarray, "r g"], Float[np.ndarray, "k r g"]]:
    """Return the variances of the grid, and kernel × likelihood of each run."""
    table = np.array([(f.slope, f.noise, f.variance, 0 if f.deterministic else f.freedom) for f in facts])
    slope, noise, variance, freedom = table.reshape(-1, 4).T[:, :, None]
    variances = (slope * _GRID) ** 2
    total = np.maximum(variances + noise, 1e-30)  # scores that never vary
    fit = -freedom / 2 * (np.log(total) + variance / total)
    likelihood = np.exp(fit - fit.max(axis=1, keepdims=True))
    known = np.array([f.deterministic for f in facts], dtype=bool)
    return np.where(known[:, None], 0.0, variances), _kernel(median)[:, None, :] * likelihood


def _log_prior(prior: tuple[float, float]) -> Float[np.ndarray, " k"]:
    typical = -(np.log(_TYPICAL_GRID / prior[0]) ** 2) / (2 * prior[1] ** 2)
    kind = [np.log(p * q) for p in ALIKE.values() for q in EXCEPTION.values()]
    return np.asarray((typical + np.array(kind)[:, None]).ravel())


@lru_cache(maxsize=8)
def _kernel(median: float) -> Float[np.ndarray, "k g"]:
    """Return the chance of a run's standard deviation (columns) for each typical one, likeness, and exceptions."""
    ratio = np.log(_GRID[None, :] / _TYPICAL_GRID[:, None])
    exception = _bell(np.log(_GRID[None, :] / (EXCEPTIONAL[0] * median)), EXCEPTIONAL[1])
    kernels = [(1 - share) * _bell(ratio, alike) + share * exception for alike in ALIKE for share in EXCEPTION]
    return np.concatenate(kernels)


def _bell(ratio: Float[np.ndarray, "k g"], spread: float) -> Float[np.ndarray, "k g"]:
    density = np.exp(-(ratio**2) / (2 * spread**2))
    return np.asarray(density / density.sum(axis=1, keepdims=True))


def of_folds(prior: tuple[float, float], folds: int) -> tuple[float, float]:
    """Return the prior of the spread of repeats of a cross-validation, each the mean of this many trainings.

    As that of a mean of independent ones: the repeats of `benchmarks/seed_spread.py --folds 5` spread less still.
    """
    return float(prior[0] / np.sqrt(folds)), prior[1]


def probit_slope(mean: float, n: int) -> float:
    """Return the points of a share for one probit, at a mean share over n images, never zero."""
    inner = (mean * n + 0.5) / (n + 1)
    return float(np.exp(-(special.ndtri(inner) ** 2) / 2) / np.sqrt(2 * np.pi))
