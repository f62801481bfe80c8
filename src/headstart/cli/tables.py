"""Prints tables and facts on the terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.disclosure import page, printable, show, wrapped

KEPT = "\ue000"  # a blank of a cell at which no line is broken
OPEN = "\ue001"  # no character, but a place at which a line may be broken


def show_facts(facts: Mapping[str, Any]) -> None:
    """Print one fact per line."""
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        print(wrapped(printable(f"{key:<{width}}  {cell(value)}"), sys.stdout, indent=" " * (width + 2)))


def show_line(text: str) -> None:
    """Print a sentence, which a terminal breaks between words."""
    show(wrapped(text, sys.stdout))


def cell(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None, drop: Sequence[str] = ()
) -> None:
    """Print a table as wide as the terminal, or as COLUMNS says, or 140 columns wide.

    Args:
        columns: their heads.
        rows: of cells; lines end at blanks, at `OPEN` places too, but not at a blank that is `KEPT`.
        title: above the table.
        drop: columns that are left out, in this order, where words would be broken otherwise.
    """
    from rich.table import Column, Table
    from rich.text import Text

    screen = page()
    shown, left = list(range(len(columns))), list(drop)
    while (widths := _widths([[row[k] for k in shown] for row in (columns, *rows)], screen.width)) is None and left:
        shown.remove(columns.index(left.pop(0)))
    fixed: Sequence[int | None] = widths if widths is not None else [None] * len(shown)
    heading = None if title is None else Text(title, style="italic")
    heads = (Column(columns[k], overflow="fold", width=width) for k, width in zip(shown, fixed, strict=True))
    table = Table(*heads, box=None, title=heading)
    for row in rows:
        cells = [_broken(row[k], width) for k, width in zip(shown, fixed, strict=True)]
        table.add_row(*map(Text, cells))  # as Text, names such as [other] or :star: are not markup
    screen.print(table)


def _widths(table: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Return a width for each column so that no word is broken, or None if there are none; the widest give way."""
    from rich.cells import cell_len

    columns = list(zip(*table, strict=True))
    found = [max(cell_len(_plain(text)) for text in column) for column in columns]
    least = [max(cell_len(_plain(part.rstrip(" "))) for text in column for part in _parts(text)) for column in columns]
    while sum(found) > width - 2 * len(columns):  # a blank at each side
        wide = [k for k, size in enumerate(found) if size > least[k]]
        if not wide:
            return None
        found[max(wide, key=lambda k: found[k])] -= 1
    return found


def _broken(text: str, width: int | None) -> str:
    """Return a cell whose lines end where they may; without a width, or without special characters, on one line."""
    from rich.cells import cell_len

    if width is None or not {KEPT, OPEN} & set(text):
        return _plain(text)
    lines = [""]
    for part in _parts(text):
        if lines[-1] and cell_len(_plain(lines[-1] + part.rstrip(" "))) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(_plain(line).rstrip(" ") for line in lines)


def _parts(text: str) -> list[str]:
    """Return a cell in the parts between which lines may end."""
    return re.findall(f"[^ {OPEN}]*(?:[ {OPEN}]|$)", text)


def _plain(text: str) -> str:
    return text.replace(KEPT, " ").replace(OPEN, "")
