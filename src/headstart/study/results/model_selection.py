"""Which run a study keeps: chosen on validation, never on test, and not swayed by a few lucky images."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

VALIDATION = "validation accuracy"


@dataclass(frozen=True)
class Candidate:
    """A run with one seed that has been judged on validation images.

    Args:
        run: its name.
        score: accuracy there.
        folder: of the run and seed; it holds predictions.npz.
        baseline: it has no network, or does not look at the image.
        parameters: how large its model is.
    """

    run: str
    score: float
    folder: Path
    baseline: bool = False
    parameters: int = 0


def choose(candidates: Sequence[Candidate], ensembles: Container[str]) -> tuple[str, str]:
    """Return the name of the run to keep, and by what it was chosen.

    The run with the highest mean validation accuracy over the seeds that all runs have; but where an ensemble is
    below a single run by no more than one standard error of the difference on the same images (each counts once,
    by the mean over the seeds that were judged on it), the ensemble. A study
    has many single runs, and the one that happens to lead on few images is likely to have been lucky; a mean of
    networks errs less on new images (the rule of one standard error: Breiman, Friedman, Olshen and Stone,
    Classification and regression trees, 1984, section 3.4.3; figures: LOG.md).

    Args:
        candidates: at least one.
        ensembles: the names that average other runs.
    """
    fair = _fair(candidates)
    means = _means(fair)
    best = _best(means, fair)
    averaged = [name for name in means if name in ensembles]
    if best in ensembles or not averaged:
        return best, VALIDATION
    rival = max(averaged, key=means.__getitem__)
    if means[best] - means[rival] > _standard_error(fair, best, rival):
        return best, VALIDATION
    return rival, f"{VALIDATION}: within one standard error of {best!r}, the best single run there"


def best_single(candidates: Sequence[Candidate], ensembles: Container[str]) -> str:
    """Return the run of one network with the highest mean validation accuracy."""
    fair = [each for each in _fair(candidates) if each.run not in ensembles]
    return _best(_means(fair), fair)


def _best(means: Mapping[str, float], candidates: Sequence[Candidate]) -> str:
    """Return the run with the highest mean; of equals a network before a baseline, and the smaller model first."""
    by_name = {each.run: each for each in candidates}
    return max(means, key=lambda name: (means[name], not by_name[name].baseline, -by_name[name].parameters))


def _fair(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those of the seeds that all runs have: a budget may leave a run with fewer."""
    seeds: dict[str, set[str]] = {}
    for each in candidates:
        seeds.setdefault(each.run, set()).add(each.folder.name)
    shared = set.intersection(*seeds.values())
    return [each for each in candidates if each.folder.name in shared] or list(candidates)


def _means(candidates: Sequence[Candidate]) -> dict[str, float]:
    names = dict.fromkeys(each.run for each in candidates)
    return {name: float(np.mean([each.score for each in candidates if each.run == name])) for name in names}


def _standard_error(candidates: Sequence[Candidate], first: str, second: str) -> float:
    """Return the standard error of the mean difference of two runs, paired by image; 0 where no image pairs."""
    one, other = (
        {each.folder.name: each.folder for each in candidates if each.run == name} for name in (first, second)
    )
    each: dict[int, list[float]] = {}
    for seed in sorted(one.keys() & other.keys()):
        mine, its = _right(one[seed]), _right(other[seed])
        for row in mine.keys() & its.keys():
            each.setdefault(row, []).append(float(mine[row]) - float(its[row]))
    differences = np.array([np.mean(found) for found in each.values()])  # seeds may be judged on the same images
    return float(differences.std(ddof=1) / len(differences) ** 0.5) if len(differences) > 1 else 0.0


def _right(folder: Path) -> dict[int, bool]:
    """Return for each validation row whether the run was right; with several labels, in all of them."""
    with np.load(folder / "predictions.npz") as arrays:
        labels, probabilities = arrays["validation_labels"], arrays["validation_probabilities"]
        right = ((probabilities > 0.5) == labels).all(1) if labels.ndim == 2 else probabilities.argmax(1) == labels
        return dict(zip(arrays["validation_rows"].tolist(), right.tolist(), strict=True))
