"""Whether memory is left, asked before a library is called that ends the process where it gets none."""

from __future__ import annotations

import mmap

ARROW = 1 << 26  # bytes: its allocator takes memory in large pieces, and Arrow throws where nothing catches it


def check_room(needed: int = ARROW) -> None:
    """Check that this many bytes of memory are available within the limits of the process, such as `ulimit -v`.

    Raises:
        MemoryError: they are not.
    """
    try:
        mmap.mmap(-1, needed).close()
    except OSError as error:
        raise MemoryError(f"{needed >> 20} MiB of memory are not available") from error
