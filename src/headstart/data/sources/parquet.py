"""Images whose bytes are in a column of a Parquet file."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.image_files import file_state
from headstart.errors import DataError

_KEPT = 4  # row groups kept in memory: threads that go through the rows in order share them


class ParquetReader:
    """Encoded images in a binary column (or in the field `bytes` of a struct column), read by row group.

    Args:
        path: the file.
        column: the column's name.
        names: a display name of each row; None: the row number.
    """

    def __init__(self, path: Path, column: str, names: Sequence[str] | None = None) -> None:
        import pyarrow.parquet

        self.path, self.column, self.names = path, column, names
        self._file: Any = pyarrow.parquet.ParquetFile(path)
        groups = self._file.metadata
        sizes = [groups.row_group(index).num_rows for index in range(groups.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._groups: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._state = file_state(path)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __reduce__(self) -> tuple[Any, ...]:
        return ParquetReader, (self.path, self.column, self.names)

    def name(self, row: int) -> str:
        """Return the row's name."""
        return f"row {row}" if self.names is None else self.names[row]

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the image's bytes."""
        index = int(np.searchsorted(self._starts, row, side="right")) - 1
        value = self._group(index)[row - int(self._starts[index])]
        data: bytes | None = value.as_py()
        return data or b""

    def identity(self, row: int) -> str:
        """Return file and row, with the file's state."""
        return f"{self.path}!{self.column}!{row}|{self._state}"

    def _group(self, index: int) -> Any:
        """Return one row group's column of bytes."""
        with self._lock:
            if index not in self._groups:
                import pyarrow
                import pyarrow.compute

                try:
                    table = self._file.read_row_group(index, columns=[self.column])
                except (pyarrow.ArrowException, OSError) as error:
                    raise DataError(f"{self.path}: row group {index} cannot be read ({error})") from error
                values = table[self.column].combine_chunks()
                if pyarrow.types.is_struct(values.type):
                    values = pyarrow.compute.struct_field(values, "bytes")
                self._groups[index] = values
                if len(self._groups) > _KEPT:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(index)
            return self._groups[index]
