"""The ranking for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from headstart import units
from headstart.report import numbers
from headstart.report.read.summary import Summary

LETTERS = "Runs that share a letter in 'group' are not told apart by the tests (Holm-corrected)."
MAYBE = "'maybe': what was measured does not rule out that this run is the best."


def ranking_table(summary: Summary) -> Table:
    """Return the ranking of every board as one table: score, interval, ties, seeds and cost."""
    many, lettered = len(summary.boards) > 1, _lettered(summary)
    table = Table(title=summary.name, caption=Text(_caption(summary)), title_justify="left", caption_justify="left")
    table.add_column("#", justify="right", style="dim")
    if many:
        table.add_column("on")
    table.add_column("run", overflow="fold")
    metrics = {board.metric for board in summary.boards} or {"score"}
    table.add_column(metrics.pop().replace("_", " ") if len(metrics) == 1 else "score", justify="right")
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("group" if lettered else "best?")
    table.add_column("seeds", justify="right")
    table.add_column("own time", justify="right", no_wrap=True)
    table.add_column("learned", justify="right")
    previous = None
    for row in summary.ranking():
        if previous is not None and row["board"] != previous:
            table.add_section()
        previous = row["board"]
        table.add_row(
            str(row["rank"]),
            *([Text(row["dataset"])] if many else []),
            Text(row["run"], style="bold" if row["tied_with_best"] or row["best"] else ""),
            numbers.score(row["mean"], row["metric"]),
            numbers.interval(row["low"], row["high"], row["metric"]),
            row["letters"] if lettered else _standing(row),
            str(row["seeds"]),
            units.duration(row["seconds"]),
            units.count(row["learned"]),
        )
    return table


def _standing(row: Mapping[str, Any]) -> str:
    return "first" if row["best"] else "maybe" if row["tied_with_best"] else ""


def _lettered(summary: Summary) -> bool:
    return all(board.lettered for board in summary.boards)


def _caption(summary: Summary) -> str:
    lines = [LETTERS if _lettered(summary) else MAYBE]
    if summary.partial:
        failed = f", {len(summary.failed)} failed" if summary.failed else ""
        lines.append(f"Provisional: {len(summary.missing)} runs and seeds are not there yet{failed}.")
    if summary.left_out:
        names = list(dict.fromkeys(row["run"] for row in summary.left_out))
        lines.append(f"Not run: {numbers.listed(names, 6)}; the report says why.")
    return "\n".join(lines)
