from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headstart.audit import audit as auditing
from headstart.cli.audit import _answer, audit_and_show
from headstart.storage.opening import default_store
from tests.cli.conftest import Call


@pytest.mark.usefixtures("shared_cache")
def test_audit_does_what_its_options_ask_for(call: Call, manifest: Path, photos: Path, tmp_path: Path) -> None:
    options = ("--backbone", "efficientnet_lite0", "--device", "cpu", "--out", tmp_path / "out")
    code, out, said = call("audit", manifest, photos, "--label", "half", *options, "--json")
    assert code == 0, said
    found = json.loads(out)
    (written,) = (tmp_path / "out").glob("audit-*.json")
    assert json.loads(written.read_text())["findings"] == found["findings"]
    assert any("20" in finding["text"] for finding in found["findings"])  # each image is in the other set too


FOUND: dict[str, Any] = {
    "name": "flowers",
    "fingerprint": "f10e",
    "n": 20,
    "exact": [],
    "counts": {"label_errors": 1},
    "findings": [
        {"text": "no bad files", "level": "good", "kind": "unreadable"},
        {"text": "7 near duplicates", "level": "notice", "kind": "copies"},
    ],
    "notes": ["one image was skipped\x1b[2J"],
    "near": [
        {side: {"name": f"{side}{k}.jpg", "thumbnail": f"0:{k}", "label": "daisy"} for side in "ab"} for k in range(7)
    ],
    "label_errors": [{"name": "c.jpg", "label": "daisy", "suggested": "lily", "thumbnail": "0:9"}],
    "thumbnails": {"0:1": "jpeg"},
}


@pytest.fixture
def audited(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Answer every audit with the same findings, and keep what was asked."""
    asked = SimpleNamespace()

    def audit(dataset: Any, **options: Any) -> dict[str, Any]:
        asked.dataset, asked.options = dataset, options
        return FOUND

    monkeypatch.setattr(auditing, "audit_dataset", audit)
    return asked


@pytest.mark.usefixtures("shared_cache")
def test_findings_notes_and_the_first_suspects_are_printed(
    photos: Path, tmp_path: Path, audited: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    audit_and_show(str(photos), [], "pixels", {"device": "cpu"}, out=tmp_path, as_json=False)
    place = tmp_path / "audit-flowers.json"
    assert capsys.readouterr().out.splitlines() == [
        "1 notice in 20 images of flowers:",
        "no bad files",
        "7 near duplicates",
        "note: one image was skipped\\x1b[2J",
        "",
        "near duplicates (first 5 of 7):",
        *(f"  a{k}.jpg ~ b{k}.jpg" for k in range(5)),
        "",
        "labels that look wrong (first 1 of 1):",
        "  c.jpg: labelled daisy, looks like lily",
        "",
        f"with pictures: {place.with_suffix('.html')}",
        f"full audit:    {place}",
        f"to decide:     headstart review {photos}",
    ]
    page = place.with_suffix(".html").read_text(encoding="utf-8")
    assert "7 near duplicates" in page and "data:image/jpeg;base64,jpeg" in page and "one image was skipped" in page
    assert json.loads(place.read_text()) == FOUND
    assert len(audited.dataset) == len(audited.options["features"]) == 20 and audited.options["bad"] == {}
    audit_and_show(str(photos), [str(photos)], "pixels", {"device": "cpu"}, out=tmp_path, as_json=False)
    assert [len(other.dataset) for other in audited.options["others"]] == [20]


@pytest.mark.usefixtures("shared_cache", "audited")
def test_json_on_the_terminal_has_no_pictures(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit_and_show(str(photos), [], "pixels", {"device": "cpu"}, out=tmp_path, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        **{key: value for key, value in FOUND.items() if key != "thumbnails"},
        "problems": ["7 near duplicates"],
    }


def test_pruning_the_cache_meanwhile_leaves_what_the_audit_reads(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[str] = []

    def pruned(*_: Any, **__: Any) -> dict[str, Any]:
        default_store().prune(0)
        left.extend(row["kind"] for row in default_store().entries())
        return FOUND

    monkeypatch.setattr(auditing, "audit_dataset", pruned)
    audit_and_show(str(photos), [], "pixels", {"device": "cpu"}, out=tmp_path, as_json=True)
    assert {"features", "images"} <= set(left)
    default_store().prune(0)
    assert default_store().entries() == []  # nobody is at work any more


def test_the_answer_counts_problems_and_what_to_look_at() -> None:
    def answer(*levels: str, n: int = 1200) -> str:
        return _answer({"name": "a b", "n": n, "findings": [{"level": level} for level in levels]})

    assert answer("problem", "problem", "notice", "good") == "2 problems and 1 notice in 1,200 images of a b:"
    assert answer("problem", "good") == "1 problem in 1,200 images of a b:"
    assert answer("good", n=1) == "Nothing to correct was found in 1 image of a b:"


@pytest.mark.usefixtures("shared_cache")
@pytest.mark.parametrize("other", [{"label": "folder"}, {"corrections": Path("c.csv")}, {"bands": "0,1,2"}])
def test_the_command_that_reviews_is_shown_only_where_it_reads_the_same(
    other: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("headstart.labelled_images.audit_images", lambda *_, **__: FOUND)
    for settings, others, shown in (({}, [], True), (other, [], False), ({}, ["more"], False)):
        audit_and_show("my photos", others, "pixels", settings, out=tmp_path, as_json=False)
        assert ("to decide:     headstart review 'my photos'\n" in capsys.readouterr().out) is shown
