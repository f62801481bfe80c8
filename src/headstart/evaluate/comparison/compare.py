"""Which run is best, and is it really better? Means over seeds and images, and every difference with a verdict.

`compare_runs` calls the stages by name: what the scores say about seeds and images (`sources`), what is known of seeds'
spreads (`seed_spread`), what chance alone may do to the families that are asked (`families`), what a difference means
(`verdict`), the leader's interval (`leader`), and the words (`sentences`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Int
from scipy import special

from headstart.errors import DataError, SpecError, unknown_name
from headstart.evaluate.comparison import sentences
from headstart.evaluate.comparison.families import (
    Chance,
    Family,
    best_against_each,
    chances_of,
    differing,
    of_run,
    paired_chance,
    stepped_down,
    with_one_answer,
)
from headstart.evaluate.comparison.leader import Leader, interval_of, leader_of, means_of
from headstart.evaluate.comparison.letters import compact_letters
from headstart.evaluate.comparison.sources import Bounds, Pairs, Runs, Scores, paired_pairs, pairs_of, runs_of
from headstart.evaluate.comparison.tables import ALPHA, Pair, PairRows, Ranked, State, ranked
from headstart.evaluate.comparison.verdict import Category
from headstart.evaluate.metrics.guards import check_runs_differ
from headstart.evaluate.metrics.intervals import LEVEL

MARGIN = 0.01
DRAWS = 2000


class Comparison(TypedDict):
    """Runs compared.

    `against_best`: the first of the ranking against each other run, in order of the ranking. `against_baseline`: each
    run against the baseline (or empty). `pairwise`: all pairs, a second table that answers another question and is
    stricter. `leader`: the first of the ranking, with an interval that allows for its having been picked as the best.
    `safe`: runs that may be preferred for their cost, the first included.
    """

    ranking: list[Ranked]
    against_best: list[Pair]
    against_baseline: list[Pair]
    pairwise: list[Pair]
    baseline: str | None
    best: str
    leader: Leader
    safe: list[str]
    margin: float
    answer: str
    notes: list[str]


def over_seeds(
    values: Sequence[float], level: float = LEVEL, bounds: Bounds | None = None
) -> dict[str, float | int | None]:
    """Return mean, sd and the t-interval of one figure per seed (sd and interval None for one seed).

    Within `bounds` the interval has Wilson's form, which cannot leave them.
    """
    figures = np.asarray(values, dtype=np.float64)
    count, mean = len(figures), float(figures.mean())
    if count < 2:
        return {"mean": mean, "sd": None, "low": None, "high": None, "seeds": count}
    sd = float(figures.std(ddof=1))
    reach, error = float(special.stdtrit(count - 1, 0.5 + level / 2)), sd / np.sqrt(count)
    if bounds is not None and bounds[0] < mean < bounds[1] and error > 0:
        effective = (mean - bounds[0]) * (bounds[1] - mean) / error**2
        low, high = interval_of(mean, error, effective, reach, bounds)
    else:
        low, high = mean - reach * error, mean + reach * error
    return {"mean": mean, "sd": sd, "low": float(low), "high": float(high), "seeds": count}


def compare_runs(
    correct: Mapping[str, Scores | Int[np.ndarray, "s n"]],
    baseline: str | None = None,
    *,
    images: Int[np.ndarray, "s n"] | None = None,
    pair_seeds: bool | None = None,
    higher_is_better: bool = True,
    margin: float = MARGIN,
    deterministic: Collection[str] = (),
    bounds: Bounds | None = None,
    percent: bool | None = None,
    folds: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Rank runs and say of each difference whether it is more than chance, and whether it matters.

    Args:
        correct: run → right or wrong (True and False, or the integers 1 and 0) on each test image, one row a seed; or
            any score per image whose mean is meant (log loss). Columns are the same images for every run.
        baseline: the run that each other is compared with, in a list corrected on its own.
        images: which image each column is of, one row a seed, where every seed has its own test images
            (row k of each run is then tested on the same images); None where all seeds share them.
        pair_seeds: row k of one run belongs with row k of another, because they learned from the same
            sample of images (shots, fractions, folds). Always so where `images` is given.
        higher_is_better: False for losses.
        margin: differences up to it do not matter, in the unit of the scores.
        deterministic: runs in which nothing is random, so that another seed changes nothing. All others may vary
            from seed to seed, also those that have one seed, or whose seeds all gave the same answers.
        bounds: least and greatest possible mean of scores that are not right or wrong (balanced accuracy: 0, 1).
        percent: write scores as percentages; by default those that are right or wrong.
        folds: of a cross-validation whose repeats are the rows: trainings whose test images make up one row. Their
            mean varies less, and sentences speak of repeats. None: a row is a seed.
        draws: of seeds and images, by which families are corrected.
        seed: of the draws.

    Raises:
        DataError: no runs, runs on other images, a run compared with itself, a run declared deterministic that varies,
            a score that is not a finite number.
        SpecError: an unknown baseline or deterministic run, or a margin below zero.
    """
    check_runs_differ(correct)
    scores = {run: _outcomes(given) for run, given in correct.items()}
    _check(scores, baseline, images, pair_seeds, deterministic, margin)
    sign = 1.0 if higher_is_better else -1.0
    names = sorted(scores, key=lambda run: (-sign * float(scores[run].mean()), run))
    pairing = bool(pair_seeds) or images is not None
    limits = _bounds(scores, bounds)
    runs = runs_of(scores, names, images, deterministic, limits, folds)
    pairs = paired_pairs(scores, runs, images) if pairing else pairs_of(runs)
    if pairing:
        rows = np.stack([scores[name].mean(axis=1) for name in names], axis=1)
        chances = (paired_chance(runs, pairs, rows, draws, seed),) * 2
    else:
        chances = chances_of(runs, pairs, draws, seed)
    return _compared(scores, runs, pairs, chances, baseline, sign, margin, pairing, percent)


def _compared(
    correct: Mapping[str, Scores],
    runs: Runs,
    pairs: Pairs,
    chances: tuple[Chance, Chance],
    baseline: str | None,
    sign: float,
    margin: float,
    pairing: bool,
    percent: bool | None,
) -> Comparison:
    names, count = runs.names, len(runs.names)
    nothing = Family(np.zeros(0, dtype=np.int64), np.zeros(0), 1.0)
    chance, of_all = chances
    every = stepped_down(of_all, pairs, np.arange(len(pairs.a)))
    lead = best_against_each(chance, pairs, count, 0) if count > 1 else nothing
    facing = nothing
    if baseline is not None:
        facing = stepped_down(chance, pairs, np.array(of_run(pairs, names.index(baseline)), dtype=np.int64))
        lead, facing = with_one_answer(lead, facing)
    share = all(scores.dtype == np.bool_ for scores in correct.values()) if percent is None else percent
    rows = PairRows(runs, pairs, sign, margin, share)
    against_best = [rows.row(lead, int(k)) for k in np.argsort(lead.pairs)]
    behind = {names[int(pairs.b[k])]: float(rows.beliefs.ahead[k]) for k in lead.pairs}
    state: dict[str, State] = {names[0]: "best"}
    state |= {row["b"]: "behind" if row["significant"] else _open(row["category"]) for row in against_best}
    means = means_of(runs)
    leader = leader_of(runs, means, chance, np.array([state[run] != "behind" for run in names]), sign)
    significant = np.zeros(len(pairs.a), dtype=bool)
    significant[every.pairs] = every.p <= ALPHA
    letters = compact_letters(differing(count, pairs, significant))
    ranking = [
        ranked(correct[run], runs, means, k, state[run], behind.get(run, 0.0), letters[k])
        for k, run in enumerate(names)
    ]
    return Comparison(
        ranking=ranking,
        against_best=against_best,
        against_baseline=[rows.row(facing, k) for k in range(len(facing.pairs))],
        pairwise=[rows.row(every, k) for k in range(len(every.pairs))],
        baseline=baseline,
        best=names[0],
        leader=leader,
        safe=[row["run"] for row in ranking if row["within_margin"]],
        margin=margin,
        answer=_answer(ranking, leader, against_best, share, runs),
        notes=_notes(correct, runs, pairing),
    )


def _open(category: Category) -> State:
    return "tied" if category == "tied" else "cannot tell"


def _answer(ranking: Sequence[Ranked], leader: Leader, against: Sequence[Pair], share: bool, runs: Runs) -> str:
    low, high = sentences.figure(leader["low"], share), sentences.figure(leader["high"], share)
    score = f"{sentences.figure(leader['mean'], share)}{' %' if share else ''} ({low} to {high})"
    tied = [row["run"] for row in ranking if row["state"] == "tied"]
    unclear = [row for row in against if row["category"] == "cannot tell"]
    question = ""
    if unclear:
        first = unclear[0]
        size = sentences.size_of(first["difference"], first["low"], first["high"], share)
        question = size + sentences.settled(first["needed"], runs.n, runs.unit)
    level = [row["run"] for row in ranking[1:] if row["mean"] == ranking[0]["mean"]]
    return sentences.answer(leader["run"], score, len(against), tied, [row["b"] for row in unclear], question, level)


def _notes(correct: Mapping[str, Scores], runs: Runs, pairing: bool) -> list[str]:
    free = [run for run, fixed in zip(runs.names, runs.deterministic, strict=True) if not fixed]
    single = sorted(run for run in free if len(correct[run]) == 1)
    same = sorted(run for run in free if len(correct[run]) > 1 and bool((correct[run] == correct[run][:1]).all()))
    return sentences.notes(single, same, [len(correct[run]) for run in free], pairing, runs.unit)


def _bounds(correct: Mapping[str, Scores], bounds: Bounds | None) -> Bounds | None:
    return (0.0, 1.0) if all(scores.dtype == np.bool_ for scores in correct.values()) else bounds


def _outcomes(scores: Scores | Int[np.ndarray, "s n"]) -> Scores:
    """Return scores as they are, integers 0 and 1 as right or wrong, other integers as numbers."""
    if scores.dtype.kind not in "iu":
        return scores
    return scores.astype(bool) if bool(np.isin(scores, (0, 1)).all()) else scores.astype(np.float64)


def _check(
    correct: Mapping[str, Scores],
    baseline: str | None,
    images: Int[np.ndarray, "s n"] | None,
    pair_seeds: bool | None,
    deterministic: Collection[str],
    margin: float,
) -> None:
    if not correct:
        raise DataError("there are no runs to compare")
    if baseline is not None and baseline not in correct:
        raise SpecError(unknown_name("run as the baseline", baseline, correct))
    for run in sorted(deterministic):
        if run not in correct:
            raise SpecError(unknown_name("deterministic run", run, correct))
        if images is None and not bool((correct[run] == correct[run][:1]).all()):
            raise DataError(
                f"{run!r} is declared deterministic, but its seeds gave different scores: leave it out there"
            )
    if not margin >= 0:
        raise SpecError(
            f"the margin is {margin}; it must be zero or more, in the unit of the scores (0.01 is one point)"
        )
    sizes = {run: scores.shape[1] for run, scores in correct.items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        listed = ", ".join(f"{run}: {size}" for run, size in sorted(sizes.items()))
        raise DataError(f"runs can be compared only on the same test images; these have {listed} images")
    for run, scores in sorted(correct.items()):
        if not bool(np.isfinite(scores).all()):
            raise DataError(f"{run!r} has scores that are not finite numbers; leave it or those images out")
    seeds = {len(scores) for scores in correct.values()}
    if len(seeds) > 1 and (images is not None or pair_seeds):
        raise DataError("runs whose seeds belong together need the same seeds; compare those that all of them have")
