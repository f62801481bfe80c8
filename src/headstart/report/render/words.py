"""What the states of a leaderboard mean, in words that every format uses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from headstart.evaluate.comparison.sentences import margin_words
from headstart.report import numbers
from headstart.report.read.leaderboard import Board

NARROW = "Intervals hold for other seeds and other test images of the same kind, not for other training images."
EVALUATED = "Intervals hold for other images of the same kind."
OFFER = (
    " To count those too: `headstart compare --training-images 20`, or `compare: {training_images: 20}` in a study"
    " file."
)
_CODE = re.compile("`([^`]+)`")
_FOLDERS = re.compile("[^/]*/|[^/]+")
STATES = ("best", "tied", "cannot tell", "behind")


def times_head(boards: Sequence[Board]) -> str:
    """Return the head of the column that says how often a run was trained and tested."""
    kinds = {"folds × repeats" if board.folds else "seeds" for board in boards}
    return " or ".join(sorted(kinds, reverse=True)) or "seeds"


def times(row: Mapping[str, Any]) -> str:
    """Return the cell of that column: the seeds, or folds × repeats."""
    return f"{row['folds']} × {row['seeds']}" if row["folds"] else str(row["seeds"])


def state_meaning(state: str, board: Board) -> str:
    """Return what a state says of a run."""
    margin = margin_words(board.margin, numbers.is_share(board.metric))
    more = "seeds" if board.folds is None else "repeats"
    return {
        "best": "the best mean score on the test images",
        "tied": f"a difference from the best of more than {margin} is unlikely",
        "cannot tell": f"it may be as good as the best, or clearly worse: more {more} or test images would tell",
        "behind": "worse than the best by more than chance",
    }[state]


def narrow_words(boards: Sequence[Board]) -> str:
    """Return what the intervals hold for: a saved model that is evaluated has no seeds and no training images."""
    return EVALUATED if boards and all(board.evaluated for board in boards) else NARROW


def interval_words(boards: Sequence[Board], where: str = "in brackets") -> str:
    """Return what the intervals of these leaderboards hold for, and how the wider ones were made, if there are any.

    Code is between backticks; see `with_code`.
    """
    made = [board.wider for board in boards if board.wider is not None]
    if not made:
        narrow = narrow_words(boards)
        return narrow + (OFFER if narrow == NARROW and any(board.kind == "images" for board in boards) else "")
    samples = made[0]["samples"]
    if made[0]["by"] == "folds":
        how = f"it comes from the spread over {samples} folds, which share most of their training images"
    else:
        how = f"each head was fitted again on {samples} bootstrap samples of the training images"
    return f"{NARROW} The wider interval {where} holds for those too: {how}."


def with_code(text: str) -> Markup:
    """Return text as HTML, with what is between backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))


def by_word(command: str) -> Markup:
    """Return a command as HTML that is broken between words and folders: not at the hyphens of options and names."""
    parts = [Markup("<wbr>").join(_words(each)) for each in command.split(" ")]
    return Markup(" ").join(parts)


def _words(text: str) -> list[Markup]:
    return [Markup('<span class="word">{}</span>').format(part) for part in _FOLDERS.findall(text)]


def state_shown(row: Mapping[str, Any], board: Board) -> str:
    """Return the state of a run beside the others; a dash where there is no other."""
    return str(row["state"]) if len(board.ranking) > 1 else "–"


def state_words(boards: Sequence[Board]) -> str:
    """Return what the states mean that occur in these leaderboards, the first excepted."""
    if not boards:
        return ""
    there = {row["state"] for board in boards for row in board.ranking}
    meanings = [f"{state.capitalize()}: {state_meaning(state, boards[0])}." for state in STATES[1:] if state in there]
    return " ".join(meanings)
