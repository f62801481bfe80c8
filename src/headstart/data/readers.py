"""Readers: where the bytes or pixels of each row come from. One object serves all rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import ChosenRows, IntArray, Reader
from headstart.data.image_files import file_identity, read_file


class FileReader:
    """Image files on disk.

    Args:
        root: what the names are relative to.
        files: distinct names relative to `root`, or absolute.
        codes: int64 [n], the file of each row; None: one row per file.
    """

    def __init__(self, root: Path, files: Sequence[str], codes: IntArray | None = None) -> None:
        self.root, self.files, self.codes = root, files, codes

    def __len__(self) -> int:
        return len(self.files) if self.codes is None else len(self.codes)

    def name(self, row: int) -> str:
        """Return the path relative to the source."""
        return self.files[row if self.codes is None else int(self.codes[row])]

    def path(self, row: int) -> Path:
        """Return the file's path."""
        return self.root / self.name(row)

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the file's bytes."""
        return read_file(self.path(row))

    def identity(self, row: int) -> str:
        """Return the path and the state of the file."""
        return file_identity(self.path(row))


def item_codes(reader: Reader) -> IntArray:
    """Return int64 [n]: rows of equal code are the same item of the source, so that it is read only once."""
    if isinstance(reader, ChosenRows):
        return item_codes(reader.base)[reader.rows]
    if isinstance(reader, FileReader) and reader.codes is not None:
        return reader.codes
    return np.arange(len(reader), dtype=np.int64)
