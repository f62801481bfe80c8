from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart import progress
from headstart.cli.predict import Output, _show_table
from headstart.cli.tables import cell, show_facts, show_table
from headstart.deploy.classifier import Prediction

NAMES = ("[other]", "x[/a].jpg", "box:star:", "[bold red]y", "a\\[b]")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), ([], "none"), (["a", 2], "a, 2"), (("x",), "x"), (1234567, "1,234,567"), (1.5, "1.5"), ("t", "t")],
)
def test_a_cell_shows_a_value(value: Any, shown: str) -> None:
    assert cell(value) == shown


def test_facts_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    show_facts({"a": 1, "long": None})
    assert capsys.readouterr().out == "a     1\nlong  -\n"


def test_names_in_tables_are_printed_literally(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("name", "more"), [(name, name) for name in NAMES], title="on [other]:star:")
    out = capsys.readouterr().out
    assert "on [other]:star:" in out
    for name in NAMES:
        assert out.count(name) == 2 + (name == "[other]"), name


def test_a_long_name_is_folded_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("name",), [("x" * 300,)])
    assert capsys.readouterr().out.count("x") == 300


def test_a_narrow_terminal_breaks_no_word_and_leaves_columns_out(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("n" * 40, "a licence of several words", "12345", "z" * 30), ("short", "MIT", "1", "z")]
    show_table(("name", "licence", "count", "rest"), rows, drop=("rest", "count"))
    wide = capsys.readouterr().out
    assert "rest" in wide and "a licence of several words" in wide  # 101 and 8 columns of 140
    rows = [("n" * 110, "a licence of several words", "12345", "z" * 30)]
    show_table(("name", "licence", "count", "rest"), rows, drop=("rest", "count"))
    narrow = capsys.readouterr().out
    assert (
        "rest" not in narrow and "12345" in narrow and "n" * 110 in narrow
    )  # 140 - 110 - 5 - 6 leave 19 for the licence
    assert [line.split()[1:] for line in narrow.splitlines()[1:]] == [["a", "licence", "of", "12345"], ["words"]]


def test_a_table_that_is_piped_is_as_wide_as_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("picture.png", " ".join(["word"] * 40))]
    widest = {}
    for columns in ("60", "200", "none"):
        monkeypatch.setenv("COLUMNS", columns)
        show_table(("name", "words"), rows)
        widest[columns] = max(map(len, capsys.readouterr().out.splitlines()))
    assert 55 < widest["60"] <= 60 and 195 < widest["200"] <= 200 and 135 < widest["none"] <= 140


def test_a_class_and_its_probability_are_on_one_line_and_left_out_where_there_is_no_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("butterfly", "sea horse", "crab")
    found = Prediction("p.png", "crab", 0.6, np.array([0.3, 0.1, 0.6], np.float32), labels=("crab",))
    classifier: Any = SimpleNamespace(classes=names, judge=None)
    shown = {}
    for columns in (80, 52, 40):
        monkeypatch.setenv("COLUMNS", str(columns))
        _show_table(classifier, iter([found]), Output())
        shown[columns] = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert shown[80][1] == " p.png  crab   0.600        butterfly 0.30, sea horse 0.10"
    assert shown[52][1:] == [" p.png  crab   0.600        butterfly 0.30,", " " * 28 + "sea horse 0.10"]
    assert shown[40] == [" image  class  probability", " p.png  crab   0.600"]
    monkeypatch.setenv("COLUMNS", "50")
    _show_table(classifier, iter([replace(found, name="photos/of the/shore/p.png")]), Output())
    lines = [line[:12].rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [" image", " photos/of", " the/shore/", " p.png"]


@pytest.mark.parametrize("name", NAMES)
def test_predictions_show_files_and_classes_literally(capsys: pytest.CaptureFixture[str], name: str) -> None:
    classifier: Any = SimpleNamespace(classes=(name, "[/]"), judge=None)
    found = Prediction(f"{name}.png", name, 0.75, np.array([0.75, 0.25], np.float32), labels=(name,))
    _show_table(classifier, iter([found]), Output(top=2))
    out = capsys.readouterr().out
    assert f"{name}.png" in out and out.count(name) >= 2 and "[/]" in out and "0.75" in out


def test_progress_shows_titles_and_notes_literally(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "_PATIENCE", -1.0)
    monkeypatch.setattr(progress, "_display", None)
    monkeypatch.setattr(progress, "_verbosity", progress.NORMAL)
    monkeypatch.setenv("COLUMNS", "200")
    ticker = progress.Ticker("[other]:star:", 2, "images")
    ticker.advance(note="x[/a].jpg")
    ticker.close()
    assert "[other]:star:" in stream.getvalue() and "x[/a].jpg" in stream.getvalue()
