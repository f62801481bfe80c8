"""The leaderboard for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from headstart import units
from headstart.evaluate.metrics.names import measure_name
from headstart.report import numbers
from headstart.report.read.summary import Summary
from headstart.report.render.words import interval_words, narrow_words, state_shown, state_words, times, times_head

_COSTS, _WIDER = 75, 16  # columns beside the names with the costs, and of the wider intervals


def ranking_table(summary: Summary, width: int = 140) -> Table:
    """Return the leaderboard of every board as one table with a line for each run.

    Args:
        summary: the study.
        width: of the terminal; a narrow one has the score, its interval and the comparison with the best.
    """
    many = len(summary.boards) > 1
    shown = [run + (" *" if run == board.chosen else "") for board in summary.boards for run in board.runs]
    names = max(map(len, shown), default=0)
    names += max((len(board.title) + 2 for board in summary.boards), default=0) if many else 0
    wide = width >= names + _COSTS
    wider = width >= names + _COSTS + _WIDER and any(board.wider for board in summary.boards)
    table = Table(
        title=summary.name,
        caption=Text(_caption(summary, wider)),
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
    table.add_column(measure_name(metrics.pop()) if len(metrics) == 1 else "score", justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    if wider:
        table.add_column("other training\nimages too", justify="right", no_wrap=True)
    compared = any(len(board.ranking) > 1 for board in summary.boards)
    if compared:
        table.add_column("on test", no_wrap=True)
    if wide:
        table.add_column(times_head(summary.boards).replace("× ", "×\n"), justify="right")
        table.add_column("per image", justify="right", no_wrap=True)
        table.add_column("to get", justify="right", no_wrap=True)
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
            numbers.interval(row["low"], row["high"], row["metric"]),
            *([numbers.interval(row["wider_low"], row["wider_high"], row["metric"])] if wider else []),
            *([state_shown(row, summary.boards[row["board"]])] if compared else []),
            *(_costs(row) if wide else []),
        )
    return table


def _costs(row: Mapping[str, Any]) -> list[str]:
    """Return how often the run was tested, its time for an image, and the time that it took with what it shares."""
    return [times(row), units.duration(row["seconds_per_image"]), units.duration(row["total_seconds"])]


def _caption(summary: Summary, wider: bool) -> str:
    lines = []
    if any(board.chosen for board in summary.boards):
        lines.append("* the model that was chosen on validation and saved")
    intervals = interval_words(summary.boards, "beside it") if wider else narrow_words(summary.boards)
    lines += [state_words(summary.boards), intervals]
    if summary.partial:
        failed = f", {len(summary.failed)} failed" if summary.failed else ""
        lines.append(f"Provisional: {len(summary.missing)} runs and seeds have not finished{failed}.")
    if summary.left_out:
        names = list(dict.fromkeys(row["run"] for row in summary.left_out))
        lines.append(f"Not run: {numbers.listed(names, 6)}; the report says why.")
    return "\n".join(line for line in lines if line)
