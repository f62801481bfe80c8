from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sound_html import text_of

from headstart.audit.audit import Audit
from headstart.data.sources.load import load_dataset
from headstart.report.render.notebook import data as module
from headstart.report.render.notebook.data import audit_html, dataset_html
from tests.docs.readers_files import draw

FINDINGS = [{"level": "problem", "kind": "leaks", "text": "1 of 9 test images has a copy"}]


def place(number: int, label: str) -> dict[str, Any]:
    return {"name": f"{number}.jpg", "label": label, "thumbnail": f"0:{number}"}


def audit(**more: Any) -> Audit:
    found = {
        "name": "photos", "n": 9, "findings": FINDINGS, "notes": [], "exact": [], "near": [], "label_errors": [],
        "counts": {"label_errors": 0}, "thumbnails": {f"0:{number}": "AAAA" for number in range(9)},
    }  # fmt: skip
    return Audit({**found, **more})


def test_a_dataset_has_its_counts_and_a_few_examples_of_each_class(tmp_path: Path) -> None:
    draw(tmp_path / "flowers", classes=("<b>daisy", "lily"), per_class=7)
    (tmp_path / "flowers" / "lily" / "00.jpg").unlink()
    html = str(dataset_html(load_dataset(tmp_path / "flowers")))
    text = text_of(html)
    assert text.startswith("flowers: 13 images, 2 classes: <b>daisy, lily; the smallest is lily with 6")
    assert "<b>daisy 7 lily 6" in text and html.count("<img") == 2 * module.EXAMPLES


def test_only_the_largest_classes_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLASSES", 2)
    dataset = load_dataset(draw(tmp_path / "flowers", classes=4, per_class=3)).without([0, 3, 4])
    text = text_of(str(dataset_html(dataset)))  # daisy 2, lily 1, rose 3, tulip 3
    assert "rose 3 tulip 3 and 2 more classes, the smallest with 1" in text


def test_several_labels_images_without_labels_and_images_that_are_gone(tmp_path: Path) -> None:
    dataset = load_dataset(draw(tmp_path / "flowers", classes=2, per_class=3))
    both = np.array([[True, row > 3] for row in range(6)])
    assert "daisy 6 lily 2" in text_of(str(dataset_html(replace(dataset, labels=both))))
    bare = replace(dataset, classes=(), labels=np.zeros(6, np.int64))
    assert "6 images without labels" in text_of(str(dataset_html(bare)))
    for file in (tmp_path / "flowers" / "daisy").iterdir():
        file.unlink()
    assert str(dataset_html(dataset)).count("<img") == 3


def test_an_audit_has_its_findings_then_pairs_and_labels_with_pictures() -> None:
    pair = {"a": place(2, "daisy"), "b": place(3, "lily")}
    suspect = {**place(4, "<i>rose"), "suggested": "lily"}
    html = str(
        audit_html(
            audit(
                exact=[{"places": [place(0, "daisy"), place(1, "daisy")]}],
                near=[pair],
                label_errors=[suspect],
                counts={"label_errors": 250},
                notes=["no features"],
            )
        )
    )
    assert text_of(html) == (
        "Audit of photos: 9 images 1 of 9 test images has a copy Note: no features Exact copies: daisy 0.jpg 1.jpg"
        " Near duplicates: labelled daisy and lily 2.jpg 3.jpg"
        " Labels that look wrong, the first 1 of 250: labelled <i>rose looks like lily 4.jpg"
    )
    assert html.count("<img") == 5 and 'class="hs-problem"' in html


def test_an_audit_with_nothing_to_show_has_its_findings_alone() -> None:
    near = [{"a": place(20, "daisy"), "b": place(21, "daisy")}]  # beyond the pictures that an audit holds
    assert text_of(str(audit_html(audit(near=near)))) == "Audit of photos: 9 images 1 of 9 test images has a copy"
