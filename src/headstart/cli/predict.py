"""What `predict` does and prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cli.outputs import check_file, check_folder
from headstart.cli.streams import write_utf8
from headstart.cli.tables import show_table
from headstart.disclosure import printable, show
from headstart.errors import DataError, SpecError, choose
from headstart.progress import say

if TYPE_CHECKING:
    from headstart.data.sources.unlabelled import Found
    from headstart.deploy.classifier import Classifier, Prediction

FORMATS = ("table", "csv", "json")
_SHOWN = 3  # classes in a table


@dataclass(frozen=True)
class Output:
    """How predictions are shown and kept; each field is the option of its name."""

    format: str | None = None
    out: Path | None = None
    top: int | None = None
    sort_into: Path | None = None
    link: bool = False
    least_sure_first: bool = False

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
    """Classify images, print or write a row of each, and say on standard error how many were read.

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

    classifier = Classifier.load(model, resolve_device(device))
    found = find_images(images, sys.stdin.buffer if STANDARD_INPUT in images else None)
    unread: list[str] = []
    predictions = _classified(classifier, found, output, unread)
    if format == "table":
        _show_table(classifier, predictions, output)
    else:
        _write(classifier, predictions, format, output)
    _say_how_many(found, unread)
    if unread:
        raise SystemExit(1)


def _check_places(output: Output, images: Sequence[str]) -> None:
    if output.out is not None:
        check_file(output.out)
        if any(os.path.realpath(image) == os.path.realpath(output.out) for image in images):
            raise SpecError(f"--out {output.out}: images are read from this file; choose another name")
    if output.sort_into is not None:
        check_folder(output.sort_into, "--sort-into")
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
        if sorter is not None:
            sorter.place(image, prediction)
        if prediction.error is not None:
            unread.append(prediction.error)
        yield prediction


def _show_table(classifier: Classifier, predictions: Iterator[Prediction], output: Output) -> None:
    from headstart.deploy.prediction_rows import best_classes, certainty

    rows: list[tuple[float, tuple[str, ...]]] = []
    for p in predictions:
        if p.error is not None:
            rows.append((certainty(p), (_one_line(p.name), "", "", "", p.error)))
            continue
        others = best_classes(p, classifier.classes, output.top or _SHOWN)[1:]
        following = ", ".join(f"{name} {probability:.2f}" for name, probability in others)
        rows.append((certainty(p), (_one_line(p.name), p.label, f"{p.probability:.3f}", following, "")))
    if output.least_sure_first:
        rows.sort(key=lambda row: row[0])
    columns = ("image", "class", "probability", "next", "error")
    shown = len(columns) if any(cells[-1] for _, cells in rows) else len(columns) - 1
    show_table(columns[:shown], [cells[:shown] for _, cells in rows])


def _one_line(name: str) -> str:
    """Return a name whose control characters, ends of lines among them, are written out."""
    return printable(name).replace("\n", "\\n").replace("\t", "\\t")


def _write(classifier: Classifier, predictions: Iterator[Prediction], format: str, output: Output) -> None:
    """Write the rows into the file, or to standard output; a file appears whole or not at all."""
    from headstart.deploy.prediction_rows import FORMATS, write_rows
    from headstart.storage.files import atomic_file

    rows = FORMATS[format](classifier.classes, output.top)
    if output.out is None:
        if sys.stdout.isatty():  # rows would be drawn across the progress bar
            predictions = iter(list(predictions))
        write_rows(predictions, rows, write_utf8, least_sure_first=output.least_sure_first)
        return
    with atomic_file(output.out) as file:
        write_rows(predictions, rows, file.write, least_sure_first=output.least_sure_first)
    show(str(output.out))


def _say_how_many(found: Found, unread: Sequence[str]) -> None:
    """Say how many images were read, and how many files were left aside and why.

    Raises:
        DataError: none was read.
    """
    from headstart.data.reasons import counted

    total = len(found.images)
    reasons = f" ({counted(unread)})" if unread else ""
    if len(unread) == 1 == total:
        raise DataError(f"{found.images[0].name}: {unread[0]}")
    if len(unread) == total:
        raise DataError(f"none of the {total:,} images could be read{reasons}" if total else "no image was named")
    parts = [f"{total - len(unread):,} of {total:,} images read" if total > 1 else "1 image read"]
    if unread:
        parts.append(f"{len(unread):,} not read{reasons}")
    if ignored := sum(found.ignored.values()):
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in found.ignored.most_common(5))
        parts.append(f"{ignored:,} other files skipped ({kinds})")
    say(f"headstart: {'; '.join(parts)}")
