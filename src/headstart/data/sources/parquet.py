"""Images whose bytes are in a column of a Parquet file."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.file_ranges import FileRanges, LocalFile
from headstart.errors import DataError
from headstart.storage.arrow import arrow, arrow_compute, arrow_parquet

_KEPT = 4  # blocks kept in memory: threads that go through the rows in order share them
_LARGE = 64 << 20  # bytes of images: a row group of more is read in blocks of about a quarter of that
_PAGES = 1 << 20  # bytes read at a time


class ParquetReader:
    """Encoded images in a binary column (or in the field `bytes` of a struct column), read in blocks of rows.

    A block is a row group, or a part of a large one. The parts of a row group can be read only in their order, so
    that going back to an earlier one reads the group again from its beginning.

    Args:
        path: the file.
        column: the column's name.
        names: a display name of each row; None: the row number.
    """

    def __init__(self, path: Path | FileRanges, column: str, names: Sequence[str] | None = None) -> None:
        self.path, self.column, self.names = path, column, names
        self._source = LocalFile(path) if isinstance(path, Path) else path
        self._state = self._source.state()
        self._file = opened(self._source)
        groups = self._file.metadata
        sizes = [groups.row_group(index).num_rows for index in range(groups.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._blocks = [_rows_of_block(groups.row_group(index)) for index in range(groups.num_row_groups)]
        self._kept: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._stream: tuple[int, int, Iterator[Any]] = (-1, 0, iter(()))  # group, next block of it, the blocks
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __reduce__(self) -> tuple[Any, ...]:
        return ParquetReader, (self.path, self.column, self.names)

    def name(self, row: int) -> str:
        """Return the row's name."""
        return f"row {row}" if self.names is None else self.names[row]

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the image's bytes."""
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        block, place = divmod(row - int(self._starts[group]), self._blocks[group])
        value = self._block(group, block)[place]
        data: bytes | None = value.as_py()
        return data or b""

    def identity(self, row: int) -> str:
        """Return file and row, with the file's state."""
        return f"{self._source.place}!{self.column}!{row}|{self._state}"

    def _block(self, group: int, block: int) -> Any:
        """Return the bytes of the images in one block of a row group."""
        with self._lock:
            key = (group, block)
            if key not in self._kept:
                pyarrow = arrow()
                try:
                    self._read(group, block)
                except (pyarrow.ArrowException, OSError) as error:
                    raise DataError(f"{self._source.place}: row group {group} cannot be read ({error})") from error
            self._kept.move_to_end(key)
            return self._kept[key]

    def _read(self, group: int, block: int) -> None:
        """Read on until this block is in memory; from the group's beginning if it was read before."""
        current, following, blocks = self._stream
        if current != group or following > block:
            following, rows = 0, self._blocks[group]
            blocks = self._file.iter_batches(batch_size=rows, row_groups=[group], columns=[self.column])
        while following <= block:
            self._kept[group, following] = _images(next(blocks))
            following += 1
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._stream = (group, following, blocks)


def opened(source: FileRanges) -> Any:
    """Return an Arrow file of which only the pages that are asked for are read.

    Raises:
        DataError: it is not there, or is no Parquet file.
    """
    pyarrow = arrow()
    try:
        file = source.path if isinstance(source, LocalFile) else source.open()
        return arrow_parquet().ParquetFile(file, buffer_size=_PAGES, pre_buffer=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{source.place}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error


def _rows_of_block(group: Any) -> int:
    """Return how many rows of a row group are read at a time, by the size of all its columns.

    Those of one column are in its own description, and Arrow ends the process where that is damaged.
    """
    size = group.total_byte_size
    rows = max(1, int(group.num_rows))
    return rows if size <= _LARGE else max(1, rows * (_LARGE // 4) // size)


def _images(batch: Any) -> Any:
    """Return the column of bytes of a batch."""
    pyarrow = arrow()
    values = batch.column(0)
    return arrow_compute().struct_field(values, "bytes") if pyarrow.types.is_struct(values.type) else values
