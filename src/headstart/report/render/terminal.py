"""The leaderboard for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from headstart import units
from headstart.report import numbers
from headstart.report.read.summary import Summary
from headstart.report.render.words import interval_words, state_words, times, times_head


def ranking_table(summary: Summary) -> Table:
    """Return the leaderboard of every board as one table: score, interval, comparison with the best, seeds and cost."""
    many = len(summary.boards) > 1
    table = Table(
        title=summary.name,
        caption=Text(_caption(summary)),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("#", justify="right", style="dim")
    if many:
        table.add_column("on")
    table.add_column("run", overflow="fold")
    metrics = {board.metric for board in summary.boards} or {"score"}
    table.add_column(metrics.pop().replace("_", " ") if len(metrics) == 1 else "score", justify="right", no_wrap=True)
    table.add_column("95 %\ninterval", justify="right", min_width=12)
    table.add_column("on test", no_wrap=True)
    table.add_column(times_head(summary.boards).replace("× ", "×\n"), justify="right")
    table.add_column("own\ntime", justify="right", no_wrap=True)
    previous = None
    for row in summary.ranking():
        if previous is not None and row["board"] != previous:
            table.add_section()
        previous = row["board"]
        table.add_row(
            str(row["rank"]),
            *([Text(row["dataset"])] if many else []),
            Text(row["run"] + (" *" if row["chosen"] else ""), style="bold" if row["chosen"] or row["best"] else ""),
            numbers.score(row["mean"], row["metric"]),
            _intervals(row),
            row["state"],
            times(row),
            units.duration(row["seconds"]),
        )
    return table


def _intervals(row: Mapping[str, Any]) -> str:
    """Return the interval, and below it in brackets the wider one, where there is one."""
    narrow = numbers.interval(row["low"], row["high"], row["metric"])
    if row["wider_low"] is None:
        return narrow
    return f"{narrow}\n({numbers.interval(row['wider_low'], row['wider_high'], row['metric'])})"


def _caption(summary: Summary) -> str:
    lines = []
    if any(board.chosen for board in summary.boards):
        lines.append("* the model that was chosen on validation and saved")
    lines += [state_words(summary.boards), interval_words(summary.boards)]
    lines += [note[0].upper() + note[1:] + "." for board in summary.boards for note in board.notes]
    if summary.partial:
        failed = f", {len(summary.failed)} failed" if summary.failed else ""
        lines.append(f"Provisional: {len(summary.missing)} runs and seeds are not there yet{failed}.")
    if summary.left_out:
        names = list(dict.fromkeys(row["run"] for row in summary.left_out))
        lines.append(f"Not run: {numbers.listed(names, 6)}; the report says why.")
    return "\n".join(line for line in lines if line)
