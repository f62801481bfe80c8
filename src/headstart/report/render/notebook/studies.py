"""Studies in a notebook: a plan, a ranking with intervals, few-shot scores, evaluations, drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from headstart import units
from headstart.evaluate.metrics.names import measure_name
from headstart.fewshot.evaluation import FewShotResult
from headstart.report import numbers
from headstart.report.read.leaderboard import Board
from headstart.report.read.summary import Summary
from headstart.report.render.drift_words import drift_sentences
from headstart.report.render.evaluation_words import (
    change_words,
    compared_words,
    drift_lines,
    images_words,
    measure_rows,
)
from headstart.report.render.fewshot_words import ALONE, answer_words, telling_pairs
from headstart.report.render.notebook import look
from headstart.report.render.plan_text import figures_of, stage_word, tasks_of, total_of
from headstart.report.render.words import (
    interval_words,
    narrow_words,
    state_shown,
    state_words,
    times,
    times_head,
    with_code,
)
from headstart.study.evaluation import Evaluation
from headstart.study.planning.describe import PlanRows
from headstart.study.unlabelled import DriftReport

ROWS = 20  # of a ranking
ROOM = 0.04  # of a scale, at its ends
VERDICTS = 4  # of few-shot methods


def study_html(summary: Summary, folder: str) -> Markup:
    """Return a study: the answer first, then each ranking with its intervals, then what the audit found."""
    answer = look.joined(Markup("<b>{}</b>" if strong else "{}").format(text) for text, strong in summary.answer)
    parts = [look.line(answer, "answer")]
    if summary.partial:
        parts.insert(0, look.line(f"Provisional: {len(summary.missing)} runs and seeds have not finished.", "notice"))
    for board in summary.boards:
        parts += _board(summary, board)
    wider = any(board.wider for board in summary.boards)  # which are not shown here
    intervals = narrow_words(summary.boards) if wider else interval_words(summary.boards)
    parts.append(look.line(with_code(f"{state_words(summary.boards)} {intervals}"), "muted"))
    parts += [look.line(f"Failed: {each.run}, seed {each.seed}: {each.why}", "problem") for each in summary.failed]
    parts += [look.line(problem, "notice") for problem in summary.problems]
    parts.append(look.line(f"Report: {folder}/report.html", "muted"))
    return look.panel(*parts)


def plan_html(rows: PlanRows) -> Markup:
    """Return a plan: a row for each group of runs with its stages, the total, and what is unavailable."""
    doable = [row for row in rows if row["kind"] != "unavailable"]
    cells: list[Sequence[str | Markup]] = [
        (
            f"{row['kind']}: {row['backbone']} on {row['dataset']} ({row['images']:,} images)",
            f"{numbers.listed(row['runs'], 6)}: {tasks_of(row)}, {row['done']} done",
            "; ".join(_stage(stage) for stage in row.get("stages", ())),
            *figures_of(row),
        )
        for row in doable
    ]
    cells.append((Markup("<b>total</b>"), "", "", *figures_of(total_of(doable))))
    kinds = (look.LONG, look.LONG, look.LONG, look.NUMBER, look.NUMBER, look.NUMBER)
    absent = [
        look.line(f"Unavailable: {row['runs'][0]}: {row['why']}", "notice")
        for row in rows
        if row["kind"] == "unavailable"
    ]
    heads = ("in this order", "runs", "stages", "time", "disk", "memory")
    return look.panel(look.title("Plan"), look.table(heads, cells, kinds), *absent)


def fewshot_html(result: FewShotResult) -> Markup:
    """Return few-shot scores: each method and number of shots with its interval, then what they tell."""
    rows = sorted(result.rows, key=lambda row: row.shots)
    widest = _ends([(row.low, row.accuracy, row.high) for row in rows])
    ends = max(0.0, widest[0]), min(1.0, widest[1])
    best = {shots: max(row.accuracy for row in rows if row.shots == shots) for shots in {row.shots for row in rows}}
    cells = [
        (
            Markup("{}{}").format(row.method, Markup("<small> (transductive)</small>") if row.transductive else ""),
            str(row.shots),
            _track(row.low, row.accuracy, row.high, ends, strong=row.accuracy == best[row.shots]),
            numbers.percent(row.accuracy),
            numbers.interval(row.low, row.high, "accuracy"),
            "–" if row.new_classes is None else numbers.interval(row.new_classes.low, row.new_classes.high, "accuracy"),
        )
        for row in rows
    ]
    episodes = rows[0].episodes if rows else 0
    name = f"{result.name}: {result.ways}-way episodes from {result.classes} classes, {result.queries} queries of each"
    scale = look.scale([numbers.percent(end) for end in ends])
    heads = ("method", "shots", scale, "accuracy", numbers.prose("95 % interval"), "for new classes")
    kinds = ("", look.NUMBER, look.TRACK, look.NUMBER, look.NUMBER, look.NUMBER)
    shown = len(heads) if any(row.new_classes for row in rows) else len(heads) - 1
    table = look.table(heads[:shown], [row[:shown] for row in cells], kinds[:shown])
    drawn = look.line(f"{episodes:,} episodes for each number of shots, seed {result.seed}", "muted")
    kind = [look.line(ALONE, "muted")] if len({row.transductive for row in rows}) > 1 else []
    answers = [look.line(sentence, "answer") for sentence in answer_words(result)]
    return look.panel(look.title(name), *answers, drawn, table, *kind, *_verdicts(result))


def _verdicts(result: FewShotResult) -> list[Markup]:
    """Return the most accurate method beside the next ones, and how many pairs are not shown."""
    said, left_out = [], 0
    for shots in sorted(result.comparisons):
        pairs, rest = telling_pairs(result, shots, VERDICTS)
        said += [look.line(f"{numbers.counted(shots, 'shot')}: {pair.verdict}", "muted") for pair in pairs]
        left_out += rest
    if left_out:
        verb = "is" if left_out == 1 else "are"
        said.append(look.line(f"{numbers.counted(left_out, 'other pair')} of methods {verb} not shown.", "muted"))
    return said


def evaluation_html(found: Evaluation) -> Markup:
    """Return an evaluation: the measures of each model, its change, drift and how the models compare."""
    parts = [look.title(images_words(found))]
    parts += [look.line(note[:1].upper() + note[1:], "muted") for note in found.notes]
    heads = ("measure", *(model.name for model in found.models))
    parts.append(look.table(heads, measure_rows(found), ("", *[look.NUMBER] * len(found.models))))
    parts += [look.line(change_words(each.beside_own(found.metric), found.metric)) for each in found.models]
    for each in found.models:
        before = f"{each.name}: " if len(found.models) > 1 else ""
        parts += [look.line(f"{before}{sentence}", "muted") for sentence in drift_lines(each)]
    parts += [look.line(sentence) for sentence in compared_words(found)]
    return look.panel(*parts, look.line(f"Report: {found.report}", "muted"))


def drift_html(found: DriftReport) -> Markup:
    """Return the drift of unlabelled images: whether they differ, in what, and the least familiar ones."""
    first, *rest = drift_sentences(found.drift.to_dict())
    images = numbers.counted(found.images, "image")
    parts = [look.title(f"{found.name}: {images} without labels"), look.line(first, "answer")]
    parts += [look.line(sentence) for sentence in rest]
    parts += [look.line(note[:1].upper() + note[1:], "muted") for note in found.notes]
    rows = [(name, f"{share:.3f}") for name, share in found.least[:5]]
    parts.append(look.table(("least familiar", "familiarity"), rows, (look.LONG, look.NUMBER)))
    return look.panel(*parts, look.line(f"Report: {found.report}", "muted"))


def _board(summary: Summary, board: Board) -> list[Markup]:
    rows = [row for row in summary.ranking() if summary.boards[row["board"]] is board]
    ends = _ends([(row["low"], row["mean"], row["high"]) for row in rows[:ROWS]])
    cells = [
        (
            str(row["rank"]),
            Markup("{}{}").format(row["run"], look.badge("saved") if row["chosen"] else ""),
            _track(
                row["low"],
                row["mean"],
                row["high"],
                ends,
                strong=row["state"] in ("best", "tied"),
                hollow=row["state"] in ("tied", "cannot tell"),
            ),
            numbers.score(row["mean"], row["metric"]),
            numbers.interval(row["low"], row["high"], row["metric"]),
            state_shown(row, board),
            times(row),
            units.duration(row["seconds"]),
        )
        for row in rows[:ROWS]
    ]
    things = "episodes" if board.kind == "episodes" else "test images"
    heads = (
        "#",
        "run",
        "",
        measure_name(board.metric),
        "95 % interval",
        "on test",
        times_head([board]),
        "own time",
    )
    kinds = (look.NUMBER, look.LONG, look.TRACK, look.NUMBER, look.NUMBER, "", look.NUMBER, look.NUMBER)
    more = [look.line(f"and {len(rows) - ROWS} more runs", "muted")] if len(rows) > ROWS else []
    return [
        look.line(f"{board.title}: {board.n:,} {things}, {board.tested}", "muted"),
        look.table(heads, cells, kinds),
        *more,
    ]


def _track(
    low: float | None,
    value: float,
    high: float | None,
    ends: tuple[float, float],
    *,
    strong: bool,
    hollow: bool = False,
) -> Markup:
    return look.interval_bar(low, value, high, ends, strong=strong, hollow=hollow)


def _ends(rows: Sequence[tuple[float | None, float, float | None]]) -> tuple[float, float]:
    """Return the ends of a scale that holds these intervals."""
    values = [value for row in rows for value in row if value is not None]
    if not values:
        return 0.0, 1.0
    room = max(max(values) - min(values), 1e-3) * ROOM
    return min(values) - room, max(values) + room


def _stage(stage: Mapping[str, Any]) -> str:
    note = "cached" if stage["done"] else "shared" if stage["shared"] else units.duration(stage["seconds"])
    return f"{stage_word(stage['kind'])} {stage['what']} ({note})"
