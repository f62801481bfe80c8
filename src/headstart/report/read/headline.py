"""The answer of a study in at most forty words: what to use, how good it is, and what else is as good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headstart.evaluate.metrics.names import measure_name
from headstart.report import numbers
from headstart.report.read.conclusion import Segment, plain
from headstart.report.read.leaderboard import Board

WORDS = 40  # of the whole answer
OPEN = ("best", "tied", "cannot tell")  # states of runs that may be as good as the best
REFIT = "The saved model was trained again on every image. "


def headline_of(
    boards: Sequence[Board], costs: Mapping[str, float | None], *, partial: bool, refitted: bool = False
) -> tuple[Segment, ...]:
    """Describe what to use and how good it is; then, as far as the words last, what it was compared with.

    Args:
        boards: the rankings; the first one answers the question.
        costs: seconds of each run, by which a cheaper run is named.
        partial: whether runs are still expected.
        refitted: whether the saved model was trained again after its test.
    """
    if not boards:
        return (("No run has finished yet, so there is no answer.", False),)
    found: list[Segment] = [("So far: ", False)] if partial else []
    found += _use(boards[0], named=len(boards) > 1, begun=partial)
    first = boards[0]
    further = [[[(REFIT, False)]] if refitted else [], [_better_on_test(first)], [_baseline(first)]]
    further += [_as_good(first, costs), *([_use(board, named=True)] for board in boards[1:])]
    for forms in further:
        fits = (form for form in forms if len(plain([*found, *form]).split()) <= WORDS)
        found += next(fits, [])
    text, strong = found[-1]
    return (*found[:-1], (text.rstrip(), strong))


def _use(board: Board, *, named: bool, begun: bool = False) -> list[Segment]:
    run = board.chosen or board.runs[0]
    row = board.row(run)
    begin = (f"{'on' if begun else 'On'} {board.title}: ") if named else ""
    verb = "use " if named or begun else "Use "
    if board.evaluated or len(board.ranking) == 1:
        start: list[Segment] = [(begin, False), (run, True), (" reaches ", False)]
    else:
        start = [(begin + verb, False), (run, True), (": ", False)]
    score = f"{numbers.score(row['mean'], board.metric)} {measure_name(board.metric)}"
    things = "episodes" if board.kind == "episodes" else "test images"
    reach = numbers.interval(row["low"], row["high"], board.metric)
    return [*start, (score, True), (f" on {board.n:,} {things} (95 % interval {reach}). ", False)]


def _better_on_test(board: Board) -> list[Segment]:
    """Name the run that beats the chosen one on the test images, if one does."""
    if board.chosen is None or board.row(board.chosen)["state"] in OPEN:
        return []
    first = board.runs[0]
    score = numbers.score(board.row(first)["mean"], board.metric)
    return [("On the test images ", False), (first, True), (f" is better ({score}). ", False)]


def _baseline(board: Board) -> list[Segment]:
    run = board.chosen or board.runs[0]
    pair = next((p for p in board.against_baseline if run in (p["a"], p["b"])), None)
    if board.baseline is None or board.baseline == run or pair is None:
        return []
    base = f"the baseline {board.baseline} ({numbers.score(board.row(board.baseline)['mean'], board.metric)})"
    if not pair["significant"]:
        return [(f"It is not yet clear whether it differs from {base}. ", False)]
    return [(f"It is {'better' if pair['a'] == run else 'worse'} than {base}. ", False)]


def _as_good(board: Board, costs: Mapping[str, float | None]) -> list[list[Segment]]:
    """Count the other runs that may be as good as the best; in the longer form also name the cheapest safe one."""
    run = board.chosen or board.runs[0]
    others = [row["run"] for row in board.ranking if row["run"] not in (run, board.baseline) and row["state"] in OPEN]
    if not others or board.row(run)["state"] not in OPEN:
        return []
    many = len(others) > 1
    count = f"{len(others)} other runs may be as good" if many else "1 other run may be as good"
    short: list[Segment] = [(f"{count}. ", False)]
    spent = costs.get(run)
    known = {name: cost for name in others if name in board.safe and (cost := costs.get(name)) is not None}
    if spent is None or not known or min(known.values()) > spent / 2:
        return [short]
    cheapest = min(known, key=lambda name: known[name])
    link, end = (f"{count}, such as the cheaper ", ". ") if many else (f"{count}: ", ", which is cheaper. ")
    return [[(link, False), (cheapest, True), (end, False)], short]
