from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from fake_study import study_of
from rich.console import Console

from headstart.report.read.summary import load_summary
from headstart.report.render.png import draw_ranking
from headstart.report.render.terminal import ranking_table
from headstart.report.render.words import state_words


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three runs: the best, one that may be as good, one that is worse."""
    right = {name: np.tile(np.arange(200) < count, (2, 1)) for name, count in (("a", 180), ("b", 178), ("c", 60))}
    return study_of(tmp_path, right, best="b")


def shown(place: Path, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(ranking_table(load_summary(place)))
    return str(capture.get())


def test_states_and_the_chosen_model_are_shown_within_80_columns(three: Path) -> None:
    text = shown(three)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    row = {name: next(line for line in lines if f" {name} " in line) for name in "abc"}
    assert "best" in row["a"] and "cannot tell" in row["b"] and "behind" in row["c"]
    assert " b * " in row["b"] and " a * " not in row["a"]
    assert "not for other training images" in " ".join(text.split())


def test_one_run_alone_is_compared_with_nothing(tmp_path: Path) -> None:
    alone = shown(study_of(tmp_path, {"a": np.tile(np.arange(200) < 180, (2, 1))}))
    assert " a " in alone and "90.0 %" in alone and "on test" not in alone and "best" not in alone


def test_only_states_that_occur_are_explained(three: Path) -> None:
    words = state_words(load_summary(three).boards)
    assert words.startswith("Cannot tell: ") and "Behind: " in words and "Tied" not in words
    assert state_words([]) == ""


def test_no_interval_leaves_0_to_100_percent(tmp_path: Path) -> None:
    right = {"all": np.ones((2, 30), bool), "few": np.tile(np.arange(30) < 1, (2, 1)), "none": np.zeros((2, 30), bool)}
    place = study_of(tmp_path, right)
    summary = load_summary(place)
    for row in summary.ranking():
        assert 0 <= row["low"] <= row["mean"] <= row["high"] <= 1
        measures = summary.run(row["run"]).metrics
        assert all(m["low"] >= 0 and m["high"] <= 1 for name, m in measures.items() if name == "accuracy")
    assert "-" not in "".join(line for line in shown(place).splitlines() if " % " in line)
    assert draw_ranking(summary).height > 100


def test_the_terminal_shows_the_ranking(study: Path) -> None:
    summary = load_summary(study)
    console = Console(width=140, file=io.StringIO())
    with console.capture() as capture:
        console.print(ranking_table(summary))
    shown = capture.get()
    assert all(run in shown for run in summary.boards[0].runs)
    assert f"{100 * summary.ranking()[0]['mean']:.1f} %" in shown


def test_a_run_has_one_line_at_80_and_at_120_columns(tmp_path: Path) -> None:
    names = [f"efficientnet_lite{k} prototypes" for k in range(3)]
    right = {name: np.tile(np.arange(200) < 180 - 40 * k, (2, 1)) for k, name in enumerate(names)}
    summary = load_summary(study_of(tmp_path, right, best=names[0]))
    for width, costs in ((80, False), (120, True)):
        console = Console(width=width)
        with console.capture() as capture:
            console.print(ranking_table(summary, width))
        lines = capture.get().splitlines()
        assert max(map(len, lines)) <= width
        assert [sum(name in line for line in lines) for name in names] == [1, 1, 1]
        assert any("to get" in line for line in lines) == costs
