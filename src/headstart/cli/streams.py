"""Standard output and standard error: their encoding, and what happens when they cannot be written."""

from __future__ import annotations

import os
import sys

from headstart.disclosure import discard


def output_fails() -> bool:
    """Return whether standard output cannot be written; its content is discarded then."""
    try:
        print(flush=True)
    except OSError:
        discard(sys.stdout)
        return True
    return False


def replace_closed_streams() -> None:
    """Read nothing from a standard input that is closed, and write to nowhere in place of a closed standard error."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 (open until the process ends)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def prepare_streams() -> None:
    """Write UTF-8 into files and pipes; on a terminal that cannot show a character, show another.

    In a file, the bytes of a name that is not UTF-8 are escaped, so that no two names look the same.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            shown = stream.isatty()
            stream.reconfigure(encoding=None if shown else "utf-8", errors="replace" if shown else "backslashreplace")


def write_utf8(data: bytes) -> None:
    """Write UTF-8 to standard output, whatever the encoding of the terminal."""
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    else:  # a stream of text that takes the place of standard output in a test or a notebook
        sys.stdout.write(data.decode())
