from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from told import Told

from headstart.report.render.formats import write_report
from headstart.study.analysis import paired_explanations
from headstart.study.analysis.paired_explanations import explain_pairs, in_turn
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from tests.study.analysis.conftest import Finished, run
from tests.study.conftest import OpenStudy

pytestmark = pytest.mark.long


def test_pairs_are_drawn_on_the_same_test_images_and_reported(finished: Finished) -> None:
    root = finished.root
    (pair,) = json.loads((root / "explained.json").read_text())["pairs"]
    assert pair["runs"] == ["carried", "scratch"] and pair["methods"] == ["occlusion"]
    assert len(pair["images"]) == 4 and len({name.split("/")[0] for name in pair["images"]}) == 3
    with Image.open(root / pair["file"]) as picture:
        assert picture.width > 3 * 224 and picture.height > 4 * 224  # the image, and each network's map
    page = write_report(root).read_text()
    assert 'id="explained"' in page and 'id="similarity"' in page and "CKA by stage" in page
    text = write_report(root, "md").read_text()
    assert "How similar are source and target?" in text and "explained side by side: explained/" in text


def test_a_method_that_a_network_cannot_serve_is_said_and_left_out(finished: Finished, tmp_path: Path) -> None:
    study = finished.changed()
    study["explain"]["methods"] = ["attention_rollout", "occlusion"]
    (pair,) = json.loads((run(study, tmp_path / "out") / "explained.json").read_text())["pairs"]
    assert pair["methods"] == ["occlusion"] and pair["notes"][0].startswith("attention_rollout: ")


def test_a_pair_of_which_one_is_left_out_or_fails_is_not_drawn(finished: Finished, tmp_path: Path) -> None:
    told, study = Told(), finished.changed()
    root = run(study, tmp_path / "out", "~runs.scratch", "similarity=null")
    assert json.loads((root / "explained.json").read_text())["pairs"] == []
    study["runs"]["scratch"]["recipe"] = {
        "batch_size": 4,
        "lr": 1000.0,
        "schedule": "none",
        "weight_decay": 10.0,
        "epochs": 5,
    }
    study["similarity"] = None
    run_study(load_study(study), tmp_path / "again", device="cpu", listener=told)
    assert "skipped the explanation of carried and scratch: one of them is not finished" in told.notes


def test_the_classes_take_turns() -> None:
    labels = np.array([0] * 50 + [1] * 3 + [2])
    chosen = in_turn(labels, 6)
    assert sorted(labels[chosen][:3]) == [0, 1, 2] and sorted(labels[chosen][3:5]) == [0, 1]
    assert len(set(chosen)) == 6 and len(in_turn(labels, 100)) == 54
    assert np.array_equal(chosen, in_turn(labels, 6))


def test_a_pair_is_drawn_once_with_the_first_seed_that_both_have(
    open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {"a": {"strategy": "ridge"}, "b": {"strategy": "knn"}}
    session = open_study(runs, seeds=3, explain={"pairs": [["a", "b"]], "methods": ["occlusion"], "images": 5})
    drawn: list[Any] = []

    def draw(session: Any, tasks: Any, methods: Any, count: int) -> dict[str, Any]:
        drawn.append(([(task.run.name, task.seed) for task in tasks], list(methods), count))
        (session.folder.root / "drawn.png").touch()
        return {"runs": ["a", "b"], "file": "drawn.png"}

    monkeypatch.setattr(paired_explanations, "_draw", draw)
    explain_pairs(session)
    assert drawn == [] and session.listener.notes[-1].startswith("skipped the explanation of a and b: ")  # type: ignore[attr-defined]
    for task in session.plan.tasks:
        if (task.run.name, task.seed) != ("a", 0):
            session.folder.write_run(task.run.name, task.seed, task.key, {})
    explain_pairs(session)
    explain_pairs(session)
    assert drawn == [([("a", 1), ("b", 1)], ["occlusion"], 5)]
    assert json.loads((session.folder.root / "explained.json").read_text())["pairs"] == [
        {"runs": ["a", "b"], "file": "drawn.png"}
    ]


def test_a_pair_that_no_method_can_explain_is_recorded_without_a_picture(
    open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {"a": {"strategy": "ridge"}, "b": {"strategy": "knn"}}
    session = open_study(runs, explain={"pairs": [["a", "b"]], "methods": ["attention_rollout"]})
    for task in session.plan.tasks:
        session.folder.write_run(task.run.name, task.seed, task.key, {})
    nothing = {"runs": ["a", "b"], "images": [], "file": None, "notes": ["attention_rollout: no attention"]}
    monkeypatch.setattr(paired_explanations, "_draw", lambda *_: nothing)
    explain_pairs(session)
    assert json.loads((session.folder.root / "explained.json").read_text())["pairs"] == [nothing]
