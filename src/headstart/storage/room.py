"""Whether memory is left, asked before a library is called that ends the process where it gets none."""

from __future__ import annotations

import mmap

ARROW = 1 << 26  # bytes: its allocator takes memory in large pieces, and Arrow throws where nothing catches it


def check_room(needed: int = ARROW) -> None:
    """Check that this much memory can still be had, as `ulimit -v` and the like allow it.

    Raises:
        MemoryError: it cannot.
    """
    try:
        mmap.mmap(-1, needed).close()
    except OSError as error:
        raise MemoryError(f"{needed >> 20} MiB of memory are not there any more") from error
