"""The answer of a study in a few sentences that claim no more than the tests allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart import units
from headstart.report import numbers
from headstart.report.read.leaderboard import Board

Segment = tuple[str, bool]  # text, and whether it is emphasised


def plain(segments: Sequence[Segment]) -> str:
    """Return the answer without its emphasis."""
    return "".join(text for text, _ in segments)


def answer_of(
    boards: Sequence[Board],
    costs: Mapping[str, float | None],
    *,
    partial: bool,
    kept: Mapping[str, Any] | None = None,
) -> tuple[Segment, ...]:
    """Say which run is best, which are tied with it, how sure that is, what it costs, and which one was saved.

    Args:
        boards: the rankings; the first one answers the question, the others get a sentence each.
        costs: seconds of each run.
        partial: whether runs are still expected.
        kept: the "run" whose model was saved, and "by" what it was chosen.
    """
    if not boards:
        return (("No run has finished yet, so there is no answer.", False),)
    segments: list[Segment] = [("So far: ", False)] if partial else []
    for board in boards:
        if len(boards) > 1:
            segments.append((f"On {board.title}: ", False))
        segments += _best(board)
        segments += _ties(board)
        segments += _cost(board, costs)
        segments += _baseline(board)
    segments += _kept(kept)
    text, strong = segments[-1]
    return (*segments[:-1], (text.rstrip(), strong))


def tied_runs(board: Board) -> list[str]:
    """Return the runs that no test tells from the best."""
    return [row["run"] for row in board.ranking[1:] if row["tied_with_best"]]


def _best(board: Board) -> list[Segment]:
    best = board.ranking[0]
    metric = board.metric.replace("_", " ")
    value = numbers.score(best["mean"], board.metric)
    reach = numbers.interval(best["low"], best["high"], board.metric)
    verb = "reaches" if len(board.ranking) == 1 else ("leads with" if tied_runs(board) else "is best with")
    return [
        (best["run"], True),
        (f" {verb} ", False),
        (f"{value} {metric}", True),
        (f" (95 % interval {reach}, {_basis(board, best)}). ", False),
    ]


def _basis(board: Board, row: Mapping[str, Any]) -> str:
    things = "episodes" if board.kind == "episodes" else "test images"
    seeds = int(row["seeds"])
    return f"{board.n:,} {things}, {seeds} seed{'s' if seeds > 1 else ''}"


def _ties(board: Board) -> list[Segment]:
    if len(board.ranking) == 1:
        return []
    ties = tied_runs(board)
    if not ties:
        others = "every other run: it beats the next, " if len(board.ranking) > 2 else ""
        behind = board.ranking[1]
        gap = next((p for p in board.pairwise if {p["a"], p["b"]} == {board.runs[0], behind["run"]}), None)
        shown = f" by {numbers.difference(gap['difference'], gap['low'], gap['high'], board.metric)}" if gap else ""
        return [(f"It is really better than {others}", False), (behind["run"], True), (f",{shown}. ", False)]
    verb = "is" if len(ties) == 1 else "are"
    return [(numbers.listed(ties), True), (f" {verb} tied with it: no evidence of a difference. ", False)]


def _cost(board: Board, costs: Mapping[str, float | None]) -> list[Segment]:
    """Point at a tied run that costs less than half as much as the best."""
    best, spent = board.runs[0], costs.get(board.runs[0])
    known = {run: cost for run in tied_runs(board) if (cost := costs.get(run)) is not None}
    if spent is None or not known:
        return []
    cheapest = min(known, key=lambda run: known[run])
    if known[cheapest] > spent / 2:
        return []
    return [
        ("Of these, ", False),
        (cheapest, True),
        (f" costs least: {units.duration(known[cheapest])} against {units.duration(spent)} for {best}. ", False),
    ]


def _baseline(board: Board) -> list[Segment]:
    best = board.runs[0]
    if board.baseline is None or board.baseline == best:
        return []
    pair = next((p for p in board.against_baseline if best in (p["a"], p["b"])), None)
    if pair is None:
        return []
    sign = 1 if pair["a"] == best else -1
    low, high = sorted((sign * pair["low"], sign * pair["high"]))
    if not pair.get("significant", True):
        return [(f"There is no evidence that it differs from the baseline {board.baseline}. ", False)]
    shown = numbers.difference(sign * pair["difference"], low, high, board.metric)
    return [(f"Against the baseline {board.baseline}: {shown}. ", False)]


def _kept(kept: Mapping[str, Any] | None) -> list[Segment]:
    if kept is None:
        return []
    return [("The model that is saved is ", False), (str(kept["run"]), True), (f", chosen by {kept['by']}. ", False)]
