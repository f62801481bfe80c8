"""What each verb passes on; what they do is tested in the file of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.cli import embed, label, review
from tests.cli.conftest import Call, Passed, passed_to

NONE = {"bands": None, "show": None}


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Passed:
    """Collect the arguments of the functions that the verbs call, instead of calling them."""
    verbs = ((label, "label_and_serve"), (review, "review_and_serve"), (embed, "embed_and_write"))
    return passed_to(monkeypatch, *verbs, (embed, "similar_and_show"))


def test_label_passes_on_its_options(call: Call, passed: Passed) -> None:
    given = (
        "photos",
        "--classes",
        "a,b",
        "--out",
        "l.csv",
        "--backbone",
        "n",
        "--weights",
        "none",
        "--random",
        "0.5",
        "--suggest",
    )
    bands = ("--bands", "all", "--show", "3,2,1")
    assert call("label", *given, *bands, "--port", "1", "--host", "::1", "--device", "cpu")[0] == 0
    assert passed.pop() == (
        ("photos", "a,b", "n", "none"),
        {
            "out": Path("l.csv"),
            "host": "::1",
            "port": 1,
            "random": 0.5,
            "suggest": True,
            "read": {"bands": "all", "show": [3, 2, 1]},
            "device": "cpu",
        },
    )
    call("label", "photos")
    assert passed.pop() == (
        ("photos", None, "efficientnet_lite0", "imagenet"),
        {
            "out": None,
            "host": "127.0.0.1",
            "port": 8010,
            "random": 0.25,
            "suggest": False,
            "read": NONE,
            "device": "auto",
        },
    )


def test_review_passes_on_its_options(call: Call, passed: Passed) -> None:
    given = ("photos", "--out", "c.csv", "--backbone", "n", "--weights", "none", "--label", "l")
    assert call("review", *given, "--port", "1", "--host", "::1", "--device", "cpu")[0] == 0
    assert passed.pop() == (
        ("photos", "n", "none"),
        {"label": "l", "read": NONE, "out": Path("c.csv"), "host": "::1", "port": 1, "device": "cpu"},
    )
    call("review", "photos", "--bands", "B04,0", "--show", "0")
    _, named = passed.pop()
    assert named == {
        "label": None,
        "read": {"bands": ["B04", 0], "show": [0]},
        "out": Path("corrections.csv"),
        "host": "127.0.0.1",
        "port": 8011,
        "device": "auto",
    }


def test_embed_and_similar_pass_on_theirs(call: Call, passed: Passed) -> None:
    assert call("embed", "d", "--label", "l", "--bands", "1,2,3", "--show", "3")[0] == 0
    defaults, read = ("efficientnet_lite0", "imagenet"), {"bands": [1, 2, 3], "show": [3]}
    assert passed.pop() == (
        ("d", Path("embeddings.parquet"), *defaults),
        {"label": "l", "read": read, "device": "auto"},
    )
    assert call("similar", "d", "p.jpg", "--bands", "1,2,3", "--show", "3", "--json")[0] == 0
    assert passed.pop() == (
        ("d", Path("p.jpg"), 10, *defaults),
        {"label": None, "read": read, "out": None, "device": "auto", "as_json": True},
    )
