"""Where a run fails, and whether its probabilities are to be believed; pooled over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.evaluate.metrics.calibration import reliability
from headstart.evaluate.metrics.confusion import image_shares
from headstart.report.read.study_files import Outcome, Record, StudyFiles

WORST = 24  # mistakes shown of each run
CELL_IMAGES = 8  # images behind one cell

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cell:
    """One cell of a confusion matrix.

    Args:
        truth, guess: classes.
        count: test images; an image that several seeds predict differently is divided equally among its cells.
        images: rows of the dataset, the surest mistakes first.
    """

    truth: int
    guess: int
    count: float
    images: tuple[int, ...]


@dataclass(frozen=True)
class Mistake:
    """One image that a run gets wrong.

    Args:
        row: of the dataset.
        truth, guess: its label, and the class that was predicted most often.
        confidence: the mean probability of the predicted class.
        own: the mean probability of the true class.
        seeds: how many of the run's seeds get it wrong.
    """

    row: int
    truth: int
    guess: int
    confidence: float
    own: float
    seeds: int


@dataclass(frozen=True)
class Details:
    """Details of one run.

    Args:
        run: its name.
        multi_label: then there is no confusion matrix.
        seeds: pooled here.
        cells: of the confusion matrix.
        per_class: class number, n (images), recall, precision and F1, each with its interval over images (one seed)
            or pooled counts.
        mistakes: the worst first.
        reliability: rows of the reliability curve.
        explanations: pictures that explain predictions.
    """

    run: str
    multi_label: bool
    seeds: int
    cells: tuple[Cell, ...]
    per_class: tuple[Mapping[str, Any], ...]
    mistakes: tuple[Mistake, ...]
    reliability: tuple[Mapping[str, Any], ...]
    explanations: tuple[Mapping[str, Any], ...]


def details_of(files: StudyFiles) -> dict[str, Details]:
    """Return the details of each run that has predictions of single images."""
    found = {}
    for run in dict.fromkeys(record.run for record in files.records):
        records = [r for r in files.records if r.run == run and r.error is None and r.outcome is not None]
        if records:
            classes = len(files.datasets[records[0].data].classes) if records[0].data in files.datasets else 0
            found[run] = _details(run, records, classes)
    return found


def _details(run: str, records: Sequence[Record], classes: int) -> Details:
    outcomes = [record.outcome for record in records if record.outcome is not None]
    many = outcomes[0].multi_label
    count = max(classes, *(int(max(o.labels.max(), o.predicted.max())) + 1 for o in outcomes))
    cells = [] if many else confusion_cells(outcomes, count)
    pooled = pool(outcomes)
    curve = [] if many else reliability(pooled.confidence, pooled.correct)
    return Details(
        run=run,
        multi_label=many,
        seeds=len(outcomes),
        cells=tuple(cells),
        per_class=tuple(_per_class(records, None if many else _images(pooled, count))),
        mistakes=tuple(worst_mistakes(outcomes)),
        reliability=tuple({key: _rounded(value) for key, value in row.items()} for row in curve),
        explanations=tuple(
            {**item, "folder": str(record.folder), "seed": record.seed}
            for record in records
            for item in record.explanations
        ),
    )


def pool(outcomes: Sequence[Outcome]) -> Outcome:
    """Put the predictions of all seeds under one another."""
    names = ("rows", "labels", "predicted", "confidence", "own", "correct")
    parts: dict[str, Any] = {name: np.concatenate([getattr(outcome, name) for outcome in outcomes]) for name in names}
    return Outcome(**parts, multi_label=outcomes[0].multi_label)


def confusion_cells(outcomes: Sequence[Outcome], classes: int) -> list[Cell]:
    """Return the cells that hold predictions, mistakes first, the fullest first."""
    pooled = pool(outcomes)
    shares = image_shares(pooled.rows)
    codes = pooled.labels * classes + pooled.predicted
    order = np.lexsort((-pooled.confidence, codes))
    starts = np.flatnonzero(np.r_[True, np.diff(codes[order]) > 0])
    cells = []
    for block in np.split(order, starts[1:]):
        truth, guess = divmod(int(codes[block[0]]), classes)
        images = tuple(dict.fromkeys(int(row) for row in pooled.rows[block]))[:CELL_IMAGES]
        cells.append(Cell(truth, guess, round(float(shares[block].sum()), 6), images))
    return sorted(cells, key=lambda cell: (cell.truth == cell.guess, -cell.count, cell.truth, cell.guess))


def worst_mistakes(outcomes: Sequence[Outcome], limit: int = WORST) -> list[Mistake]:
    """Return the images that are wrong in most seeds, those with the least chance for the truth first."""
    pooled = pool(outcomes)
    wrong = ~pooled.correct
    rows, place = np.unique(pooled.rows, return_inverse=True)
    times = np.bincount(place, weights=wrong, minlength=len(rows))
    seen = np.bincount(place, minlength=len(rows))
    own = np.bincount(place, weights=pooled.own, minlength=len(rows)) / seen
    confidence = np.bincount(place, weights=pooled.confidence * wrong, minlength=len(rows)) / np.maximum(times, 1)
    order = [k for k in np.lexsort((own, -times)) if times[k] > 0][:limit]
    found = []
    for k in order:
        here = np.flatnonzero((place == k) & wrong)
        guess = int(np.bincount(pooled.predicted[here]).argmax())
        truth = int(pooled.labels[here[0]])
        found.append(Mistake(int(rows[k]), truth, guess, float(confidence[k]), float(own[k]), int(times[k])))
    return found


def _images(pooled: Outcome, classes: int) -> list[int]:
    """Return how many images of each class were tested; one that was tested several times counts once."""
    _, first = np.unique(pooled.rows, return_index=True)
    return [int(count) for count in np.bincount(pooled.labels[first], minlength=classes)]


def _per_class(records: Sequence[Record], images: Sequence[int] | None) -> list[dict[str, Any]]:
    """Return each class's measures as means over seeds, and its number of images."""
    tables = [(record.result.get("metrics") or {}).get("test", {}).get("per_class") or [] for record in records]
    tables = [table for table in tables if table]
    if not tables:
        return []
    rows = []
    for number, first in enumerate(tables[0]):
        same = [table[number] for table in tables]
        row: dict[str, Any] = {"class": number, "n": first.get("n") if images is None else images[number]}
        for name in ("recall", "precision", "f1"):
            values = [v for entry in same if (v := (entry.get(name) or {}).get("value")) is not None]
            row[name] = _rounded(float(np.mean(values))) if values else None
        if len(same) == 1:
            recall = first.get("recall") or {}
            row["low"], row["high"] = _rounded(recall.get("low")), _rounded(recall.get("high"))
        rows.append(row)
    return rows


def _rounded(value: Any) -> Any:
    return round(value, 5) if isinstance(value, float) else value
