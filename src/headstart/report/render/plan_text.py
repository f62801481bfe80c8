"""A plan in lines: a block for each group with its stages, and the total."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from headstart import units
from headstart.report import numbers

Row = Mapping[str, Any]
_FIGURES = (10, 9, 9)  # widths of time, disk and memory


def print_plan(rows: Sequence[Row], width: int | None = None) -> None:
    """Print what a plan comes to, and the plan, at the width of the terminal (72 to 120 columns).

    Args:
        rows: of `Study.plan`.
        width: replaces the terminal's width.
    """
    columns = max(72, min(120, width or shutil.get_terminal_size((100, 24)).columns))
    answer = textwrap.wrap(plan_answer(rows), columns, break_long_words=False, break_on_hyphens=False)
    print("\n".join([*answer, "", *plan_lines(rows, columns)]))


def plan_answer(rows: Sequence[Row]) -> str:
    """Return in a sentence how much is left to do, and what it costs."""
    doable = [row for row in rows if row["kind"] != "unavailable"]
    tasks, done = (sum(row[key] for row in doable) for key in ("tasks", "done"))
    time, disk, memory = figures_of(total_of(doable))
    costs = [f"about {time}", f"{disk} of disk space" if disk else "", f"{memory} of memory" if memory else ""]
    answer = f"{tasks - done:,} of {numbers.counted(tasks, 'run × seed', 'runs × seeds')} left to do: "
    answer += f"{', '.join(filter(None, costs))} on this machine." if time != "nothing" else "nothing."
    absent = len(rows) - len(doable)
    return f"{answer} {numbers.counted(absent, 'run is', 'runs are')} unavailable." if absent else answer


def plan_lines(rows: Sequence[Row], width: int) -> list[str]:
    """Return the lines of a plan, none longer than `width`."""
    lines = [_line("in this order", ("time", "disk", "memory"), width)]
    doable = [row for row in rows if row["kind"] != "unavailable"]
    for number, row in enumerate(doable, 1):
        lines += _block(number, row, width)
    lines += ["", _line("total", figures_of(total_of(doable)), width)]
    for row in rows:
        if row["kind"] == "unavailable":
            lines.append(f"unavailable: {row['runs'][0]}: {row['why']}")
    return lines


def _block(number: int, row: Row, width: int) -> list[str]:
    networks = f"{row['backbone']} on {row['dataset']} ({row['images']:,} images)"
    lines = ["", _line(f"{number}  {row['kind']}: {networks}", figures_of(row), width)]
    tries = f", {row['configurations']} configurations" if row["configurations"] > row["tasks"] else ""
    done = f", {row['done']} done" if row["done"] else ""
    runs = f"{', '.join(row['runs'])}: {tasks_of(row)}{tries}{done}"
    lines += _wrapped(runs, width - 3)
    for stage in row.get("stages", ()):
        note = "cached" if stage["done"] else "shared" if stage["shared"] else units.duration(stage["seconds"])
        known = stage["done"] or stage["shared"]
        figures = (note, "" if known else _size(stage["disk"]), "" if known else _size(stage["memory"]))
        lines.append(_line(f"     {stage_word(stage['kind'])} {stage['what']}", figures, width))
    return lines


def tasks_of(row: Row) -> str:
    """Return how many tasks a group has, such as "6 runs × seeds"."""
    return "1 run × seed" if row["tasks"] == 1 else f"{row['tasks']} runs × seeds"


def stage_word(kind: str) -> str:
    """Return what a kind of stage is called."""
    return "pass" if kind == "features" else kind


def figures_of(row: Row) -> tuple[str, str, str]:
    """Return the time, disk and memory of a group, or of the total."""
    seconds = row.get("seconds", 0.0)
    if not seconds:
        return "nothing", "", ""
    return units.duration(seconds), _size(row["disk_bytes"]), _size(row["memory_bytes"])


def _size(count: int) -> str:
    return units.size(count) if count else ""


def total_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the time and disk of all groups together, and the memory of the largest that is still to be done."""
    return {
        "seconds": sum(row["seconds"] for row in rows),
        "disk_bytes": sum(row["disk_bytes"] for row in rows),
        "memory_bytes": max((row["memory_bytes"] for row in rows if row["seconds"]), default=0),
    }


def _line(text: str, figures: Sequence[str], width: int) -> str:
    """Return the text, shortened if necessary, and the figures in columns at the right."""
    room = width - sum(_FIGURES) - 1
    shown = text if len(text) <= room else text[: room - 1] + "…"
    cells = "".join(f"{figure:>{size}}" for figure, size in zip(figures, _FIGURES, strict=True))
    return f"{shown:<{room}} {cells}".rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    """Return the text in lines, broken between words."""
    return [f"   {line}" for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)]
