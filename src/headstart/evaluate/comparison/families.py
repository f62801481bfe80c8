"""Several comparisons at once: how large the largest of them may become by chance alone (max-t, by drawing).

Chance is drawn anew for all runs together: new images (the same for every run) and new seeds (each run's own, with a
spread from its posterior). What is asked decides which differences count. "The best against each" is a question about
the run that happens to lead, so every pair of the runs that are still in question counts; runs that are clearly behind
leave one by one, and with them their pairs. "Each against the baseline" counts the pairs with the baseline (Dunnett
1955). "All pairs" counts them all. Each is stepped down (Westfall & Young 1993): a difference that is already
significant no longer counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from headstart.evaluate.comparison.sources import Pairs, Runs

_CELLS = 3_000_000  # draws × pairs held at once


@dataclass(frozen=True)
class Chance:
    """What chance alone does to the runs' means.

    Args:
        errors: of the runs' means, one row a draw: seeds and images together.
        factor: by which each difference of two errors is multiplied, so that it varies as its pair says.
        half: half the width of each pair's 95 % interval.
        blow: of each draw and pair where the differences' spread itself is uncertain, or None.
    """

    errors: Float[np.ndarray, "b r"]
    factor: Float[np.ndarray, " p"]
    half: Float[np.ndarray, " p"]
    blow: Callable[[slice], Float[np.ndarray, "c p"]] | None = None


def chances_of(runs: Runs, pairs: Pairs, draws: int, seed: int) -> tuple[Chance, Chance]:
    """Draw the errors of all runs: their seeds' spreads from the posterior, images with the covariance observed.

    Returns:
        What questions about one run need (the best, the baseline), and what that about all pairs needs. Its largest
        difference is that of the noisiest runs, so there the draws of the spreads count in full.
    """
    generator = np.random.default_rng([seed, 2])
    images = _image_errors(runs, pairs, draws, generator)
    variances = runs.spread.draw(draws, generator)
    luck = generator.standard_normal(images.shape)
    half = np.maximum(pairs.half_width(), 1e-300)
    one, every = (
        Chance(images + luck * np.sqrt(spread / runs.seeds), np.ones(len(pairs.a)), half)
        for spread in (runs.spread.eased(variances), variances)
    )
    return one, every


def paired_chance(runs: Runs, pairs: Pairs, rows: Float[np.ndarray, "s r"], draws: int, seed: int) -> Chance:
    """Draw errors where seed k of one run belongs with seed k of the other.

    Args:
        runs: compared.
        pairs: their differences.
        rows: the mean of each seed and run; its covariance over seeds, half of it taken back to no correlation,
            says which runs fail together.
        draws: how many.
        seed: of the draws.
    """
    generator = np.random.default_rng([seed, 2])
    seeds = len(rows)
    together = np.atleast_2d(np.cov(rows, rowvar=False)) / seeds if seeds > 1 else np.zeros((rows.shape[1],) * 2)
    together = (together + np.diag(np.diag(together) + 1e-12)) / 2
    errors = _image_errors(runs, pairs, draws, generator)
    errors = errors + generator.multivariate_normal(np.zeros(len(together)), together, draws, method="eigh")
    covariance = np.atleast_2d(np.cov(errors, rowvar=False))
    own = np.diag(covariance)
    spread = np.sqrt(np.maximum(own[pairs.a] + own[pairs.b] - 2 * covariance[pairs.a, pairs.b], 1e-300))
    luck = generator.standard_normal(draws)

    def blow(block: slice) -> Float[np.ndarray, "c p"]:
        doubt = 2 / (9 * pairs.freedom)  # chi-squared by Wilson and Hilferty's approximation
        return np.asarray((1 - doubt + luck[block, None] * np.sqrt(doubt)).clip(min=0.1) ** -1.5)

    return Chance(errors, pairs.scale / spread, np.maximum(pairs.half_width(), 1e-300), blow)


def _image_errors(runs: Runs, pairs: Pairs, draws: int, generator: np.random.Generator) -> Float[np.ndarray, "b r"]:
    """Draw what other images do to the means; runs that hardly disagree get the imagined images' share of their own."""
    x = runs.image_means - runs.image_means.mean(axis=1, keepdims=True)
    covariance = x @ x.T / x.shape[1] ** 2
    spread = np.diag(covariance)[pairs.a] + np.diag(covariance)[pairs.b] - 2 * covariance[pairs.a, pairs.b]
    lack = np.zeros(len(covariance))
    missing = np.maximum(0.0, pairs.image_variance - spread) / 2
    count = max(1, len(covariance) - 1)
    np.add.at(lack, pairs.a, missing / count)
    np.add.at(lack, pairs.b, missing / count)
    values, vectors = np.linalg.eigh(covariance + np.diag(lack))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(generator.standard_normal((draws, len(root))) @ root.T)


def _ratios(chance: Chance, pairs: Pairs, chosen: Int[np.ndarray, " q"]) -> Iterator[Float[np.ndarray, "c q"]]:
    """Yield, for blocks of draws, each chosen difference in units of half its interval."""
    block = max(1, _CELLS // max(1, len(chosen)))
    weight = chance.factor[chosen] / chance.half[chosen]
    for start in range(0, len(chance.errors), block):
        rows = slice(start, start + block)
        errors = chance.errors[rows]
        ratio = np.abs(errors[:, pairs.a[chosen]] - errors[:, pairs.b[chosen]]) * weight
        yield ratio * chance.blow(rows)[:, chosen] if chance.blow is not None else ratio


@dataclass(frozen=True)
class Family:
    """Comparisons that are asked together.

    Args:
        pairs: places in the table of all pairs.
        p: of each, corrected for all of them: a false claim among them is as rare as wanted.
        reach: by which intervals must be widened so that all hold together.
    """

    pairs: Int[np.ndarray, " q"]
    p: Float[np.ndarray, " q"]
    reach: float


def observed(chance: Chance, pairs: Pairs) -> Float[np.ndarray, " p"]:
    """Return each difference in units of half its interval: more than 1 is significant taken alone."""
    return np.asarray(np.abs(pairs.centre) / chance.half)


def stepped_down(chance: Chance, pairs: Pairs, chosen: Int[np.ndarray, " q"], level: float = 0.95) -> Family:
    """Correct the chosen pairs for each other: the baseline against each, or all pairs."""
    if len(chosen) == 0:
        return Family(chosen, np.zeros(0), 1.0)
    size = observed(chance, pairs)[chosen]
    order = np.argsort(-size, kind="stable")
    exceeded, largest = np.zeros(len(chosen)), []
    for ratio in _ratios(chance, pairs, chosen[order]):
        rest = np.maximum.accumulate(ratio[:, ::-1], axis=1)[:, ::-1]
        exceeded += (rest >= size[order]).sum(axis=0)
        largest.append(rest[:, 0])
    p = np.empty(len(chosen))
    p[order] = np.maximum.accumulate((exceeded + 1) / (len(chance.errors) + 1))
    p = np.maximum(p, pairs.p_value()[chosen])
    return Family(chosen, np.minimum(1.0, p), max(1.0, float(np.quantile(np.concatenate(largest), level))))


def with_one_answer(one: Family, other: Family) -> tuple[Family, Family]:
    """Return both families with the larger p for each pair that both contain: one question has one answer.

    Fewer claims than a family allows are no more often false.
    """
    _, here, there = np.intersect1d(one.pairs, other.pairs, return_indices=True)
    larger = np.maximum(one.p[here], other.p[there])
    found = []
    for family, at in ((one, here), (other, there)):
        p = family.p.copy()
        p[at] = larger
        found.append(replace(family, p=p))
    return found[0], found[1]


def best_against_each(chance: Chance, pairs: Pairs, runs: int, best: int, level: float = 0.95) -> Family:
    """Correct the best run's pairs for its having been picked as the best: all pairs of the runs in question count."""
    table = np.full((runs, runs), -1)
    table[pairs.a, pairs.b] = table[pairs.b, pairs.a] = np.arange(len(pairs.a))
    others = np.array([run for run in range(runs) if run != best], dtype=np.int64)
    size = observed(chance, pairs)[table[best, others]]
    others = others[np.argsort(size, kind="stable")]  # the closest first
    chosen = np.concatenate([table[run, [best, *others[:place]]] for place, run in enumerate(others)])
    starts = np.cumsum([0, *range(1, len(others))])
    ordered = table[best, others]
    size = observed(chance, pairs)[ordered]
    exceeded, largest = np.zeros(len(others)), []
    for ratio in _ratios(chance, pairs, chosen):
        within = np.maximum.accumulate(np.maximum.reduceat(ratio, starts, axis=1), axis=1)
        exceeded += (within >= size).sum(axis=0)
        largest.append(within[:, -1])
    p = np.maximum.accumulate(((exceeded + 1) / (len(chance.errors) + 1))[::-1])[::-1]
    p = np.maximum(p, pairs.p_value()[ordered])
    return Family(ordered, np.minimum(1.0, p), max(1.0, float(np.quantile(np.concatenate(largest), level))))


def differing(runs: int, pairs: Pairs, significant: Bool[np.ndarray, " p"]) -> Bool[np.ndarray, "r r"]:
    """Return which runs differ, as a symmetric table."""
    table = np.zeros((runs, runs), dtype=bool)
    table[pairs.a, pairs.b] = table[pairs.b, pairs.a] = significant
    return table


def of_run(pairs: Pairs, run: int) -> Sequence[int]:
    """Return the places of the pairs with one run."""
    return [int(k) for k in np.flatnonzero((pairs.a == run) | (pairs.b == run))]
