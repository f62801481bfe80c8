"""Prints tables and facts on the terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def show_facts(facts: Mapping[str, Any]) -> None:
    """Print one fact per line."""
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        print(f"{key:<{width}}  {cell(value)}")


def cell(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def printable(name: str) -> str:
    """Return a name with its control characters escaped, so that it cannot break a line or colour a terminal."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], name)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table as wide as the terminal, or 140 columns wide if there is none."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    heading = None if title is None else Text(title, style="italic")
    table = Table(*(Column(name, overflow="fold") for name in columns), box=None, title=heading)
    for row in rows:
        table.add_row(*map(Text, row))  # as Text, names such as [other] or :star: are not taken for markup
    Console(width=None if sys.stdout.isatty() else 140).print(table)
