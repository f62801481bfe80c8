"""Which run is best, and is it really better? Means over seeds and images, compared in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

import numpy as np
from jaxtyping import Bool, Float, Int

from headstart.errors import DataError, SpecError, unknown_name
from headstart.evaluate.comparison import paired_tests as paired
from headstart.evaluate.comparison.multiple_testing import compact_letters, holm
from headstart.evaluate.comparison.variance_components import Spread, spread_of, spread_of_difference, t_quantile
from headstart.evaluate.metrics.guards import check_runs_differ
from headstart.evaluate.metrics.intervals import LEVEL, RESAMPLES, normal_quantile, wilson_at

Scores = Bool[np.ndarray, "s n"] | Float[np.ndarray, "s n"]
OtherScores = Bool[np.ndarray, "t n"] | Float[np.ndarray, "t n"]  # of a run with another number of seeds
ALPHA = 0.05


class Ranked(TypedDict):
    """One row of the ranking; the interval holds for other seeds and other images of the same kind.

    `tied_with_best`: it may still be the best. `letters`: runs that share one are not told apart.
    """

    run: str
    mean: float
    sd: float | None
    low: float
    high: float
    n: int
    seeds: int
    tied_with_best: bool
    letters: str


class Pair(TypedDict):
    """One comparison: a minus b, the better first; `p_holm` is corrected for all in its list."""

    a: str
    b: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    significant: bool
    test: str
    bootstrap_low: float | None
    bootstrap_high: float | None
    bootstrap_p: float | None
    verdict: str


class Comparison(TypedDict):
    """Runs compared: the ranking, every pair, each against the baseline (or none), and it in words."""

    ranking: list[Ranked]
    pairwise: list[Pair]
    against_baseline: list[Pair]
    baseline: str | None
    best: str
    answer: str
    notes: list[str]


def over_seeds(values: Sequence[float], level: float = LEVEL) -> dict[str, float | int | None]:
    """Return mean, sd and the t-interval of one figure per seed (sd and interval None for one seed)."""
    figures = np.asarray(values, dtype=np.float64)
    count, mean = len(figures), float(figures.mean())
    if count < 2:
        return {"mean": mean, "sd": None, "low": None, "high": None, "seeds": count}
    sd = float(figures.std(ddof=1))
    half = t_quantile(count - 1, level) * sd / np.sqrt(count)
    return {"mean": mean, "sd": sd, "low": float(mean - half), "high": float(mean + half), "seeds": count}


def over_seeds_and_images(
    scores: Scores, images: Int[np.ndarray, "s n"] | None = None, level: float = LEVEL
) -> tuple[float, float, float]:
    """Return the mean and an interval that holds for other seeds and other images of the same kind.

    With one seed it holds for other images only. Shares of right answers stay within 0 … 1 and keep a
    width where every answer is right (Wilson's form); other scores get mean ± t · error.

    Args:
        scores: one row a seed: right or wrong, or any score whose mean is meant.
        images: which image each column is of, where each seed has its own test images.
        level: of confidence.
    """
    spread = spread_of(scores.astype(np.float64), images)
    p, half = spread.mean, spread.half_width(level)
    if scores.dtype != np.bool_:
        return p, p - half, p + half
    if not 0 < p < 1 or spread.error == 0:
        return p, *wilson_at(p, scores.shape[1], normal_quantile(level))
    return p, *wilson_at(p, p * (1 - p) / spread.error**2, half / spread.error)


def compare_runs(
    correct: Mapping[str, Scores],
    baseline: str | None = None,
    *,
    images: Int[np.ndarray, "s n"] | None = None,
    pair_seeds: bool | None = None,
    higher_is_better: bool = True,
    draws: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Rank runs and say which differences are more than chance.

    Args:
        correct: run → right or wrong on each test image, one row a seed; or any score per image whose mean
            is meant (log loss). Columns are the same images for every run.
        baseline: the run that the others are set against, in a list corrected on its own.
        images: which image each column is of, one row a seed, where every seed has its own test images
            (row k of each run is then tested on the same images); None where all seeds share them.
        pair_seeds: row k of one run belongs with row k of another, because they learned from the same
            sample of images (shots, fractions, folds). By default only where `images` is given.
        higher_is_better: False for losses.
        draws: resamples of the paired bootstrap, which is shown beside the test.
        seed: of the bootstrap.

    Raises:
        DataError: no runs, runs on other images, a run compared with itself.
        SpecError: an unknown baseline.
    """
    _check(correct, baseline, images, pair_seeds)
    share = all(scores.dtype == np.bool_ for scores in correct.values())
    sign = 1.0 if higher_is_better else -1.0
    names = sorted(correct, key=lambda run: (-sign * float(correct[run].mean()), run))
    pairing = pair_seeds if pair_seeds is not None else images is not None
    again = None
    if images is None and len(names) > 1:
        again = paired.resampled_means({r: correct[r].astype(np.float64) for r in names}, draws, seed)
    tests = {
        (a, b): _test(correct[a], correct[b], images, pairing)
        for place, a in enumerate(names)
        for b in names[place + 1 :]
    }
    pairwise = _rows(list(tests), tests, again, sign, share)
    chosen = [pair for pair in tests if baseline in pair]
    against = (
        [_facing(row, baseline, sign, share) for row in _rows(chosen, tests, again, sign, share)] if baseline else []
    )
    differs = np.zeros((len(names), len(names)), dtype=bool)
    for row in pairwise:
        a, b = names.index(row["a"]), names.index(row["b"])
        differs[a, b] = differs[b, a] = row["significant"]
    letters = compact_letters(differs)
    tied = [not differs[0, k] and (k == 0 or not _beaten(tests, names, k)) for k in range(len(names))]
    ranking = [_ranked(run, correct[run], images, tied[k], letters[k]) for k, run in enumerate(names)]
    return Comparison(
        ranking=ranking,
        pairwise=pairwise,
        against_baseline=against,
        baseline=baseline,
        best=names[0],
        answer=_answer(ranking, share),
        notes=_notes(correct, pairing),
    )


Test = tuple[float, float, float, float, str]  # difference, low, high, p, the test's name


def _test(a: Scores, b: OtherScores, images: Int[np.ndarray, "s n"] | None, pairing: bool) -> Test:
    x, y = a.astype(np.float64), b.astype(np.float64)
    if a.dtype == b.dtype == np.bool_ and images is None and paired.same_rows(x) and paired.same_rows(y):
        low, high = paired.difference_interval(a[0], b[0])
        return float(x[0].mean() - y[0].mean()), low, high, paired.mcnemar(a[0], b[0]), "exact McNemar"
    spread: Spread = spread_of_difference(x, y)
    if pairing:  # half the degrees of freedom: Satterthwaite's answer would be too sure
        spread = replace(spread_of(x - y, images), caution=1.0)
    half = spread.half_width()
    kind = "t over seeds and images" if max(len(a), len(b)) > 1 else "t over images"
    return spread.mean, spread.mean - half, spread.mean + half, spread.p_value(), kind


def _beaten(tests: Mapping[tuple[str, str], Test], names: Sequence[str], place: int) -> bool:
    """Say whether a run is not the best, at 95 %: multiple comparisons with the best (Hsu 1984).

    It is set against the leader alone, one-sided, at a level divided by the number of other runs: the run that is
    the best in truth is beaten so clearly by any of them in at most 5 % of studies. Of two runs Holm's test decides.
    """
    others = len(names) - 1
    return others > 1 and tests[names[0], names[place]][3] / 2 <= ALPHA / others


def _rows(
    pairs: Sequence[tuple[str, str]],
    tests: Mapping[tuple[str, str], Test],
    again: Mapping[str, Float[np.ndarray, " b"]] | None,
    sign: float,
    share: bool,
) -> list[Pair]:
    corrected = holm(np.array([tests[pair][3] for pair in pairs], dtype=np.float64))
    rows = []
    for pair, p_holm in zip(pairs, corrected, strict=True):
        difference, low, high, p, kind = tests[pair]
        row = Pair(
            a=pair[0],
            b=pair[1],
            difference=difference,
            low=low,
            high=high,
            p=p,
            p_holm=float(p_holm),
            significant=bool(p_holm <= ALPHA),
            test=kind,
            bootstrap_low=None,
            bootstrap_high=None,
            bootstrap_p=None,
            verdict="",
        )
        if again is not None:
            draws = again[pair[0]] - again[pair[1]]
            row["bootstrap_low"], row["bootstrap_high"] = (float(q) for q in np.quantile(draws, [0.025, 0.975]))
            row["bootstrap_p"] = paired.bootstrap_p(draws)
        row["verdict"] = _verdict(row, sign, share)
        rows.append(row)
    return rows


def _facing(row: Pair, baseline: str, sign: float, share: bool) -> Pair:
    """Turn a row around where needed, so that it reads as the run minus the baseline."""
    if row["b"] == baseline:
        return row
    turned = row.copy()
    turned["a"], turned["b"] = row["b"], row["a"]
    turned["difference"], turned["low"], turned["high"] = -row["difference"], -row["high"], -row["low"]
    low, high = row["bootstrap_low"], row["bootstrap_high"]
    turned["bootstrap_low"] = None if high is None else -high
    turned["bootstrap_high"] = None if low is None else -low
    turned["verdict"] = _verdict(turned, sign, share)
    return turned


def _verdict(row: Pair, sign: float, share: bool) -> str:
    low, high = _figure(row["low"], share, "+"), _figure(row["high"], share, "+")
    size = f"{_figure(row['difference'], share, '+')}{' points' if share else ''} ({low} to {high})"
    chance = "p < 0.001" if row["p_holm"] < 0.001 else f"p = {row['p_holm']:.2g}"
    if not row["significant"]:
        return f"no evidence of a difference: {size}, {chance} after Holm"
    word = "better" if sign * row["difference"] > 0 else "worse"
    return f"{row['a']} is {word} than {row['b']}: {size}, {chance} after Holm"


def _figure(value: float, share: bool, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}" if share else f"{value:{sign}.3g}"


def _ranked(run: str, scores: Scores, images: Int[np.ndarray, "s n"] | None, tied: bool, letters: str) -> Ranked:
    mean, low, high = over_seeds_and_images(scores, images)
    per_seed = scores.mean(axis=1)
    return Ranked(
        run=run,
        mean=mean,
        sd=float(per_seed.std(ddof=1)) if len(per_seed) > 1 else None,
        low=low,
        high=high,
        n=int(scores.shape[1]),
        seeds=len(scores),
        tied_with_best=tied,
        letters=letters,
    )


def _answer(ranking: Sequence[Ranked], share: bool) -> str:
    best, *rest = ranking
    low, high = _figure(best["low"], share), _figure(best["high"], share)
    score = f"{_figure(best['mean'], share)}{' %' if share else ''} ({low} to {high})"
    if not rest:
        return f"{best['run']}: {score}; nothing to compare it with"
    tied = [row["run"] for row in rest if row["tied_with_best"]]
    if not tied:
        return f"{best['run']} is best: {score}, better than each of the {len(rest)} others"
    names = ", ".join(tied[:3]) + (f" and {len(tied) - 3} more" if len(tied) > 3 else "")
    return f"{best['run']} leads: {score}; no evidence that it is better than {names}"


def _notes(correct: Mapping[str, Scores], pairing: bool) -> list[str]:
    notes = []
    single = sorted(run for run, scores in correct.items() if len(scores) == 1)
    if single:
        notes.append(f"one seed only ({', '.join(single)}): its interval holds for other images, not for other seeds")
    counts = {len(scores) for scores in correct.values()}
    if len(counts) > 1 and not pairing:
        notes.append(f"runs have between {min(counts)} and {max(counts)} seeds")
    return notes


def _check(
    correct: Mapping[str, Scores], baseline: str | None, images: Int[np.ndarray, "s n"] | None, pair_seeds: bool | None
) -> None:
    if not correct:
        raise DataError("there are no runs to compare")
    if baseline is not None and baseline not in correct:
        raise SpecError(unknown_name("run as the baseline", baseline, correct))
    sizes = {run: scores.shape[1] for run, scores in correct.items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        listed = ", ".join(f"{run}: {size}" for run, size in sorted(sizes.items()))
        raise DataError(f"runs can be compared only on the same test images; these have {listed} images")
    seeds = {len(scores) for scores in correct.values()}
    if len(seeds) > 1 and (images is not None or pair_seeds):
        raise DataError("runs whose seeds belong together need the same seeds; compare those that all of them have")
    check_runs_differ(correct)
