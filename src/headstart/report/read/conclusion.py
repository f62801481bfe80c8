"""What the tests of a study say, in sentences that claim no more than they allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart import units
from headstart.evaluate.comparison.sentences import margin_words, settled
from headstart.evaluate.comparison.sources import unit_of
from headstart.evaluate.metrics.names import measure_name
from headstart.report import numbers
from headstart.report.read.leaderboard import Board

Segment = tuple[str, bool]  # text, and whether it is emphasised


def plain(segments: Sequence[Segment]) -> str:
    """Return the answer without its emphasis."""
    return "".join(text for text, _ in segments)


def findings_of(
    boards: Sequence[Board],
    costs: Mapping[str, float | None],
    *,
    partial: bool,
    kept: Mapping[str, Any] | None = None,
    refitted: str | None = None,
) -> tuple[Segment, ...]:
    """Describe which run was chosen on validation, how good it is on test, which is best on test, and how sure that is.

    Args:
        boards: the rankings; the first one answers the question, the others get a sentence each.
        costs: seconds of each run.
        partial: whether runs are still expected.
        kept: the "run" whose model was saved, and "by" what it was chosen.
        refitted: what there is to say of a saved model that is another than the tested one.
    """
    if not boards:
        return (("No run has finished yet, so there is no answer.", False),)
    segments: list[Segment] = [("So far: ", False)] if partial else []
    for board in boards:
        if len(boards) > 1:
            segments.append((f"On {board.title}: ", False))
        segments += _headline(board, kept)
        segments += _others(board)
        segments += _cheaper(board, costs)
        segments += _baseline(board)
    if refitted is not None:
        segments += [("The saved model is a different one. ", True), (refitted, False)]
    text, strong = segments[-1]
    return (*segments[:-1], (text.rstrip(), strong))


def runs_in(board: Board, state: str) -> list[str]:
    """Return the runs of one state ("tied", "cannot tell", "behind"), best first."""
    return [row["run"] for row in board.ranking if row["state"] == state]


def _headline(board: Board, kept: Mapping[str, Any] | None) -> list[Segment]:
    """Describe how good the model chosen on validation is, and which run leads on test where that is another."""
    first = board.runs[0]
    if board.chosen is None:
        return [(first, True), (f" {_leads(board)} ", False), *_score(board, board.row(first), _basis(board, first))]
    by = f", chosen by {kept['by']}" if kept is not None else ""
    found: list[Segment] = [
        ("The model is ", False),
        (board.chosen, True),
        (f"{by}. On the test images it reaches ", False),
    ]
    found += _score(board, board.row(board.chosen), _basis(board, board.chosen))
    if board.chosen == first:
        return found
    pair = next(pair for pair in board.against_best if pair["b"] == board.chosen)
    if pair["difference"] == 0:
        found += [(first, True), (" reaches the same score on these images. ", False)]
    else:
        found += [(first, True), (f" {_leads(board)} ", False)]
        found += _score(board, board.row(first), f"allowing for the choice among {board.leader['of']}")
    gap = numbers.difference(pair["difference"], pair["low"], pair["high"], board.metric)
    words = {
        "tied": f"The two are tied: {gap}. ",
        "cannot tell": f"It is not yet clear whether it is better than the model: {gap}{_settled(board, pair)}. ",
    }
    return [*found, (words.get(pair["category"], f"It is better than the model, by {gap}. "), False)]


def _leads(board: Board) -> str:
    if len(board.ranking) == 1:
        return "reaches"
    return "leads with" if runs_in(board, "tied") or runs_in(board, "cannot tell") else "is best with"


def _score(board: Board, row: Mapping[str, Any], basis: str) -> list[Segment]:
    name = measure_name(board.metric)
    value = f"{numbers.score(row['mean'], board.metric)} {name}"
    reach = numbers.interval(row["low"], row["high"], board.metric)
    found = [(value, True), (f" (95 % interval {reach}; {basis}). ", False)]
    if row["wider_low"] is not None:
        wider = numbers.interval(row["wider_low"], row["wider_high"], board.metric)
        found.append((f"Trained on other images of the same kind, it would most likely reach {wider}. ", False))
    return found


def _basis(board: Board, run: str) -> str:
    things = "episodes" if board.kind == "episodes" else "test images"
    row = board.row(run)
    seeds = int(row["seeds"])
    if board.folds is not None:
        return f"{board.n:,} images, cross-validation, {numbers.repeats(board.folds, seeds)}"
    if board.evaluated:
        return f"{board.n:,} images"
    if row["deterministic"] and seeds == 1:
        return f"{board.n:,} {things}; nothing in its training is random"
    return f"{board.n:,} {things}, {numbers.counted(seeds, 'seed')}"


def _others(board: Board) -> list[Segment]:
    """Describe how the best on test compares with each other run; the chosen one is compared already."""
    if len(board.ranking) == 1:
        return []
    best, it = board.runs[0], "It" if board.chosen in (None, board.runs[0]) else board.runs[0]
    others = [pair for pair in board.against_best if pair["b"] != board.chosen]
    own = board.chosen in (None, best) and len(board.ranking) > 2  # then a sentence of its own is on the baseline
    against = [p for p in others if not (own and p["b"] == board.baseline and p["category"] != "better")]
    kinds = {kind: [pair for pair in against if pair["category"] == kind] for kind in ("better", "tied", "cannot tell")}
    found: list[Segment] = []
    if kinds["tied"]:
        names = numbers.listed([pair["b"] for pair in kinds["tied"]])
        small = margin_words(board.margin, numbers.is_share(board.metric))
        unlikely = f": a difference of more than {small} is unlikely. "
        found += [(f"{best} is tied with ", False), (names, True), (unlikely, False)]
    if kinds["cannot tell"]:
        names = numbers.listed([pair["b"] for pair in kinds["cannot tell"]])
        rest = "; the comparisons say by how much it leads, and what would settle each"
        if len(kinds["cannot tell"]) == 1:
            (pair,) = kinds["cannot tell"]
            gap = numbers.difference(pair["difference"], pair["low"], pair["high"], board.metric)
            rest = f": {gap}{_settled(board, pair)}"
        found += [(f"It is not yet clear whether {best} is better than ", False), (names, True), (f"{rest}. ", False)]
    if kinds["better"]:
        rest = "every other run" if len(kinds["better"]) == len(others) else f"{len(kinds['better'])} others"
        if len(kinds["better"]) == 1:
            rest = kinds["better"][0]["b"]
        pair = kinds["better"][0]
        gap = numbers.difference(pair["difference"], pair["low"], pair["high"], board.metric)
        after = f"by {gap}" if len(kinds["better"]) == 1 else f"the next is {pair['b']}: {gap}"
        found += [(f"{it} is better than {rest}, {after}. ", False)]
    return found


def _settled(board: Board, pair: Mapping[str, Any]) -> str:
    """Describe what would settle a question about images; for episodes it is not known."""
    return settled(pair["needed"], board.n, unit_of(board.folds)) if board.kind == "images" else ""


def _cheaper(board: Board, costs: Mapping[str, float | None]) -> list[Segment]:
    """Point at a run that costs less than half as much and is unlikely to be worse by more than the margin."""
    run = board.chosen or board.runs[0]
    spent = costs.get(run)
    known = {other: cost for other in board.safe if other != run and (cost := costs.get(other)) is not None}
    if spent is None or not known or (board.metric != "accuracy" and not numbers.is_share(board.metric)):
        return []
    cheapest = min(known, key=lambda other: known[other])
    if known[cheapest] > spent / 2:
        return []
    small = margin_words(board.margin, share=True)
    return [
        (cheapest, True),
        (
            f" costs less, {units.duration(known[cheapest])} against {units.duration(spent)} for {run}, and is",
            False,
        ),
        (f" unlikely to be worse by more than {small}. ", False),
    ]


def _baseline(board: Board) -> list[Segment]:
    """Compare the model, or the leader, with the baseline."""
    run = board.chosen or board.runs[0]
    told = len(board.ranking) == 2 and run == board.runs[0]
    if board.baseline is None or board.baseline == run or told:
        return []
    pair = next((p for p in board.against_baseline if run in (p["a"], p["b"])), None)
    if pair is None:
        return []
    shown = numbers.difference(pair["difference"], pair["low"], pair["high"], board.metric)
    base = f"baseline {board.baseline}"
    ahead, start, behind = (run, run, f"the {base}") if pair["a"] == run else (f"the {base}", f"The {base}", run)
    if pair["significant"]:
        return [(f"{start} is better than {behind}, by {shown}. ", False)]
    if pair["category"] == "tied":
        return [(f"{start} is tied with {behind}: {shown}. ", False)]
    return [(f"It is not yet clear whether {ahead} is better than {behind}: {shown}{_settled(board, pair)}. ", False)]
