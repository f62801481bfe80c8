"""A dataset: images and their labels, in a fixed order, with class names sorted and a content fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from headstart.bands import BandChoice
from headstart.notebook import Shown

IntArray = npt.NDArray[np.int64]


class Reader(Protocol):
    """Gives the encoded bytes (or the decoded pixels) of the image in each row."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def name(self, row: int) -> str:
        """Return a short display name: a path relative to the source, or a row number."""
        ...

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the file's bytes, or pixels uint8 [height, width, 3 or 1]."""
        ...

    def identity(self, row: int) -> str:
        """Return what changes when the row's content may have changed (such as path, size and time)."""
        ...


class ChosenRows:
    """Some rows of another reader, in the order given."""

    def __init__(self, base: Reader, rows: IntArray) -> None:
        self.base, self.rows = base, rows

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, row: int) -> tuple[Reader, int]:
        """Return the underlying reader and the row's number there."""
        return self.base, int(self.rows[row])

    def name(self, row: int) -> str:
        """Return the row's name in the underlying reader."""
        return self.base.name(int(self.rows[row]))

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the row's image from the underlying reader."""
        return self.base.read(int(self.rows[row]))

    def identity(self, row: int) -> str:
        """Return the row's identity in the underlying reader."""
        return self.base.identity(int(self.rows[row]))


class JoinedRows:
    """The rows of several readers, one reader after the other."""

    def __init__(self, *readers: Reader) -> None:
        self.readers = readers
        self._starts = np.cumsum([0, *map(len, readers)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def at(self, row: int) -> tuple[Reader, int]:
        """Return the reader that has the row, and the row's number there."""
        place = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self.readers[place], row - int(self._starts[place])

    def name(self, row: int) -> str:
        """Return the row's name in its reader."""
        reader, place = self.at(row)
        return reader.name(place)

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the row's image."""
        reader, place = self.at(row)
        return reader.read(place)

    def identity(self, row: int) -> str:
        """Return the row's identity in its reader."""
        reader, place = self.at(row)
        return reader.identity(place)


@dataclass(frozen=True)
class Skip:
    """One image that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Corrected:
    """One image that a file of corrections relabelled or left out: name, problem, decision, label before and after."""

    name: str
    problem: str
    decision: str
    before: str
    after: str


@dataclass(frozen=True)
class Dataset(Shown):
    """Images and labels.

    Args:
        name: the display name.
        reader: gives the image of each row.
        labels: int64 [n], index into `classes`; for multi-label targets bool [n, len(classes)].
        classes: the class names in sorted order.
        given_split: object/str [n] of "train", "validation", "test" or "", or None.
        groups: str [n]: rows of one group are always in the same part of a split; or None.
        fingerprint: 32 hex digits that depend on every image's content, label and class name.
        skipped: images left out, and why.
        about: facts to display: licence, source, notes (such as "661 exact duplicates dropped").
        digests: bytes [n]: 32 hex digits of each image's content; equal digests are equal images. None
            until the images have been read (`load_dataset` always reads them).
        corrected: what a file of corrections changed.
        bands: which bands of its files are read; None: they are ordinary pictures.
    """

    name: str
    reader: Reader
    labels: npt.NDArray[np.int64] | npt.NDArray[np.bool_]
    classes: tuple[str, ...]
    given_split: npt.NDArray[np.str_] | None = None
    groups: npt.NDArray[np.str_] | None = None
    fingerprint: str = ""
    skipped: tuple[Skip, ...] = ()
    about: dict[str, str] = field(default_factory=dict)
    digests: npt.NDArray[np.bytes_] | None = None
    corrected: tuple[Corrected, ...] = ()
    bands: BandChoice | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def multi_label(self) -> bool:
        """Return whether an image may have several labels."""
        return self.labels.ndim == 2

    def select(self, rows: Iterable[int] | IntArray, *skipped: Skip) -> Dataset:
        """Return the dataset of these rows, in this order, with the same classes; adds to `skipped`."""
        chosen = np.asarray(rows if isinstance(rows, np.ndarray) else list(rows), dtype=np.int64)
        if isinstance(self.reader, ChosenRows):
            reader: Reader = ChosenRows(self.reader.base, self.reader.rows[chosen])
        else:
            reader = ChosenRows(self.reader, chosen)
        labels = self.labels[chosen]
        digests = None if self.digests is None else self.digests[chosen]
        return replace(
            self,
            reader=reader,
            labels=labels,
            given_split=None if self.given_split is None else self.given_split[chosen],
            groups=None if self.groups is None else self.groups[chosen],
            fingerprint="" if digests is None else fingerprint_of(digests, labels, self.classes),
            skipped=(*self.skipped, *skipped),
            digests=digests,
        )

    def without(self, rows: Iterable[int] | IntArray, *skipped: Skip) -> Dataset:
        """Return the dataset without these rows."""
        keep = np.ones(len(self), dtype=bool)
        keep[np.asarray(rows if isinstance(rows, np.ndarray) else list(rows), dtype=np.int64)] = False
        return self.select(np.flatnonzero(keep), *skipped)

    def with_classes(self, classes: tuple[str, ...]) -> Dataset:
        """Return the dataset with its labels as indices into these classes.

        A label that is none of them becomes -1, or is left out where an image may have several.
        """
        place = np.array([classes.index(name) if name in classes else -1 for name in self.classes], dtype=np.int64)
        labels: npt.NDArray[np.int64] | npt.NDArray[np.bool_] = np.zeros((len(self), len(classes)), dtype=np.bool_)
        if self.multi_label:
            labels[:, place[place >= 0]] = self.labels[:, place >= 0]
        else:
            labels = place[self.labels]
        fingerprint = "" if self.digests is None else fingerprint_of(self.digests, labels, classes)
        return replace(self, labels=labels, classes=classes, fingerprint=fingerprint)

    @property
    def unusable(self) -> str:
        """How many images were left out, with the first and why, for people; "" if none was."""
        if not self.skipped:
            return ""
        return f"{len(self.skipped)} unusable, such as {self.skipped[0].name}: {self.skipped[0].reason}"

    def counts(self, rows: IntArray | None = None) -> IntArray:
        """Return how many images each class has among `rows` (default all): int64 [len(classes)]."""
        labels = self.labels if rows is None else self.labels[rows]
        if labels.ndim == 2:
            many: IntArray = labels.sum(axis=0).astype(np.int64)
            return many
        return np.bincount(labels, minlength=len(self.classes)).astype(np.int64)


@dataclass(frozen=True)
class Split:
    """Disjoint, sorted row indices into a dataset, with the rule and seed that made them.

    Args:
        train, validation, test: int64 [.]; validation or test may be empty.
        rule: the rule in words, such as "given; validation 50 % of train, stratified".
        seed: the seed.
        notes: what the user should know, such as classes too small for every part to have one.
    """

    train: IntArray
    validation: IntArray
    test: IntArray
    rule: str
    seed: int
    notes: tuple[str, ...] = ()

    def without(self, rows: Iterable[int]) -> Split:
        """Return the split without these rows (such as images that cannot be decoded)."""
        gone = np.fromiter(rows, dtype=np.int64)
        if not len(gone):
            return self
        train, validation, test = (part[~np.isin(part, gone)] for part in (self.train, self.validation, self.test))
        note = f"{len(gone)} images left out of the split"
        return Split(train, validation, test, self.rule, self.seed, (*self.notes, note))


def fingerprint_of(
    digests: npt.NDArray[np.bytes_],
    labels: npt.NDArray[np.int64] | npt.NDArray[np.bool_],
    classes: tuple[str, ...],
) -> str:
    """Return 32 hex digits that depend on every image's content, its label, the class names and the order."""
    state = hashlib.blake2b(digest_size=16)
    state.update(repr((len(labels), classes)).encode())
    state.update(np.ascontiguousarray(labels).tobytes())
    state.update(np.ascontiguousarray(digests).tobytes())
    return state.hexdigest()
