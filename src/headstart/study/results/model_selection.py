"""Chooses a study's best model, and says by which rule: on validation, never on test, allowing for chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.evaluate.metrics.names import measure_name
from headstart.evaluate.metrics.scoring import METRICS, image_scores, score_of

_DIGITS = 12  # of a mean over seeds: what is equal but for rounding is equal
_EQUAL = 1e-9  # relative: a lead of one image is its standard error, but for rounding
_NAMED = 3  # runs with the same mean
_RESAMPLES = 200  # of the images, where a metric is not a mean over them


@dataclass(frozen=True)
class Candidate:
    """A run with one seed that has been judged on validation images.

    Args:
        run: its name.
        score: its merit there by the study's metric: the larger, the better.
        folder: of the run and seed; it holds predictions.npz.
        baseline: it has no network, or does not look at the image.
        parameters: how large its model is.
        seed: which seed.
        log_loss: on validation.
    """

    run: str
    score: float
    folder: Path
    baseline: bool = False
    parameters: int = 0
    seed: int = 0
    log_loss: float = 0.0


def choose(candidates: Sequence[Candidate], ensembles: Container[str], metric: str = "accuracy") -> tuple[str, str]:
    """Return the name of the run to keep, and by which rule it was chosen.

    The run with the best mean on validation over the seeds that the complete runs share; a run with fewer of them, for
    which a budget was not enough, counts as the best complete run plus its mean lead over that run on the seeds of
    both. But where a run with more trainings, or an ensemble with as many, is below it by no more than one standard
    error of the difference on the same images (each counts once, by the mean over the seeds that were judged on it),
    that one; a baseline stands in for no network. A study has many single runs, and the one that happens to lead on few
    images or trainings is likely to have been lucky; a mean of networks errs less on new images (the rule of one
    standard error: Breiman, Friedman, Olshen and Stone, Classification and regression trees, 1984, section 3.4.3;
    figures: LOG.md). Where the two do not differ on any image, the first is kept. Of runs with the same mean, a network
    comes before a baseline, then the one with more trainings, then the smaller model.

    Args:
        candidates: at least one.
        ensembles: the names that average other runs.
        metric: by which they were judged.
    """
    fair = _fair(candidates)
    means, trainings = _means(fair), _trainings(fair)
    best = _best(means, fair)
    for rivals in _surer(best, fair, ensembles):
        rival = _best({name: means[name] for name in rivals}, fair)
        gap, error = means[best] - means[rival], _standard_error(fair, best, rival, metric)
        if gap <= (1 + _EQUAL) * error and error > 0:
            level = f"{_plain(metric)} within one standard error of the {_extreme(metric)}, that of {best!r}"
            if rival in ensembles and best not in ensembles:
                return rival, f"{level}: an ensemble before a single run"
            return rival, f"{level}: {trainings[rival]} trainings before {trainings[best]}"
    return best, _rule(best, means, fair, metric)


def _surer(best: str, candidates: Sequence[Candidate], ensembles: Container[str]) -> list[list[str]]:
    """Return the runs that go before the best one if they are as good but for chance, the surest kind first."""
    trainings, baselines = _trainings(candidates), {each.run for each in candidates if each.baseline}
    own = (trainings[best], best in ensembles)
    kinds: dict[tuple[int, bool], list[str]] = {}
    for name, count in trainings.items():
        kind = (count, name in ensembles)
        if kind > own and (name not in baselines or best in baselines):
            kinds.setdefault(kind, []).append(name)
    return [kinds[kind] for kind in sorted(kinds, reverse=True)]


def _plain(metric: str) -> str:
    return f"validation {measure_name(metric)}"


def _extreme(metric: str) -> str:
    return "highest" if METRICS[metric].higher_is_better else "lowest"


def best_single(
    candidates: Sequence[Candidate], ensembles: Container[str], metric: str = "accuracy"
) -> tuple[str, str]:
    """Return the run of one network with the best mean on validation, and by which rule it was chosen."""
    best, by = choose([each for each in _fair(candidates) if each.run not in ensembles], (), metric)
    return best, f"{by}, among single networks"


def _rule(best: str, means: Mapping[str, float], candidates: Sequence[Candidate], metric: str) -> str:
    """Describe what decided: the metric alone, or what made the difference between runs with the same mean."""
    by_name = {each.run: each for each in candidates}
    level = [name for name in means if means[name] == means[best] and name != best]
    trainings = _trainings(candidates)
    alone, most = f"the {_extreme(metric)} {_plain(metric)}", max(trainings.values())
    if trainings[best] < most:
        alone += f" (of {trainings[best]} of {most} trainings, beside the others' on the same images)"
    if not level:
        return alone
    rules = []
    if any(by_name[name].baseline and not by_name[best].baseline for name in level):
        rules.append("a network over a baseline")
    same = [by_name[name] for name in level if by_name[name].baseline == by_name[best].baseline]
    if any(trainings[each.run] < trainings[best] for each in same):
        rules.append("more trainings")
    same = [each for each in same if trainings[each.run] == trainings[best]]
    if any(each.parameters > by_name[best].parameters for each in same):
        rules.append("the smaller model")
    if any(each.parameters == by_name[best].parameters for each in same):
        rules.append("the first in the study")
    names = ", ".join(map(repr, level[:_NAMED])) + (f" and {len(level) - _NAMED} more" if len(level) > _NAMED else "")
    return f"{alone}, tied with {names}; ties go to {', then '.join(rules)}"


def representative(candidates: Sequence[Candidate], run: str) -> Candidate:
    """Return the seed of a run with the median score; of those with the same score, the one with the least log loss.

    The best seed on validation is likely to have been lucky there, and its score says too much of what is saved.
    """
    own = sorted((each for each in candidates if each.run == run), key=lambda each: each.score)
    median = own[len(own) // 2].score
    return min((each for each in own if each.score == median), key=lambda each: each.log_loss)


def _best(means: Mapping[str, float], candidates: Sequence[Candidate]) -> str:
    """Return the run with the highest mean; of equals a network before a baseline, more trainings, a smaller model."""
    by_name, trainings = {each.run: each for each in candidates}, _trainings(candidates)
    return max(
        means,
        key=lambda name: (means[name], not by_name[name].baseline, trainings[name], -by_name[name].parameters),
    )


def _fair(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those of the seeds that the runs with the most seeds share: a budget may leave other runs with fewer."""
    seeds: dict[str, set[str]] = {}
    for each in candidates:
        seeds.setdefault(each.run, set()).add(each.folder.name)
    most = max(map(len, seeds.values()))
    shared = set.intersection(*(own for own in seeds.values() if len(own) == most))
    return [each for each in candidates if each.folder.name in shared] or list(candidates)


def _means(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Return the mean of each run; of one with fewer seeds than others, what it would be if its lead on them held."""
    scores: dict[str, dict[str, float]] = {}
    for each in candidates:
        scores.setdefault(each.run, {})[each.folder.name] = each.score
    most = max(map(len, scores.values()))
    plain = {name: float(np.mean(list(own.values()))) for name, own in scores.items()}
    best = max((name for name, own in scores.items() if len(own) == most), key=plain.__getitem__)
    found = {}
    for name, own in scores.items():
        leads = [own[seed] - scores[best][seed] for seed in own.keys() & scores[best].keys()]
        known = len(own) == most or not leads
        found[name] = round(plain[name] if known else plain[best] + float(np.mean(leads)), _DIGITS)
    return found


def _trainings(candidates: Sequence[Candidate]) -> Counter[str]:
    """Return how many seeds of each run were judged."""
    return Counter(each.run for each in candidates)


def _standard_error(candidates: Sequence[Candidate], first: str, second: str, metric: str) -> float:
    """Return the standard error of the mean difference of two runs, paired by image; 0 where no image pairs."""
    one, other = (
        {each.folder.name: each.folder for each in candidates if each.run == name} for name in (first, second)
    )
    each: dict[int, list[float]] = {}
    for seed in sorted(one.keys() & other.keys()):
        mine, its = _judged(one[seed]), _judged(other[seed])
        scores = _image_scores(mine, metric), _image_scores(its, metric)
        if scores[0] is None or scores[1] is None:
            return _resampled_error(mine, its, metric)
        for row in scores[0].keys() & scores[1].keys():
            each.setdefault(row, []).append(scores[0][row] - scores[1][row])
    differences = np.array([np.mean(found) for found in each.values()])  # seeds may be judged on the same images
    return float(differences.std(ddof=1) / len(differences) ** 0.5) if len(differences) > 1 else 0.0


def _judged(folder: Path) -> dict[str, npt.NDArray[Any]]:
    with np.load(folder / "predictions.npz") as arrays:
        return {name: arrays[f"validation_{name}"] for name in ("rows", "labels", "probabilities")}


def _image_scores(judged: Mapping[str, npt.NDArray[Any]], metric: str) -> dict[int, float] | None:
    """Return for each validation row its score; None where the metric is not a mean over images."""
    scores = image_scores(judged["probabilities"], judged["labels"], metric)
    return None if scores is None else dict(zip(judged["rows"].tolist(), scores.tolist(), strict=True))


def _resampled_error(mine: Mapping[str, npt.NDArray[Any]], its: Mapping[str, npt.NDArray[Any]], metric: str) -> float:
    """Return the standard error of the difference of two scores by resampling the images of one seed."""
    generator = np.random.default_rng(0)
    n = len(mine["labels"])
    draws = (generator.integers(0, n, n) for _ in range(_RESAMPLES))
    found = [
        score_of(mine["probabilities"][rows], mine["labels"][rows], metric)
        - score_of(its["probabilities"][rows], its["labels"][rows], metric)
        for rows in draws
    ]
    known = np.array([gap for gap in found if np.isfinite(gap)])
    return float(known.std(ddof=1)) if len(known) > 1 else 0.0
