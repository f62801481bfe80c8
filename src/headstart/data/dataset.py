"""A dataset: images and their labels, in a fixed order, with class names sorted and a content fingerprint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


class Reader(Protocol):
    """Gives the encoded bytes (or the decoded pixels) of each image by its row."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def name(self, row: int) -> str:
        """Return a short name for people: a path relative to the source, or a row number."""
        ...

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the file's bytes, or pixels uint8 [height, width, 3 or 1]."""
        ...

    def identity(self, row: int) -> str:
        """Return what changes when the row's content may have changed (such as path, size and time)."""
        ...


@dataclass(frozen=True)
class Skip:
    """One image that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Images and labels.

    Args:
        name: for people.
        reader: gives the image of each row.
        labels: int64 [n], index into `classes`; for multi-label targets bool [n, len(classes)].
        classes: the class names in sorted order.
        given_split: object/str [n] of "train", "validation", "test" or "", or None.
        groups: str [n]: rows of one group never stand on two sides of a split; or None.
        fingerprint: 32 hex digits that depend on every image's content, label and class name.
        skipped: images left out, and why.
        about: facts for people: licence, source, notes (such as "661 exact duplicates dropped").
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

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def multi_label(self) -> bool:
        """Say whether an image may have several labels."""
        return self.labels.ndim == 2


@dataclass(frozen=True)
class Split:
    """Disjoint, sorted row indices into a dataset, with the rule and seed that made them.

    Args:
        train, validation, test: int64 [.]; validation or test may be empty.
        rule: the rule in words, such as "given; validation 50 % of train, stratified".
        seed: the seed.
    """

    train: IntArray
    validation: IntArray
    test: IntArray
    rule: str
    seed: int
