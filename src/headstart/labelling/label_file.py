"""The labels that people gave: a CSV that `compare` reads as it is, rewritten as a whole after every change."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import DataError
from headstart.labelling.shared_table import SharedTable

COLUMNS = ("path", "label", "who", "when", "how")
SPLIT = "split"
RANDOM = "random"  # `how` of an image of the random sample


@dataclass(frozen=True)
class Given:
    """A label that somebody gave an image.

    Args:
        label: the class.
        who: the person.
        when: the time, UTC, as 2026-11-26T13:05:00Z.
        how: why the image was shown: "random", "typical", "uncertain", "similar", "chosen".
    """

    label: str
    who: str
    when: str
    how: str


class LabelFile(SharedTable[Path, Given]):
    """A CSV with one row per labelled image, in the order of their labels' times.

    Paths are relative to the folder of the file. Where some images are of the random sample and others are not, a
    column `split` makes the random ones the test images of any study: the others were chosen for what they teach, so
    that an accuracy measured on them would say nothing about new images.

    Args:
        path: of the CSV.
    """

    def read(self) -> dict[Path, Given]:
        """Return the label of each image by its absolute path; {} if there is no file yet.

        Raises:
            DataError: the file is not one of these.
        """
        try:
            text = self.path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
        rows = csv.DictReader(io.StringIO(text, newline=""))
        lacking = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if lacking:
            raise DataError(f"{self.path}: has no column {lacking[0]!r}; choose another file for the labels")
        found: dict[Path, Given] = {}
        for row in rows:
            given = Given(*(row[name] or "" for name in COLUMNS[1:]))
            if row["path"] and given.label:
                found[self._absolute(row["path"])] = given
        return found

    def _text(self, found: Mapping[Path, Given]) -> str:
        at_random = {given.how == RANDOM for given in found.values()}
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*COLUMNS, SPLIT] if len(at_random) == 2 else COLUMNS)
        for path, given in found.items():
            row = [self._relative(path), given.label, given.who, given.when, given.how]
            part = "test" if given.how == RANDOM else "train"
            writer.writerow([*row, part] if len(at_random) == 2 else row)
        return out.getvalue()

    def _relative(self, path: Path) -> str:
        try:
            return Path(os.path.relpath(path, self.path.parent)).as_posix()
        except ValueError:  # on another drive
            return path.as_posix()

    def _absolute(self, text: str) -> Path:
        return Path(os.path.normpath(self.path.parent / text))
