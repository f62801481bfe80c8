"""What the states of a leaderboard mean, in words that every format uses."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.evaluate.comparison.sentences import margin_words
from headstart.report import numbers
from headstart.report.read.leaderboard import Board

INTERVALS = "Intervals hold for other seeds and other test images of the same kind, not for other training images."
STATES = ("best", "tied", "cannot tell", "behind")


def state_meaning(state: str, board: Board) -> str:
    """Return what a state says of a run."""
    margin = margin_words(board.margin, numbers.is_share(board.metric))
    return {
        "best": "the best mean score on the test images",
        "tied": f"a difference from the best of more than {margin} is unlikely",
        "cannot tell": "it may be as good as the best, or clearly worse: more seeds or test images would tell",
        "behind": "worse than the best by more than chance",
    }[state]


def state_words(boards: Sequence[Board]) -> str:
    """Return what the states mean that occur in these leaderboards, the first excepted."""
    if not boards:
        return ""
    there = {row["state"] for board in boards for row in board.ranking}
    meanings = [f"{state.capitalize()}: {state_meaning(state, boards[0])}." for state in STATES[1:] if state in there]
    return " ".join(meanings)
