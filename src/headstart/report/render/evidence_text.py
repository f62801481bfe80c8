"""Classes and mistakes of the run that the answer is about, as rows of text."""

from __future__ import annotations

import numpy as np

from headstart.report import numbers
from headstart.report.read.errors import Details, details_of
from headstart.report.read.study_files import DataFolder
from headstart.report.read.summary import Summary

CLASSES, MISTAKES = 30, 12  # at most; the worst come first


def class_rows(summary: Summary) -> list[tuple[str, ...]]:
    """Return class, images, recall, precision, F1 and the class that it is most often taken for, the worst first."""
    found = _details(summary)
    if found is None:
        return []
    names = _classes(summary)
    taken = {cell.truth: cell for cell in reversed(found.cells) if cell.truth != cell.guess}
    rows = sorted((row for row in found.per_class if row["n"]), key=lambda row: (row["recall"] or 0.0, row["class"]))
    return [
        (
            names[row["class"]],
            str(row["n"]),
            *(numbers.percent(row[measure]) for measure in ("recall", "precision", "f1")),
            names[taken[row["class"]].guess] if row["class"] in taken else "–",
        )
        for row in rows[:CLASSES]
    ]


def mistake_rows(summary: Summary) -> list[tuple[str, ...]]:
    """Return file, class, predicted class and confidence of the worst mistakes."""
    found = _details(summary)
    if found is None or not found.mistakes:
        return []
    names, worst = _classes(summary), found.mistakes[:MISTAKES]
    files = _folder(summary).names(np.array([each.row for each in worst], dtype=np.int64))
    return [
        (file, names[each.truth], names[each.guess], numbers.percent(each.confidence, 0))
        for file, each in zip(files, worst, strict=True)
    ]


def _details(summary: Summary) -> Details | None:
    run = summary.headline_run
    if not run or summary.boards[0].data not in summary.files.datasets:
        return None
    found = details_of(summary.files).get(run)
    return None if found is None or found.multi_label else found


def _folder(summary: Summary) -> DataFolder:
    return summary.files.datasets[summary.boards[0].data]


def _classes(summary: Summary) -> list[str]:
    return [str(name) for name in _folder(summary).classes]
