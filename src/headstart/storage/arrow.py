"""The only module that imports pyarrow, after it has asked whether memory is left.

Arrow's allocator takes memory in large pieces; where it gets none, Arrow throws what nothing catches, and the process
ends. So whoever calls Arrow gets its module here, anew for each call: the check takes microseconds.
"""

from __future__ import annotations

import mmap
from typing import Any

ROOM = 1 << 26  # bytes


def arrow() -> Any:
    """Return the module pyarrow.

    Raises:
        MemoryError: no memory is left for it.
    """
    check_room()
    import pyarrow

    return pyarrow


def arrow_compute() -> Any:
    """Return the module pyarrow.compute.

    Raises:
        MemoryError: no memory is left for it.
    """
    check_room()
    import pyarrow.compute

    return pyarrow.compute


def arrow_csv() -> Any:
    """Return the module pyarrow.csv.

    Raises:
        MemoryError: no memory is left for it.
    """
    check_room()
    import pyarrow.csv

    return pyarrow.csv


def arrow_json() -> Any:
    """Return the module pyarrow.json.

    Raises:
        MemoryError: no memory is left for it.
    """
    check_room()
    import pyarrow.json

    return pyarrow.json


def arrow_parquet() -> Any:
    """Return the module pyarrow.parquet.

    Raises:
        MemoryError: no memory is left for it.
    """
    check_room()
    import pyarrow.parquet

    return pyarrow.parquet


def check_room(needed: int = ROOM) -> None:
    """Check that this many bytes of memory are available within the limits of the process, such as `ulimit -v`.

    Raises:
        MemoryError: they are not.
    """
    try:
        mmap.mmap(-1, needed).close()
    except OSError as error:
        raise MemoryError(f"{needed >> 20} MiB of memory are not available") from error
