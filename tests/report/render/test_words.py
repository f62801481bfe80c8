from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from headstart.report.render.words import (
    STATES,
    by_word,
    interval_words,
    state_meaning,
    state_shown,
    state_words,
    times,
    times_head,
    with_code,
)


def board(margin: float, metric: str, *states: str, folds: int | None = None, evaluated: bool = False) -> Any:
    ranking = [{"state": state} for state in states]
    facts = {"wider": None, "kind": "images", "evaluated": evaluated}
    return SimpleNamespace(margin=margin, metric=metric, ranking=ranking, folds=folds, **facts)


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


def test_one_run_alone_is_not_called_the_best() -> None:
    both = board(0.01, "accuracy", "best", "behind")
    assert [state_shown(row, both) for row in both.ranking] == ["best", "behind"]
    alone = board(0.01, "accuracy", "best")
    assert state_shown(alone.ranking[0], alone) == "–"


def test_folds_and_repeats_are_not_called_seeds() -> None:
    folded, plain = board(0.01, "accuracy", folds=5), board(0.01, "accuracy")
    assert (times_head([plain]), times_head([folded]), times_head([])) == ("seeds", "folds × repeats", "seeds")
    assert times_head([folded, plain]) == "seeds or folds × repeats"
    assert (times({"folds": None, "seeds": 3}), times({"folds": 5, "seeds": 2})) == ("3", "5 × 2")
    assert "more repeats or test images" in state_meaning("cannot tell", folded)
    assert "more seeds or test images" in state_meaning("cannot tell", plain)


def test_an_evaluated_model_is_not_told_of_seeds_and_training_images() -> None:
    trained, evaluated = board(0.01, "accuracy", "best"), board(0.01, "accuracy", "best", evaluated=True)
    assert interval_words([evaluated]) == "Intervals hold for other images of the same kind."
    assert "other seeds" in interval_words([trained, evaluated]) and "`headstart compare" in interval_words([trained])


def test_what_is_between_backticks_is_code_and_the_rest_is_escaped() -> None:
    assert with_code("a < b: `x --y 1` & `z`") == "a &lt; b: <code>x --y 1</code> &amp; <code>z</code>"


def test_a_command_is_broken_between_words_and_folders_alone() -> None:
    html = by_word("headstart predict runs/my-study YOUR-<b>.jpg")
    parts = re.findall('<span class="word">(.*?)</span>', html)
    assert parts == ["headstart", "predict", "runs/", "my-study", "YOUR-&lt;b&gt;.jpg"]
    assert html.count("</span> <span") == 3 and html.count("</span><wbr><span") == 1
    assert re.sub("<.*?>", "", html) == "headstart predict runs/my-study YOUR-&lt;b&gt;.jpg"  # as it is copied
