"""What may leave this machine or reach a terminal: text without credentials, home folder and control characters."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

HIDDEN = "***"
_USER = re.compile(r"(?<=://)[^\s'\"/@]+@")  # user:password@host
_SLASHED = re.compile(r"(?<=://)[^\s'\"/@:]*:[^\s'\"@]*@")  # a key of object storage may hold slashes
_QUERY = re.compile(r"(?<=://)([^\s'\"?#]*\?)([^\s'\"#]*)")
_VALUE = re.compile(r"=[^&;\s]*")
_BORDER = r"(?=[/\\\s'\",:;)\]}]|$)"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # also what turns text around
_KEPT = re.compile(r" (?=%)|(?<=pip) (?=install )|(?<=pip install) ")  # blanks at which no line is broken …
_BLANK = "\ue000"  # … and what holds their places meanwhile
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def without_secrets(text: str) -> str:
    """Return text whose addresses have no user, password, or values in their query."""
    if "://" not in text:
        return text
    text = _USER.sub(f"{HIDDEN}@", _SLASHED.sub(f"{HIDDEN}@", text))
    return _QUERY.sub(lambda found: found[1] + _VALUE.sub(f"={HIDDEN}", found[2]), text)


def disclosable(text: str) -> str:
    """Return text, plain or JSON, without credentials, and with `~` for the home folder, whose name is the user's."""
    home = _home()
    return without_secrets(text if home is None else home.sub("~", text))


def printable(text: str) -> str:
    """Return text in which control characters are written out, so that a name cannot steer a terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def typed(words: Sequence[str]) -> str:
    """Return a command as a user of this system types it: quoted where a shell would take a word apart.

    On Windows only words with blanks are quoted.
    """
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def show(line: str, stream: TextIO | None = None) -> None:
    """Print a line (on standard output if no stream is given) without credentials and control characters.

    What is said on a standard error that cannot be written is lost, and nothing else.
    """
    try:
        print(printable(without_secrets(line)), file=stream, flush=True)
    except OSError:
        if stream is None or stream is not sys.stderr:
            raise
        discard(stream)


def wrapped(line: str, stream: TextIO, indent: str | None = None) -> str:
    """Return a line as wide as the terminal that it goes to, broken between words; a number keeps its per cent sign.

    What is to be installed stays with its command, to be copied. What does not go to a terminal stays one line.

    Args:
        line: the text.
        stream: where it goes.
        indent: of further lines; None: that of the first line, at least two blanks.
    """
    try:
        columns = (_asked_columns() or os.get_terminal_size(stream.fileno()).columns) if stream.isatty() else 0
    except (OSError, ValueError):
        return line
    if not 20 <= columns < len(line):
        return line
    if indent is None:
        indent = line[: len(line) - len(line.lstrip())] or "  "
    kept = _KEPT.sub(_BLANK, line)
    filled = textwrap.fill(
        kept, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )
    return filled.replace(_BLANK, " ")


def discard(stream: TextIO) -> None:
    """Send everything that is still written to a stream to nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def spreadsheet_text(value: Any) -> Any:
    """Return the value of a cell; text that a spreadsheet would compute begins with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def console(**options: Any) -> Any:
    """Return a console of rich whose texts hold no control characters but its own."""
    from rich import control
    from rich.console import Console

    table: dict[int, Any] = getattr(control, "_CONTROL_STRIP_TRANSLATE", {})
    table.update({code: repr(chr(code))[1:-1] for code in (*range(0x0E, 0x20), *range(0x7F, 0xA0))})
    return Console(**options)


def page() -> Any:
    """Return a console for tables on standard output: as wide as COLUMNS says, or the terminal, or else 140 columns."""
    return console(width=None if sys.stdout.isatty() else _asked_columns() or 140)


def _asked_columns() -> int:
    """Return the width that the environment asks for, or 0."""
    asked = os.environ.get("COLUMNS", "")
    return int(asked) if asked.isdecimal() else 0


@lru_cache
def _home() -> re.Pattern[str] | None:
    try:
        home = str(Path.home())
    except RuntimeError:  # this user has none
        return None
    if len(Path(home).parts) < 2:
        return None
    forms = dict.fromkeys((home, json.dumps(home, ensure_ascii=False)[1:-1]))
    return re.compile("|".join(re.escape(form) + _BORDER for form in forms))
