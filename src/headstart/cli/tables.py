"""Prints tables and facts on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.disclosure import console, printable


def show_facts(facts: Mapping[str, Any]) -> None:
    """Print one fact per line."""
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        print(printable(f"{key:<{width}}  {cell(value)}"))


def cell(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table as wide as the terminal, or 140 columns wide if there is none."""
    from rich.table import Column, Table
    from rich.text import Text

    heading = None if title is None else Text(title, style="italic")
    table = Table(*(Column(name, overflow="fold") for name in columns), box=None, title=heading)
    for row in rows:
        table.add_row(*map(Text, row))  # as Text, names such as [other] or :star: are not taken for markup
    console(width=None if sys.stdout.isatty() else 140).print(table)
