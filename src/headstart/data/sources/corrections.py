"""Corrections of a dataset: a CSV that says which images to leave out and which labels to change.

`headstart review` writes it; any table with the columns `path`, `decision` and `after` will do.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from headstart.data.class_names import normal_form
from headstart.data.dataset import Corrected, Dataset
from headstart.data.sources.layout import with_note
from headstart.data.sources.manifest import SEPARATOR
from headstart.errors import DataError, choose, unknown_name

COLUMNS = ("path", "problem", "with", "decision", "before", "after", "who", "when")
_NEEDED = ("path", "decision", "after")
KEEP, RELABEL, EXCLUDE, UNSURE = "keep", "relabel", "exclude", "not sure"
DECISIONS = {name: name for name in (KEEP, RELABEL, EXCLUDE, UNSURE)}


@dataclass(frozen=True)
class Correction:
    """What somebody decided about one image and one problem.

    Args:
        path: the image's name in its dataset.
        problem: what was found, such as "label" or "leak".
        other: the first other image of the problem, or "".
        decision: "keep", "relabel", "exclude" or "not sure".
        before: the label that the image had; several are joined by "|"; "" if unknown.
        after: the label that it has now; "" if it is excluded.
        who: the person.
        when: the time, UTC.
    """

    path: str
    problem: str
    other: str
    decision: str
    before: str
    after: str
    who: str = ""
    when: str = ""


def read_corrections(path: Path) -> list[Correction]:
    """Return the rows of a file of corrections, in its order.

    Raises:
        DataError: the file cannot be read, or a row has no image or an unknown decision.
    """
    try:
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        lacking = [name for name in _NEEDED if name not in (rows.fieldnames or ())]
        if lacking:
            raise DataError(f"{path}: has no column {lacking[0]!r}; corrections have {', '.join(COLUMNS)}")
        return [_correction(path, place, row) for place, row in enumerate(rows, 2)]
    except csv.Error as error:
        raise DataError(f"{path}: is not a CSV ({error}); corrections have {', '.join(COLUMNS)}") from error


def text_of(rows: Sequence[Correction]) -> str:
    """Return the CSV of these rows."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([row.path, row.problem, row.other, row.decision, row.before, row.after, row.who, row.when])
    return out.getvalue()


def apply_corrections(dataset: Dataset, file: Path) -> Dataset:
    """Return the dataset without the excluded images and with the changed labels, and a list of what changed.

    An image that any row excludes is left out. Of several changes of one label, the last one counts.

    Raises:
        DataError: a row names an unknown image or class, or a label that the image does not have.
    """
    rows = read_corrections(file)
    places: dict[str, list[int]] = {}
    for row in range(len(dataset)):
        places.setdefault(dataset.reader.name(row), []).append(row)
    labels, changed, gone = dataset.labels.copy(), {}, {}
    for line in rows:
        at = places.get(line.path)
        if at is None:
            near = get_close_matches(line.path, places, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "; remove the row"
            raise DataError(f"{file}: {dataset.name} has no image {line.path!r}{hint}")
        if line.decision == EXCLUDE:
            gone[line.path] = _corrected(line, label_text(dataset, at[0]), "")
        elif line.decision == RELABEL:
            code = _codes(dataset, line.after, f"{file}: {line.path}")
            for row in at:
                before = label_text(dataset, row)
                _check_before(file, line, before)
                labels[row] = code
                changed[line.path] = _corrected(line, before, line.after)
    changed = {name: each for name, each in changed.items() if name not in gone and each.before != each.after}
    corrected = replace(dataset, labels=labels, corrected=(*dataset.corrected, *gone.values(), *changed.values()))
    if gone:
        corrected = corrected.without([row for name in gone for row in places[name]])
    return with_note(corrected, "corrections", _note(file, len(changed), len(gone)))


def label_text(dataset: Dataset, row: int) -> str:
    """Return the label of an image as tables have it: several are joined by "|"."""
    label = dataset.labels[row]
    if dataset.multi_label:
        return SEPARATOR.join(dataset.classes[code] for code in np.flatnonzero(label))
    return dataset.classes[int(label)]


def _correction(file: Path, place: int, row: Mapping[str | None, str | list[str] | None]) -> Correction:
    names = ("path", "problem", "with", "decision", "before", "after", "who", "when")
    cells = [cell if isinstance(cell := row.get(name), str) else "" for name in names]
    if not cells[0]:
        raise DataError(f"{file}, line {place}: names no image")
    choose(f"decision of {cells[0]} in {file}", cells[3], DECISIONS)
    return Correction(cells[0], cells[1], cells[2], cells[3], normal_form(cells[4]), normal_form(cells[5]), *cells[6:])


def _codes(dataset: Dataset, text: str, where: str) -> int | np.ndarray:
    """Return what the labels of an image are to be: a class's number, or bool [classes]."""
    names = text.split(SEPARATOR) if dataset.multi_label else [text]
    names = [name.strip() for name in names if name.strip()] or [""]
    for name in names:
        if name not in dataset.classes:
            raise DataError(f"{where}: {unknown_name('class', name, dataset.classes)}")
    codes = [dataset.classes.index(name) for name in names]
    return np.isin(np.arange(len(dataset.classes)), codes) if dataset.multi_label else codes[0]


def _check_before(file: Path, line: Correction, now: str) -> None:
    if line.before and now not in (line.before, line.after):
        raise DataError(
            f"{file}: {line.path} was labelled {line.before!r} when it was corrected, and is {now!r} now;"
            " review it again, or remove the row"
        )


def _corrected(line: Correction, before: str, after: str) -> Corrected:
    return Corrected(line.path, line.problem, line.decision, before, after)


def _note(file: Path, changed: int, gone: int) -> str:
    labels = f"{changed:,} label{'s' if changed != 1 else ''} changed"
    return f"{labels}, {gone:,} image{'s' if gone != 1 else ''} left out ({file.name})"
