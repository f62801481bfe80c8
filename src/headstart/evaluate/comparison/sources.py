"""What the scores of runs say about the two sources of chance, seeds and images: for each run and for each pair."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from headstart.evaluate.comparison.seed_spread import (
    FLAT,
    SAMPLES,
    SEEDS,
    SeedFacts,
    SeedSpread,
    of_folds,
    probit_slope,
    seed_spread,
)

Scores = Bool[np.ndarray, "s n"] | Float[np.ndarray, "s n"]
Bounds = tuple[float, float]

SEED, REPEAT = "seed", "repeat"  # what a row of scores is called
_DIGITS = 12  # of a mean: what is equal but for rounding is equal, and 1 is not just below 1


@dataclass(frozen=True)
class Runs:
    """The runs of one comparison, in the order of `names`.

    Args:
        names: of the runs.
        means: over seeds and images.
        seeds: how many each has.
        n: test images of a seed.
        image_means: each run's score of each image over its seeds; the images of all seeds one after the other
            where each seed has its own.
        facts: of each run's seeds.
        spread: what is known of the seeds' variance.
        image_variance: of each run's mean, that the choice of images adds.
        bounds: least and greatest possible mean, or None.
        deterministic: runs whose seeds change nothing.
        folds: trainings whose scores make up a row, which is a repeat of cross-validation then; None: a row is a seed.
    """

    names: tuple[str, ...]
    means: Float[np.ndarray, " r"]
    seeds: Int[np.ndarray, " r"]
    n: int
    image_means: Float[np.ndarray, "r m"]
    facts: tuple[SeedFacts, ...]
    spread: SeedSpread
    image_variance: Float[np.ndarray, " r"]
    bounds: Bounds | None
    deterministic: Bool[np.ndarray, " r"]
    folds: int | None = None

    @property
    def unit(self) -> str:
        """What a row of scores is called."""
        return unit_of(self.folds)


@dataclass(frozen=True)
class Pairs:
    """Differences of two runs, all pairs, each with Student's t that describes what chance may have done to it.

    Args:
        a, b: places of the two runs.
        difference: mean of a minus mean of b, as observed.
        centre: the same, drawn towards zero by two imagined images on which the runs disagree.
        scale, freedom: of the t around `centre` (moderated: the freedom counts what the prior and other runs add).
        seed_variance: expected sum of the variances of one seed's mean, of a and of b (of their difference if paired).
        image_variance: of the difference, that the choice of images adds.
        noise: the part of it that more seeds would make smaller, times the seeds.
    """

    a: Int[np.ndarray, " p"]
    b: Int[np.ndarray, " p"]
    difference: Float[np.ndarray, " p"]
    centre: Float[np.ndarray, " p"]
    scale: Float[np.ndarray, " p"]
    freedom: Float[np.ndarray, " p"]
    seed_variance: Float[np.ndarray, " p"]
    image_variance: Float[np.ndarray, " p"]
    noise: Float[np.ndarray, " p"]

    def half_width(self, level: float = 0.95) -> Float[np.ndarray, " p"]:
        """Return half the width of each difference's interval, taken alone."""
        return np.asarray(self.scale * special.stdtrit(self.freedom, 0.5 + level / 2))

    def p_value(self) -> Float[np.ndarray, " p"]:
        """Return the two-sided p of no difference, of each pair taken alone."""
        with np.errstate(divide="ignore", invalid="ignore"):
            tail = 2 * special.stdtr(self.freedom, -np.abs(self.centre) / self.scale)
        return np.asarray(np.where(self.scale > 0, tail, 1.0))


def unit_of(folds: int | None) -> str:
    """Return what a row of scores is called: a seed, or a repeat where all folds together make one."""
    return SEED if folds is None else REPEAT


def runs_of(
    correct: Mapping[str, Scores],
    names: Sequence[str],
    images: Int[np.ndarray, "s n"] | None,
    deterministic: Collection[str],
    bounds: Bounds | None,
    folds: int | None = None,
) -> Runs:
    """Summarise the scores of the runs; `bounds` are those of a mean score."""
    tables = [correct[name].astype(np.float64) for name in names]
    n = tables[0].shape[1]
    facts, image_variance = [], []
    for name, table in zip(names, tables, strict=True):
        slope = _slope(table, bounds)
        fact, part = _facts(table, images, slope, name in deterministic)
        facts.append(fact)
        image_variance.append(part)
    return Runs(
        names=tuple(names),
        means=np.array([table.mean() for table in tables]).round(_DIGITS) + 0.0,
        seeds=np.array([len(table) for table in tables]),
        n=n,
        image_means=np.stack([table.mean(axis=0) if images is None else table.ravel() for table in tables]),
        facts=tuple(facts),
        spread=seed_spread(facts, prior=of_folds(SEEDS, folds or 1)),
        image_variance=np.array(image_variance),
        bounds=bounds,
        deterministic=np.array([name in deterministic for name in names]),
        folds=folds,
    )


def pairs_of(runs: Runs) -> Pairs:
    """Compare each run with each: the images are the same for both, the seeds are each run's own."""
    a, b = np.triu_indices(len(runs.names), 1)
    centre, part = _image_parts(runs, a, b)
    expected, doubt = runs.spread.expected(), runs.spread.covariance()
    share = 1 / runs.seeds
    noise = np.array([fact.noise for fact in runs.facts])
    own = np.diag(doubt) * share**2
    seed_doubt = own[a] + own[b] + 2 * doubt[a, b] * share[a] * share[b]
    return _pairs(
        runs,
        (a, b),
        centre,
        part,
        (expected * share)[a] + (expected * share)[b],
        seed_doubt,
        one_seed=expected[a] + expected[b],
        noise=noise[a] + noise[b],
    )


def paired_pairs(correct: Mapping[str, Scores], runs: Runs, images: Int[np.ndarray, "s n"] | None) -> Pairs:
    """Compare each run with each where seed k of one belongs with seed k of the other."""
    a, b = np.triu_indices(len(runs.names), 1)
    centre, part = _image_parts(runs, a, b)
    facts = []
    for place, (i, j) in enumerate(zip(a, b, strict=True)):
        x = correct[runs.names[i]].astype(np.float64) - correct[runs.names[j]]
        slope = float(np.hypot(runs.facts[i].slope, runs.facts[j].slope))
        fact, own = _facts(x, images, slope, bool(runs.deterministic[i] and runs.deterministic[j]))
        facts.append(fact)
        if images is not None:
            part[place] = max(part[place], own)
    independent = 2 / max(2, len(runs.names))  # share of the pairs: r - 1 of r runs
    spread = seed_spread(facts, independent, of_folds(SAMPLES, runs.folds or 1))
    expected, doubt = spread.expected(), np.diag(spread.covariance())
    seeds = int(runs.seeds[0])
    noise = np.array([fact.noise for fact in facts])
    return _pairs(runs, (a, b), centre, part, expected / seeds, doubt / seeds**2, one_seed=expected, noise=noise)


def _pairs(
    runs: Runs,
    places: tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]],
    centre: Float[np.ndarray, " p"],
    part: Float[np.ndarray, " p"],
    seeds_part: Float[np.ndarray, " p"],
    seeds_doubt: Float[np.ndarray, " p"],
    *,
    one_seed: Float[np.ndarray, " p"],
    noise: Float[np.ndarray, " p"],
) -> Pairs:
    a, b = places
    scale, freedom = student(part, runs.image_means.shape[1], seeds_part, seeds_doubt)
    return Pairs(
        a=a,
        b=b,
        difference=runs.means[a] - runs.means[b],
        centre=centre,
        scale=scale,
        freedom=freedom,
        seed_variance=one_seed,
        image_variance=part,
        noise=noise,
    )


def student(
    image_part: Float[np.ndarray, " p"],
    n: int,
    seeds_part: Float[np.ndarray, " p"],
    seeds_doubt: Float[np.ndarray, " p"],
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return scale and degrees of freedom of the t whose variance has the mean and the variance of the posterior's.

    Args:
        image_part: variance of a mean from n images, estimated.
        n: images.
        seeds_part: posterior mean of the variance that seeds add.
        seeds_doubt: posterior variance of it.
    """
    images = image_part * (max(n, 4) - 1) / (max(n, 4) - 3)
    total = images + seeds_part
    doubt = seeds_doubt + 2 * images**2 / max(1, n - 5)
    safe = np.where(total > 0, total, 1.0)
    freedom = np.minimum(1e6, 2 * safe**2 / np.maximum(doubt, 1e-6 * safe**2) + 4)
    return np.sqrt(total * (freedom - 2) / freedom), np.where(total > 0, freedom, 1e6)


def _image_parts(
    runs: Runs, a: Int[np.ndarray, " p"], b: Int[np.ndarray, " p"]
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return the centre of each difference and its variance over images.

    Two images are imagined, one on which only a is right and one on which only b is (Bonett & Price 2012: with one
    seed and right-or-wrong scores this is their adjusted Wald interval). They count as much as a usual disagreement:
    an image on which one of three seeds differs is a third of one.
    """
    x, m = runs.image_means, runs.image_means.shape[1]
    gram, sums = x @ x.T, x.sum(axis=1)
    squares = np.maximum(0.0, np.diag(gram)[a] + np.diag(gram)[b] - 2 * gram[a, b])
    absolute = np.concatenate([np.abs(x[i + 1 :] - x[i]).sum(axis=1) for i in range(len(x) - 1)] or [np.zeros(0)])
    unit = float(np.ptp(x)) if runs.bounds is not None else 0.0
    if runs.bounds is not None and unit == 0:
        unit = runs.bounds[1] - runs.bounds[0]
    size = (squares + unit**2) / np.maximum(absolute + unit, 1e-300)
    weight = size / unit if unit > 0 else np.ones_like(size)
    total = m + 2 * weight
    centre = (sums[a] - sums[b]) / total
    part = np.maximum(0.0, (squares + 2 * size**2) / total - centre**2) / total
    return centre, part


def _facts(
    table: Float[np.ndarray, "s n"], images: Int[np.ndarray, "s n"] | None, slope: float, deterministic: bool
) -> tuple[SeedFacts, float]:
    """Return what a run's (or a difference's) rows say about its seeds, and the variance that images add."""
    seeds, n = table.shape
    means = table.mean(axis=1)
    if images is not None:
        within = float(table.var(axis=1, ddof=1).mean()) / n if n > 1 else 0.0
        shared = max(0.0, _shared_covariance(table - means[:, None], images)) if seeds > 1 else 0.0
        noise = max(0.0, within - shared)
        image_part = shared + noise / seeds
    else:
        noise = _rest(table) / n if seeds > 1 else 0.0
        image_part = float(table.mean(axis=0).var(ddof=1)) / n if n > 1 else 0.0
    variance = float(means.var(ddof=1)) if seeds > 1 else 0.0
    return SeedFacts(variance, seeds - 1, 0.0 if deterministic else noise, slope, deterministic), image_part


def _rest(table: Float[np.ndarray, "s n"]) -> float:
    """Return the mean square of what neither the seed nor the image explains, never quite zero.

    Half an image's worth is added: that no seed differs on any of 50 images does not mean that none ever would.
    """
    seeds, n = table.shape
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    unit = float(np.ptp(table)) or 1.0
    return float(((rest**2).sum() + 0.5 * unit**2) / ((seeds - 1) * max(1, n - 1)))


def _shared_covariance(centred: Float[np.ndarray, "s n"], images: Int[np.ndarray, "s n"]) -> float:
    """Return the covariance of two seeds' means that comes from images which both were tested on."""
    seeds, n = centred.shape
    _, place = np.unique(images, return_inverse=True)
    sums = np.bincount(place.ravel(), centred.ravel())
    own = float((centred**2).sum())
    return float(((sums**2).sum() - own) / (n * n * seeds * (seeds - 1)))


def _slope(table: Float[np.ndarray, "s n"], bounds: Bounds | None) -> float:
    if bounds is None:
        return FLAT * float(table.std())
    width = bounds[1] - bounds[0]
    share = min(1.0, max(0.0, (float(table.mean()) - bounds[0]) / width))
    return float(width * probit_slope(share, table.shape[1]))
