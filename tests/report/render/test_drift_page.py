from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.errors import StoreError
from headstart.report.render.drift_page import template_environment, write_drift_page
from headstart.study.results.facts import write_facts
from tests.report.render.test_drift_words import drift_of

LEAST = {"name": "a<b>.jpg", "familiarity": 0.01234, "src": "QUJD"}


def facts_of(**more: Any) -> dict[str, Any]:
    model = {"model": "fruit", "why_not": None, "drift": drift_of({"brightness": (0.5, 0.4)}), "least": [LEAST]}
    return {
        "data": "season",
        "n": 150,
        "notes": ["left out: 3 & 4"],
        "command": "headstart evaluate",
        "models": [model],
        **more,
    }


def test_the_page_holds_verdict_figures_and_pictures_and_needs_no_network(tmp_path: Path) -> None:
    write_facts(tmp_path / "drift.json", facts_of())
    page = write_drift_page(tmp_path / "drift.json", tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Are the images of season like those of fruit?" in page
    assert "These images differ from those that the model was checked on" in page and "What changed: darker." in page
    assert 'src="data:image/jpeg;base64,QUJD"' in page and "familiarity 0.012" in page
    assert "a&lt;b&gt;.jpg" in page and "a<b>" not in page and "left out: 3 &amp; 4" in page
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page


def test_the_name_of_a_picture_breaks_between_folders(tmp_path: Path) -> None:
    facts = facts_of()
    facts["models"][0]["least"] = [{**LEAST, "name": "crab/<old>/image_0027.jpg"}]
    write_facts(tmp_path / "drift.json", facts)
    page = write_drift_page(tmp_path / "drift.json", tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<span>crab/<wbr>&lt;old&gt;/<wbr>image_0027.jpg</span>" in page


def test_altered_facts_make_no_page(tmp_path: Path) -> None:
    write_facts(tmp_path / "drift.json", facts_of())
    text = (tmp_path / "drift.json").read_text()
    (tmp_path / "drift.json").write_text(text.replace("season", "reason"))
    with pytest.raises(StoreError, match=r"drift\.json"):
        write_drift_page(tmp_path / "drift.json", tmp_path / "report.html")


def test_in_a_report_each_of_several_models_has_its_own_part_or_the_reason() -> None:
    other = {"model": "old", "why_not": "the model's file holds no images", "drift": None, "least": []}
    facts = facts_of()
    found = template_environment().get_template("drift").render(drift={**facts, "models": [*facts["models"], other]})
    assert "<h3>fruit</h3>" in found and "<h3>old</h3>" in found
    assert "Drift was not measured: the model&#39;s file holds no images." in found
