"""The same summary as Markdown, CSV and JSON, and the choice among all formats by name."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart import units
from headstart.disclosure import printable, spreadsheet_text
from headstart.errors import choose
from headstart.evaluate.metrics.names import measure_name
from headstart.report import numbers
from headstart.report.read.conclusion import Segment
from headstart.report.read.leaderboard import Board
from headstart.report.read.summary import Summary, load_summary, total_seconds
from headstart.report.render.evaluation_words import said_of
from headstart.report.render.evidence_text import class_rows, mistake_rows
from headstart.report.render.halving_text import halving_lines, proxy_lines
from headstart.report.render.html import write_html
from headstart.report.render.png import write_png
from headstart.report.render.words import interval_words, state_shown, state_words, times, times_head
from headstart.storage.files import write_atomic

COLUMNS = (
    "dataset",
    "rank",
    "run",
    "metric",
    "mean",
    "low",
    "high",
    "wider_low",
    "wider_high",
    "sd",
    "n",
    "seeds",
    "folds",
    "state",
    "chosen",
    "deterministic",
    "within_margin",
    "letters",
    "seconds",
    "shared_seconds",
    "seconds_per_image",
    "megabytes",
    "learned",
    "parameters",
    "backbone",
    "strategy",
)


def write_report(study: str | Path, format: str = "html", out: str | Path | None = None) -> Path:
    """Write a study's report in one format; return where.

    Args:
        study: the study's folder.
        format: html, md, csv, json or png.
        out: the file; by default report.FORMAT in the study's folder.

    Raises:
        SpecError: an unknown format.
        StoreError: a run folder has files missing or altered, or the report cannot be written.
    """
    write = choose("report format", format, FORMATS)
    return write(study, out if out is not None else Path(study) / f"report.{format}")


def write_markdown(study: str | Path, out: str | Path) -> Path:
    """Write the answer, the rankings and the comparisons as Markdown; return where."""
    return _write(out, markdown(load_summary(study)))


def write_csv(study: str | Path, out: str | Path) -> Path:
    """Write the rankings as one CSV table; return where."""
    rows = load_summary(study).ranking()
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows({key: spreadsheet_text(value) for key, value in row.items()} for row in rows)
    return _write(out, buffer.getvalue())


def write_json(study: str | Path, out: str | Path) -> Path:
    """Write everything the summary holds as JSON; return where."""
    value = load_summary(study).to_dict()
    return _write(out, json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")


def markdown(summary: Summary) -> str:
    """Return the summary as Markdown."""
    lines = [f"# {_cell(summary.question)}", "", _emphasised(summary.answer), ""]
    if summary.partial:
        waiting = f"{len(summary.missing)} of the expected runs and seeds have not finished"
        lines[1:1] = ["", f"> **Provisional** ({summary.status}): {waiting}."]
    for board in summary.boards:
        lines += [f"## {_cell(board.title)}", "", *_ranking(summary, board), ""]
        said = said_of(summary.files.evaluation) if summary.files.evaluation and board.evaluated else []
        lines += [f"*{_cell(note)}*  " for note in [*said, *board.notes]]
        lines += ["", *_comparisons(board), ""] if len(board.ranking) > 1 else [""]
    lines += _evidence(summary)
    lines += _likeness(summary)
    if summary.left_out:
        lines += [
            "## Not run",
            "",
            *(_cell(f"- {r['run']}, seed {r['seed']}: {r['why']}") for r in summary.left_out),
            "",
        ]
    if summary.halving:
        lines += ["## Successive halving", "", *(_cell(f"- {line}") for line in halving_lines(summary.halving)), ""]
    if summary.proxy:
        shown = proxy_lines(summary.proxy, summary.left_out)
        lines += ["## Which network first", "", *(_cell(f"- {line}") for line in shown), ""]
    if summary.failed:
        lines += ["## Failed", "", *(_cell(f"- {f.run}, seed {f.seed}: {f.why}") for f in summary.failed), ""]
    lines += ["## Reproduce", ""]
    if summary.command:
        lines += [_fence(summary.command), summary.command, _fence(summary.command), ""]
    lines += [_cell(f"- {key}: {value}") for key, value in summary.environment.items()]
    lines += [_cell(f"- data: {facts.get('name')}, fingerprint {key}") for key, facts in summary.datasets.items()]
    return "\n".join(lines).rstrip() + "\n"


def _evidence(summary: Summary) -> list[str]:
    """Return the findings, how well each class is classified, the worst mistakes, and what the audit found."""
    lines = ["## Findings", "", _emphasised(summary.findings), ""] if summary.boards else []
    run, classes, mistakes = summary.headline_run, class_rows(summary), mistake_rows(summary)
    if classes:
        heads = ["class", "images", "recall", "precision", "F1", "most often taken for"]
        shown = [[_cell(cell) for cell in row] for row in classes]
        lines += [f"## Classes: {_cell(run)}", "", *_table(heads, shown, "lrrrrl"), ""]
    if mistakes:
        shown = [[_cell(cell) for cell in row] for row in mistakes]
        heads = ["image", "class", "classified as", "confidence"]
        lines += [f"## Mistakes: {_cell(run)}", "", *_table(heads, shown, "lllr"), ""]
    if summary.problems:
        lines += ["## What the audit found", "", *(f"- {_cell(problem)}" for problem in summary.problems), ""]
    return lines


def _likeness(summary: Summary) -> list[str]:
    """Return the tables of similarity.json, and the names of the pictures of explained.json."""
    found = summary.files.similarity or {}
    lines: list[str] = []
    if found.get("frechet"):
        heads = ["network", "source", "target", "Fréchet distance", "within the target", "images a side"]
        keys = ("network", "source", "target", "distance", "within_target", "n")
        rows = [
            [f"{row[k]:.4g}" if isinstance(row[k], float) else _cell(row[k]) for k in keys] for row in found["frechet"]
        ]
        lines += ["## How similar are source and target?", "", *_table(heads, rows, "lllrrr"), ""]
    for pair in found.get("stages") or []:
        rows = [[_cell(name), *(f"{v:.2f}" for v in row)] for name, row in zip(pair["first"], pair["cka"], strict=True)]
        title = f"### CKA by stage: {_cell(pair['runs'][0])} (rows), {_cell(pair['runs'][1])} (columns)"
        lines += [title, "", *_table(["", *pair["second"]], rows, "l" + "r" * len(pair["second"])), ""]
    pairs = (summary.files.explained or {}).get("pairs", [])
    lines += [
        _cell(f"- {' and '.join(pair['runs'])}, explained side by side: {pair['file']}")
        for pair in pairs
        if pair["file"]
    ]
    return [*lines, ""] if lines else []


def _emphasised(segments: Sequence[Segment]) -> str:
    return "".join(f"**{_cell(part)}**" if strong else _cell(part) for part, strong in segments)


def _ranking(summary: Summary, board: Board) -> list[str]:
    metric = measure_name(board.metric)
    rows = []
    for place, row in enumerate(board.ranking, start=1):
        run = summary.run(row["run"])
        mark = "**" if row["chosen"] else ""
        rows.append(
            [
                str(place),
                f"{mark}{_cell(row['run'])}{mark}",
                numbers.score(row["mean"], board.metric),
                numbers.interval(row["low"], row["high"], board.metric),
                *([_wider(row, board)] if board.wider else []),
                state_shown(row, board),
                *([str(row["letters"])] if board.lettered else []),
                times({**row, "folds": board.folds}),
                units.duration(run.use["seconds_per_image"]),
                units.duration(total_seconds(run.cost)),
            ]
        )
    group = ["group"] if board.lettered else []
    wider = ["(wider)"] if board.wider else []
    heads = ["#", "run", metric, "95 % interval", *wider, "on test", *group, times_head([board]), "per image", "to get"]
    letters = "Runs that share a letter under *group* do not differ significantly when every pair is tested. "
    bold = "The bold run was chosen on validation. " if board.chosen else ""
    states = f"{state_words([board])} {letters if board.lettered else ''}".strip()
    return [
        *_table(heads, rows, f"rlrr{'r' if wider else ''}l{'l' if board.lettered else ''}rrr"),
        "",
        f"n = {board.n:,} {'episodes' if board.kind == 'episodes' else 'test images'}. {bold}{interval_words([board])}",
        *(["", f"*On test*: {states}"] if states else []),
    ]


def _wider(row: Mapping[str, Any], board: Board) -> str:
    return (
        "" if row["wider_low"] is None else f"({numbers.interval(row['wider_low'], row['wider_high'], board.metric)})"
    )


def _comparisons(board: Board) -> list[str]:
    lines = ["### The best on test against each", "", *(_verdict(pair, board) for pair in board.against_best)]
    if board.against_baseline:
        title = f"### Each against the baseline {_cell(board.baseline)}"
        lines += ["", title, "", *(_verdict(pair, board) for pair in board.against_baseline)]
    return lines


def _verdict(pair: Mapping[str, Any], board: Board) -> str:
    line = f"- {_cell(pair['verdict'])}"
    if pair["wider_low"] is None:
        return line
    ends = (numbers.change(pair[side], board.metric) for side in ("wider_low", "wider_high"))
    return f"{line} (with other training images too: {' to '.join(ends)})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> list[str]:
    rule = ["---:" if side == "r" else "---" for side in align]
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]


def _cell(text: Any) -> str:
    """Return text on one line in which nothing is taken for a table, for HTML, for a link or for code."""
    plainly = html.escape(printable(" ".join(str(text).splitlines())), quote=False)
    return re.sub(r"[|\[\]`]", lambda found: f"\\{found[0]}", plainly)


def _fence(text: str) -> str:
    """Return a fence that is longer than any in the text."""
    return "`" * (max([2, *map(len, re.findall("`+", text))]) + 1)


def _write(out: str | Path, text: str) -> Path:
    path = Path(out)
    write_atomic(path, text)
    return path


FORMATS: Mapping[str, Callable[[str | Path, str | Path], Path]] = {
    "html": write_html,
    "md": write_markdown,
    "csv": write_csv,
    "json": write_json,
    "png": write_png,
}
