"""Small copies of images: an array, mapped from the disk or not, or some rows of several arrays, read when taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import IntArray

Levels = npt.NDArray[np.uint8]


class SmallCopies(Protocol):
    """uint8 [n, …]: an array, or what can be read like one."""

    def __len__(self) -> int:
        """Return n."""
        ...

    def __getitem__(self, rows: Any, /) -> Levels:
        """Return the copies of a slice or an array of rows."""
        ...


class ChosenCopies:
    """Some rows of several arrays, in any order; what is on the disk stays there.

    Args:
        tables: arrays uint8 [m, …] of one shape but for m.
        source, row: int64 [n], the array and the row in it of each copy.
    """

    def __init__(self, tables: Sequence[Levels], source: IntArray, row: IntArray) -> None:
        self.tables, self.source, self.row = tables, source, row

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, rows: slice | IntArray) -> Levels:
        """Return uint8 [k, …]."""
        source, row = self.source[rows], self.row[rows]
        found = np.empty((len(row), *self.tables[0].shape[1:]), dtype=np.uint8)
        for number, table in enumerate(self.tables):
            here = source == number
            found[here] = table[row[here]]
        return found
