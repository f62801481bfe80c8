"""What `predict` does and prints."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cli.outputs import check_file, check_writable
from headstart.cli.streams import write_utf8
from headstart.cli.tables import KEPT, OPEN, show_line, show_table
from headstart.disclosure import printable, show
from headstart.errors import DataError, SpecError, choose
from headstart.progress import say
from headstart.report.numbers import counted
from headstart.units import percent

if TYPE_CHECKING:
    from headstart.data.sources.unlabelled import Found
    from headstart.deploy.classifier import Classifier, Prediction
    from headstart.deploy.prediction_rows import RowWriter

FORMATS = ("table", "csv", "json")
_SHOWN = 3  # classes in a table
_NAMED = 5  # classes in the sentence above it


@dataclass(frozen=True)
class Output:
    """How predictions are shown and kept; each field is the option of its name."""

    format: str | None = None
    out: Path | None = None
    top: int | None = None
    sort_into: Path | None = None
    link: bool = False
    least_sure_first: bool = False
    at_least: float | None = None
    level: float = 0.95
    sets: str = "lac"
    by_class: bool = False

    @property
    def rest(self) -> Path | None:
        """The file of the images left for review, beside that of the others."""
        if self.at_least is None or self.out is None:
            return None
        return self.out.with_name(f"{self.out.stem}-rest{self.out.suffix}")

    def chosen_format(self) -> str:
        """Return "table", "csv" or "json".

        Raises:
            SpecError: it is unknown, or the file to write has another suffix.
        """
        if self.format is not None:
            choose("format", self.format, dict.fromkeys(FORMATS))
        if self.out is None:
            return self.format or "table"
        suffix = self.out.suffix.lower().removeprefix(".")
        if suffix not in ("csv", "json"):
            raise SpecError(f"--out {self.out}: the name must end in .csv or .json")
        if self.format not in (None, suffix):
            raise SpecError(f"--out {self.out}: is not a file of the format {self.format}; drop --format")
        return suffix


def predict_and_show(model: Path, images: Sequence[str], device: str, output: Output) -> None:
    """Classify images and print or write a row of each.

    Standard error says which model of a study it is, and how many images were read.

    Ends with exit status 1 if some of the images could not be read.

    Raises:
        SpecError: an option cannot be used as it is.
        DataError: no image could be read.
    """
    format = output.chosen_format()
    _check_places(output, images)
    from headstart.data.sources.unlabelled import STANDARD_INPUT, find_images
    from headstart.deploy.classifier import Classifier
    from headstart.devices import resolve_device
    from headstart.evaluate.uncertainty.answers import AnswerOptions
    from headstart.models.refitted import refitted_of, words
    from headstart.study.results.tested import said_model

    asked = AnswerOptions(output.level, output.sets, output.by_class, output.at_least)
    classifier = Classifier.load(model, resolve_device(device), asked=asked)
    if (refitted := refitted_of(classifier.ensemble.members[0].provenance)) is not None:
        say(f"headstart: {model}: {words(refitted)}")
    found = find_images(images, sys.stdin.buffer if STANDARD_INPUT in images else None)
    unread: list[str] = []
    predictions = _classified(classifier, found, output, unread)
    if format == "table":
        _show_table(classifier, predictions, output)
    else:
        _write(classifier, predictions, format, output)
    _say_how_many(found, unread, said_model(model))
    if classifier.judge is not None and classifier.judge.shortfall:
        say(f"headstart: {classifier.judge.shortfall}")
    if unread:
        raise SystemExit(1)


def _check_places(output: Output, images: Sequence[str]) -> None:
    if output.at_least is not None and output.out is None:
        raise SpecError("--at-least writes the images left for review to a second file beside --out; add --out")
    for file in (output.out, output.rest):
        if file is not None:
            check_file(file)
            if any(os.path.realpath(image) == os.path.realpath(file) for image in images):
                which = "this file" if file == output.out else file
                raise SpecError(f"--out {output.out}: images are read from {which}; choose another name")
    if output.sort_into is not None:
        check_writable(output.sort_into, "--sort-into")
    elif output.link:
        raise SpecError("--link makes the links in the folder of --sort-into; add --sort-into DIR")


def _classified(classifier: Classifier, found: Found, output: Output, unread: list[str]) -> Iterator[Prediction]:
    """Yield the prediction of each image once it is sorted and counted."""
    from headstart.deploy.sorting import Sorter

    sorter = None
    if output.sort_into is not None:
        sorter = Sorter(output.sort_into, classifier.classes, link=output.link)
        sorter.check_apart(found)
    for image, prediction in zip(found.images, classifier.stream(found.images), strict=True):
        if sorter is not None and not prediction.withheld:
            sorter.place(image, prediction)
        if prediction.error is not None:
            unread.append(prediction.error)
        yield prediction


def _show_table(classifier: Classifier, predictions: Iterator[Prediction], output: Output) -> None:
    from headstart.deploy.prediction_rows import best_classes, certainty

    rows: list[tuple[float, tuple[str, ...]]] = []
    found: Counter[str] = Counter()
    for p in predictions:
        name = re.sub(r"([/\\])", rf"\1{OPEN}", _one_line(p.name))  # a long path is broken between folders
        if p.error is not None:
            rows.append((certainty(p), (name, "", "", "", "", p.error)))
            continue
        found[p.label] += 1
        others = best_classes(p, classifier.classes, output.top or _SHOWN)[1:]
        following = ", ".join(f"{_one_line(name)} {probability:.2f}".replace(" ", KEPT) for name, probability in others)
        rows.append((certainty(p), (name, p.label, f"{p.probability:.3f}", _answer(p), following, "")))
    if output.least_sure_first:
        rows.sort(key=lambda row: row[0])
    columns: tuple[str, ...] = ("image", "class", "probability", "answer", "next", "error")
    if classifier.judge is None:
        columns, rows = columns[:3] + columns[4:], [(key, cells[:3] + cells[4:]) for key, cells in rows]
    if found.total() > 1 and not classifier.ensemble.members[0].multi_label:
        show_line(_answers(found))
    if len(rows) == 1 and not found:
        return  # the error is the answer
    shown = len(columns) if any(cells[-1] for _, cells in rows) else len(columns) - 1
    show_table(columns[:shown], [cells[:shown] for _, cells in rows], drop=() if output.top else ("next",))


def _answers(found: Counter[str]) -> str:
    """Return in a sentence of how many images which class was predicted, the most frequent first."""
    most = found.most_common(_NAMED)
    named = [f"{_one_line(name)} ({count:,})" for name, count in most]
    if rest := len(found) - len(most):
        named.append(f"{counted(rest, 'other class', 'other classes')} ({found.total() - sum(dict(most).values()):,})")
    return f"{found.total():,} images: {', '.join(named)}."


def _answer(prediction: Prediction) -> str:
    """Return the answer in a few words."""
    count = len(prediction.set)
    answer = f"one of {count}" if prediction.answer == "one of" else prediction.answer
    return f"{answer}, {prediction.decision}" if prediction.decision == "ask" else answer


def _one_line(name: str) -> str:
    """Return a name whose control characters, ends of lines among them, are written out."""
    return printable(name).replace("\n", "\\n").replace("\t", "\\t")


def _write(classifier: Classifier, predictions: Iterator[Prediction], format: str, output: Output) -> None:
    """Write the rows into the file, or to standard output; a file appears whole or not at all."""
    from headstart.deploy.prediction_rows import FORMATS, RowWriter, write_rows
    from headstart.storage.files import atomic_file

    rows = FORMATS[format](classifier.classes, output.top, classifier.judge)
    if output.out is None:
        if sys.stdout.isatty():  # rows would be drawn across the progress bar
            predictions = iter(list(predictions))
        write_rows(predictions, rows, write_utf8, least_sure_first=output.least_sure_first)
        return
    with contextlib.ExitStack() as files:
        file = files.enter_context(atomic_file(output.out))
        if output.rest is not None:
            rest = RowWriter(rows, files.enter_context(atomic_file(output.rest)).write)
            files.callback(rest.end)
            predictions = _without_withheld(predictions, rest)
        write_rows(predictions, rows, file.write, least_sure_first=output.least_sure_first)
    show(str(output.out))
    if output.rest is not None:
        show(str(output.rest))
        say(f"headstart: {counted(rest.count, 'image')} left for review. {_guaranteed(classifier)}")


def _without_withheld(predictions: Iterable[Prediction], rest: RowWriter) -> Iterator[Prediction]:
    """Yield the predictions that are kept; write the others."""
    for prediction in predictions:
        if prediction.withheld:
            rest.add(prediction)
        else:
            yield prediction


def _guaranteed(classifier: Classifier) -> str:
    assert classifier.judge is not None and classifier.judge.guaranteed is not None
    guarantee = classifier.judge.guaranteed
    left = guarantee.left["value"] or 0.0
    return (
        f"On images like those of the study, at least {percent(guarantee.at_least)} of the other answers are correct,"
        f" and {percent(left)} of the images are left for review ({guarantee.kept - guarantee.wrong:,} of"
        f" {guarantee.kept:,} held-out answers were correct)."
    )


def _say_how_many(found: Found, unread: Sequence[str], model: str | None) -> None:
    """Print how many images were read, how many files were skipped and why, and by which model of a study.

    Raises:
        DataError: none was read.
    """
    from headstart.data.reasons import counted_reasons

    total = len(found.images)
    reasons = f" ({counted_reasons(unread)})" if unread else ""
    if len(unread) == 1 == total:
        raise DataError(f"{found.images[0].name}: {unread[0]}")
    if len(unread) == total:
        raise DataError(f"none of the {total:,} images could be read{reasons}" if total else "no image was named")
    parts = [f"{total - len(unread):,} of {total:,} images read" if total > 1 else "1 image read"]
    if unread:
        parts.append(f"{len(unread):,} not read{reasons}")
    if ignored := sum(found.ignored.values()):
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in found.ignored.most_common(5))
        parts.append(f"{ignored:,} other file{'' if ignored == 1 else 's'} skipped ({kinds})")
    if model is not None:
        parts.append(f"the model is {model}")
    say(f"headstart: {'; '.join(parts)}")
