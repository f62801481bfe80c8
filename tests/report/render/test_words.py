from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headstart.report.render.words import STATES, state_meaning, state_words, times, times_head


def board(margin: float, metric: str, *states: str, folds: int | None = None) -> Any:
    ranking = [{"state": state} for state in states]
    return SimpleNamespace(margin=margin, metric=metric, ranking=ranking, folds=folds)


def test_a_tie_is_stated_in_the_unit_of_the_metric() -> None:
    assert "more than 2 points" in state_meaning("tied", board(0.02, "accuracy"))
    assert "more than 0.02 is" in state_meaning("tied", board(0.02, "log_loss"))
    assert len({state_meaning(state, board(0.02, "accuracy")) for state in STATES}) == 4


@pytest.mark.parametrize(
    ("boards", "starts"),
    [
        ([], []),
        ([board(0.01, "accuracy", "best")], []),
        ([board(0.01, "accuracy", "best", "behind", "tied")], ["Tied: ", "Behind: "]),
        (
            [board(0.01, "accuracy", "best", "behind"), board(0.01, "accuracy", "best", "cannot tell")],
            ["Cannot tell: ", "Behind: "],
        ),
    ],
)
def test_only_states_that_occur_are_explained_best_excepted(boards: list[Any], starts: list[str]) -> None:
    text = state_words(boards)
    found = [start for start in ("Best: ", "Tied: ", "Cannot tell: ", "Behind: ") if start in text]
    assert found == starts


def test_folds_and_repeats_are_not_called_seeds() -> None:
    folded, plain = board(0.01, "accuracy", folds=5), board(0.01, "accuracy")
    assert (times_head([plain]), times_head([folded]), times_head([])) == ("seeds", "folds × repeats", "seeds")
    assert times_head([folded, plain]) == "seeds or folds × repeats"
    assert (times({"folds": None, "seeds": 3}), times({"folds": 5, "seeds": 2})) == ("3", "5 × 2")
    assert "more repeats or test images" in state_meaning("cannot tell", folded)
    assert "more seeds or test images" in state_meaning("cannot tell", plain)
