"""What each verb passes on; what they do is tested in the file of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.cli import evaluate, serve, update
from headstart.evaluate.uncertainty.answers import AnswerOptions
from tests.cli.conftest import Call, Passed, passed_to


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Passed:
    """Collect the arguments of the functions that the verbs call, instead of calling them."""
    return passed_to(monkeypatch, (evaluate, "evaluate_and_show"), (update, "update_and_show"), (serve, "serve_model"))


def test_evaluate_passes_on_its_options(call: Call, passed: Passed) -> None:
    given = ("m", "d", "--against", "a", "--against", "b", "--label", "l", "--part", "test", "--metric", "f1_macro")
    given += ("--corrections", "c.csv")
    assert call("evaluate", *given, "--out", "o", "--device", "cpu", "--json", "--no-labels")[0] == 0
    options = {"label": "l", "part": "test", "metric": "f1_macro", "device": "cpu", "out": Path("o")}
    assert passed.pop() == (
        (Path("m"), "d", [Path("a"), Path("b")]),
        {**options, "corrections": Path("c.csv"), "as_json": True, "no_labels": True},
    )
    call("evaluate", "m", "d")
    given_, named = passed.pop()
    assert given_[2] == [] and (named["part"], named["metric"], named["as_json"]) == ("all", None, False)
    assert named["no_labels"] is False


def test_update_passes_on_its_options(call: Call, passed: Passed) -> None:
    assert call("update", "s", "d", "--label", "l", "--out", "o", "--device", "cpu", "--json")[0] == 0
    options = {"label": "l", "refit": None, "device": "cpu", "out": Path("o"), "as_json": True}
    assert passed == [((Path("s"), "d"), options)]


def test_serve_passes_on_its_options(call: Call, passed: Passed) -> None:
    options = ("--port", 1, "--host", "h", "--api-key", "k", "--queue", 2, "--batch", 3, "--megabytes", 4)
    assert call("serve", "m", *options, "--device", "cuda", "--level", 0.9, "--at-least", 0.99)[0] == 0
    assert passed.pop() == (
        (Path("m"), "h", 1),
        {
            "device": "cuda",
            "key": "k",
            "queue": 2,
            "batch": 3,
            "megabytes": 4,
            "asked": AnswerOptions(0.9, at_least=0.99),
        },
    )
    assert call("serve", "m")[0] == 0
    places, named = passed.pop()
    assert places == (Path("m"), "127.0.0.1", 8000) and named["asked"] == AnswerOptions()
    assert call("serve", "m", "--batch", 0)[0] == 2 and passed == []
