"""The labels that people gave: a CSV that `compare` reads as it is, rewritten as a whole after every change."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import DataError
from headstart.labelling.shared_table import SharedTable
from headstart.labelling.suggest import RANDOM, REST

COLUMNS = ("path", "label", "who", "when", "how")
SPLIT = "split"
TESTED = 0.3  # share of the labels that become test images at most


@dataclass(frozen=True)
class Given:
    """A label that somebody gave an image.

    Args:
        label: the class.
        who: the person.
        when: the time, UTC, as 2026-11-26T13:05:00Z.
        how: why the image was shown: "random", "rest", "typical", "uncertain", "similar", "chosen".
    """

    label: str
    who: str
    when: str
    how: str


def count_tested(hows: Iterable[str]) -> int | None:
    """Return how many labelled images are the test images of a study; None where it may divide all of them itself.

    It may where all were shown in random order. Otherwise images of the random sample are, up to a share of all, so
    that the others, and what is left of the sample, suffice to learn from.

    Args:
        hows: of each labelled image, why it was shown.
    """
    shown = list(hows)
    at_random = shown.count(RANDOM)
    if at_random in (0, len(shown)) or at_random + shown.count(REST) == len(shown):
        return None
    return min(at_random, max(1, int(TESTED * len(shown))))


class LabelFile(SharedTable[Path, Given]):
    """A CSV with one row per labelled image, in the order of their labels' times.

    Paths are relative to the folder of the file. Where some images are of the random sample and others were chosen, a
    column `split` makes images of the sample the test images of any study: the others were chosen for what they teach,
    so that an accuracy measured on them would say nothing about new images. Which of the sample depends on their names
    alone.

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
        try:
            return self._parsed(text)
        except csv.Error as error:
            raise DataError(f"{self.path}: is not a CSV ({error}); choose another file for the labels") from error

    def _parsed(self, text: str) -> dict[Path, Given]:
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
        count = count_tested(given.how for given in found.values())
        names = {path: self._relative(path) for path in found}
        sampled = sorted((names[path] for path, given in found.items() if given.how == RANDOM), key=_digest)
        tested = set(sampled[:count])
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS if count is None else [*COLUMNS, SPLIT])
        for path, given in found.items():
            row = [names[path], given.label, given.who, given.when, given.how]
            part = "test" if names[path] in tested else "train"
            writer.writerow(row if count is None else [*row, part])
        return out.getvalue()

    def _relative(self, path: Path) -> str:
        try:
            return Path(os.path.relpath(path, self.path.parent)).as_posix()
        except ValueError:  # on another drive
            return path.as_posix()

    def _absolute(self, text: str) -> Path:
        return Path(os.path.normpath(self.path.parent / text))


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
