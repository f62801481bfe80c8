"""What the runs of one board scored: run by run a table of seeds and images, by the study's metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.evaluate.metrics.contributions import contributions
from headstart.evaluate.metrics.names import measure_name
from headstart.report.read.cross_validation import complete_repeats
from headstart.report.read.study_files import Outcome, Record, distinct

Scores = npt.NDArray[Any]  # bool or float64 [seeds, n]
ByRun = Mapping[str, Mapping[int, Record]]  # run → seed → record
Parts = Mapping[str, Sequence[Sequence[Outcome]]]  # run → one list a row of the table: the folds of a repeat


@dataclass(frozen=True)
class BoardScores:
    """The scores of the runs of one board.

    Args:
        metric: the study's, or accuracy where that is not defined for what was tested.
        scores: run → one number an image (or episode) and seed, whose mean is the metric.
        images: which image each column is of, where seeds differ in it, else None.
        fold: which fold of its repeat tested each column, with cross-validation, else None.
        notes: what a reader must know.
    """

    metric: str
    scores: Mapping[str, Scores]
    images: npt.NDArray[np.int64] | None
    notes: tuple[str, ...]
    fold: npt.NDArray[np.int64] | None = None


def board_scores(by_run: ByRun, kind: str, wanted: str, folds: int | None) -> BoardScores:
    """Return what the runs scored by the wanted metric, or by accuracy and a note that says so.

    Args:
        by_run: the records of each run by seed.
        kind: "images" or "episodes".
        wanted: the study's metric.
        folds: of cross-validation, or None.
    """
    if kind == "episodes":
        return _episodes(_with_a_common_seed(by_run))
    parts, images, notes = _rows(by_run, folds)
    found = BoardScores(wanted, {}, images, tuple(notes))
    if not parts:
        return found
    if folds is not None:
        found = replace(found, fold=np.stack([_fold_of_columns(row) for row in next(iter(parts.values()))]))
    scores = _tables(parts, wanted)
    if scores is not None:
        return replace(found, scores=scores)
    name = measure_name(wanted)
    note = f"{name} is not defined for these test images, so the ranking uses accuracy; choices followed {name}"
    return replace(found, metric="accuracy", scores=_tables(parts, "accuracy") or {}, notes=(*notes, note))


def _rows(by_run: ByRun, folds: int | None) -> tuple[Parts, npt.NDArray[np.int64] | None, list[str]]:
    """Return the outcomes of each run, row by row, which image each column is of where rows differ, and notes."""
    if folds is not None:
        repeats, notes = complete_repeats(by_run, folds)
        return {run: [[_outcome(r) for r in part] for part in own] for run, own in repeats.items()}, None, notes
    by_run = _with_a_common_seed(by_run)
    if _one_set_of_images(by_run):
        own = {run: distinct([seeds[s] for s in sorted(seeds)]) for run, seeds in by_run.items()}
        return {run: [[_outcome(record)] for record in records] for run, records in own.items()}, None, []
    common = _common_seeds(by_run)
    parts = {run: [[_outcome(seeds[s])] for s in common] for run, seeds in by_run.items()}
    images = np.stack([np.sort(row[0].rows) for row in next(iter(parts.values()))])
    return parts, images, ["each seed has its own test images", *_left_out(by_run, common)]


def _tables(parts: Parts, metric: str) -> dict[str, Scores] | None:
    """Return run → scores; None if the metric is not defined for some row."""
    found: dict[str, Scores] = {}
    for run, rows in parts.items():
        scores = [_image_scores(row, metric) for row in rows]
        known = [each for each in scores if each is not None]
        if len(known) < len(rows):
            return None
        found[run] = np.stack(known)
    return found


def _image_scores(outcomes: Sequence[Outcome], metric: str) -> Scores | None:
    """Return one number an image, in order of the rows, whose mean is the metric; None where it is not defined.

    The predictions of the folds of a repeat are judged together.
    """
    order = np.argsort(np.concatenate([outcome.rows for outcome in outcomes]), kind="stable")
    if metric == "accuracy":
        return np.asarray(np.concatenate([outcome.correct for outcome in outcomes])[order])
    own = [outcome.scores for outcome in outcomes if outcome.scores is not None]
    if len(own) == len(outcomes):
        return np.concatenate(own)[order]
    kept = [outcome.chances for outcome in outcomes if outcome.chances is not None]
    assert len(kept) == len(outcomes), "read_study_folder keeps the predictions that the study's metric needs"
    chances, labels = (np.concatenate([each[side] for each in kept])[order] for side in (0, 1))
    return contributions(chances, labels, metric)


def _fold_of_columns(outcomes: Sequence[Outcome]) -> npt.NDArray[np.int64]:
    order = np.argsort(np.concatenate([outcome.rows for outcome in outcomes]), kind="stable")
    return np.concatenate([np.full(len(outcome.rows), fold) for fold, outcome in enumerate(outcomes)])[order]


def _episodes(by_run: ByRun) -> BoardScores:
    common = _common_seeds(by_run)
    table = {run: np.stack([_accuracies(seeds[s]) for s in common]) for run, seeds in by_run.items()}
    n = next(iter(table.values())).shape[1]
    images = np.arange(len(common) * n, dtype=np.int64).reshape(len(common), n)
    return BoardScores("accuracy", table, images if len(common) > 1 else None, tuple(_left_out(by_run, common)))


def _one_set_of_images(by_run: ByRun) -> bool:
    records = [record for seeds in by_run.values() for record in seeds.values()]
    if any(record.outcome is None for record in records):
        return False
    every = [np.sort(_outcome(record).rows) for record in records]
    return all(np.array_equal(rows, every[0]) for rows in every[1:])


def _common_seeds(by_run: ByRun) -> list[int]:
    """Return the seeds that every run has; `_with_a_common_seed` leaves out the runs that would make it none."""
    return sorted(set.intersection(*(set(seeds) for seeds in by_run.values())))


def _with_a_common_seed(by_run: ByRun) -> ByRun:
    """Leave out the runs of a partial study that lack the seed which most runs have, if no seed is in all."""
    every = [seed for seeds in by_run.values() for seed in seeds]
    most = max(sorted(set(every)), key=every.count)
    if _common_seeds(by_run) or _one_set_of_images(by_run):
        return by_run
    return {run: seeds for run, seeds in by_run.items() if most in seeds}


def _left_out(by_run: ByRun, common: Sequence[int]) -> list[str]:
    more = sum(len(seeds) - len(common) for seeds in by_run.values())
    return (
        [f"compared on the {len(common)} seeds that every run has; {more} other results are left out"] if more else []
    )


def _outcome(record: Record) -> Outcome:
    assert record.outcome is not None
    return record.outcome


def _accuracies(record: Record) -> Scores:
    assert record.episodes is not None
    return record.episodes
