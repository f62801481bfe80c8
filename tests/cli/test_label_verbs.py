"""What each verb passes on; what they do is tested in the file of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.cli import embed, label, review
from tests.cli.conftest import Call, Passed, passed_to


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
    assert call("label", *given, "--port", "1", "--host", "::1", "--device", "cpu")[0] == 0
    assert passed.pop() == (
        ("photos", "a,b", "n", "none"),
        {"out": Path("l.csv"), "host": "::1", "port": 1, "random": 0.5, "suggest": True, "device": "cpu"},
    )
    call("label", "photos")
    assert passed.pop() == (
        ("photos", None, "efficientnet_lite0", "imagenet"),
        {"out": None, "host": "127.0.0.1", "port": 8010, "random": 0.25, "suggest": False, "device": "auto"},
    )


def test_review_passes_on_its_options(call: Call, passed: Passed) -> None:
    given = ("photos", "--out", "c.csv", "--backbone", "n", "--weights", "none", "--label", "l")
    assert call("review", *given, "--port", "1", "--host", "::1", "--device", "cpu")[0] == 0
    assert passed.pop() == (
        ("photos", "n", "none"),
        {"label": "l", "out": Path("c.csv"), "host": "::1", "port": 1, "device": "cpu"},
    )
    call("review", "photos")
    assert passed.pop() == (
        ("photos", "efficientnet_lite0", "imagenet"),
        {"label": None, "out": Path("corrections.csv"), "host": "127.0.0.1", "port": 8011, "device": "auto"},
    )


def test_embed_and_similar_pass_on_theirs(call: Call, passed: Passed) -> None:
    assert call("embed", "d", "--label", "l")[0] == 0
    defaults = ("efficientnet_lite0", "imagenet")
    assert passed.pop() == (("d", Path("embeddings.parquet"), *defaults), {"label": "l", "device": "auto"})
    assert call("similar", "d", "p.jpg", "--json")[0] == 0
    assert passed.pop() == (
        ("d", Path("p.jpg"), 10, *defaults),
        {"label": None, "out": None, "device": "auto", "as_json": True},
    )
