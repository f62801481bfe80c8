"""What a process deletes before it ends, whatever ends it: temporary files and locks that an interruption left.

The exception of a signal may come after the code that makes a file and before the block that would delete it.
"""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Callable

_cleanups: list[Callable[[], None]] = []


def at_exit(cleanup: Callable[[], None]) -> Callable[[], None]:
    """Have a function called when this process ends; a decorator."""
    _cleanups.append(cleanup)
    return cleanup


def clean_up() -> None:
    """Delete what is left; the interpreter calls this at its end, a process that ends by `os._exit` calls it before."""
    for cleanup in _cleanups:
        with contextlib.suppress(OSError):
            cleanup()


atexit.register(clean_up)
