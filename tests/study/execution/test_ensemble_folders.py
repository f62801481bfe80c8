"""Ensembles of members whose folders are written by hand; no network is computed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.data.dataset import Dataset, Split
from headstart.data.sources.in_memory import PictureReader
from headstart.models.bundle import MEMBERS
from headstart.study.execution import ensembles
from headstart.study.execution.ensembles import write_ensembles
from headstart.study.planning.ensemble_keys import ensemble_key
from headstart.study.planning.plan import Plan, TaskGroup
from headstart.study.results.folder import StudyFolder, json_bytes, npz_bytes
from headstart.study.results.state import StudyState
from headstart.study.spec.load import load_study
from headstart.study.task import Task

BODY = {"backbone": "lenet5", "weights": {"name": "none"}, "truncate_at": None, "input_size": None, "resize": None}
OTHER = {**BODY, "backbone": "conv4"}


def result(learned: int, total: int, seconds: float | None, shared: float | None) -> dict[str, Any]:
    return {"parameters": {"learned": learned, "total": total}, "cost": {"seconds": seconds, "shared_seconds": shared}}


def test_what_members_share_is_counted_once() -> None:
    results = [result(10, 110, 1.0, 5.0), result(20, 120, 2.0, 5.0), result(30, 1030, 4.0, 7.0)]
    assert ensembles._counted([BODY, BODY, OTHER], results) == (60, 60 + 100 + 1000, 7.0 + 5.0 + 7.0)
    assert ensembles._counted([BODY, OTHER], results[:2]) == (30, 30 + 100 + 100, 3.0 + 5.0 + 5.0)
    assert ensembles._counted([BODY], [result(1, 3, None, None)]) == (1, 3, 0.0)


SPLIT = Split(np.array([0, 1]), np.array([2, 3]), np.array([4, 5]), "by hand", 0)


def arrays(test: Any, validation: Any = None, rows: Any = (2, 3)) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {"test_rows": SPLIT.test, "test_probabilities": np.array(test, np.float32)}
    if validation is not None:
        found |= {"validation_rows": np.array(rows), "validation_probabilities": np.array(validation, np.float32)}
    return found


def test_probabilities_are_averaged_and_validation_only_if_all_members_have_the_same() -> None:
    one = arrays([[1, 0], [0.5, 0.5]], [[1, 0], [0, 1]])
    two = arrays([[0, 1], [0.25, 0.75]], [[0, 1], [0, 1]])
    test, validation = ensembles._means([one, two], SPLIT)
    assert test.tolist() == [[0.5, 0.5], [0.375, 0.625]] and test.dtype == np.float32
    assert validation is not None and validation.tolist() == [[0.5, 0.5], [0.0, 1.0]]
    assert ensembles._means([one, arrays([[0, 1], [1, 0]])], SPLIT)[1] is None
    assert ensembles._means([one, arrays([[0, 1], [1, 0]], [[0, 1], [0, 1]], (2, 1))], SPLIT)[1] is None
    assert ensembles._means([arrays([[0, 1], [1, 0]])], SPLIT)[1] is None


def test_members_tested_on_other_rows_are_a_defect() -> None:
    wrong = {**arrays([[1, 0], [0, 1]]), "test_rows": np.array([4, 3])}
    with pytest.raises(AssertionError, match=r"^members tested on other rows"):
        ensembles._means([arrays([[1, 0], [0, 1]]), wrong], SPLIT)


@pytest.fixture
def session(tmp_path: Path) -> Any:
    runs = {"a": {"strategy": "ridge"}, "b": {"strategy": "knn", "fraction": 0.5}, "c": {}}
    spec = {"name": "s", "data": "d", "seeds": 1, "runs": runs, "ensembles": {"ab": ["a", "b"], "ac": ["a", "c"]}}
    study = load_study(spec)
    tasks = tuple(Task(run, 0, f"key {run.name}") for run in study.runs)
    dataset = Dataset("d", PictureReader(np.zeros((6, 2, 2, 3), np.uint8)), np.array([0, 1, 0, 1, 0, 1]), ("x", "y"))
    asked: list[Any] = []
    whole = Split(np.array([0, 1, 6]), np.array([2, 3, 7]), np.array([4, 5, 8]), "by hand", 0)  # 6 to 8 do not decode
    resources = SimpleNamespace(
        dataset=lambda data: asked.append(data) or dataset,  # type: ignore[func-returns-value]
        split=lambda data, seed, subset: asked.append((data, seed, subset)) or whole,  # type: ignore[func-returns-value]
        device="cpu",
        asked=asked,
    )
    told: dict[str, list[Any]] = {"running": [], "reused": [], "note": [], "done": [], "track": []}
    folder = StudyFolder(tmp_path)
    session = SimpleNamespace(
        plan=Plan(study, (TaskGroup("heads", tasks),)),
        resources=resources,
        folder=folder,
        state=StudyState("s", "now"),
        told=told,
        listener=SimpleNamespace(**{name: told[name].append for name in ("running", "reused", "note")}),
        finished=lambda task: folder.has(task.run.name, task.seed, task.key),
        done=lambda name, found: told["done"].append((name, found["metrics"]["test"]["accuracy"]["value"])),
        track=lambda *what: told["track"].append(what),
    )
    member(folder, "a", [[0.9, 0.1], [0.6, 0.4]], 1.0)
    member(folder, "b", [[0.7, 0.3], [0.2, 0.8]], 2.0)
    return session


def member(folder: StudyFolder, name: str, test: Any, seconds: float, body: Any = BODY) -> None:
    validation = arrays(test, [[0.8, 0.2], [0.3, 0.7]])
    files = {
        "predictions.npz": npz_bytes(**validation),
        "split.npz": npz_bytes(train=SPLIT.train, validation=SPLIT.validation, test=SPLIT.test),
        "result.json": json_bytes(result(10, 110, seconds, 5.0)),
        "spec.json": json_bytes({**body, "run": name, "strategy": "ridge", "head": {"x": 1}, "data": {"name": "d"}}),
    }
    shutil.rmtree(folder.run_folder(name, 0), ignore_errors=True)
    folder.write_run(name, 0, f"key {name}", files)


def test_an_ensemble_is_a_run_of_its_own_with_the_mean_of_its_members(session: Any) -> None:
    write_ensembles(session)
    place = session.folder.run_folder("ab", 0)
    found = json.loads((place / "result.json").read_text())
    with np.load(place / "predictions.npz") as file:
        test = file["test_probabilities"]
        assert file["test_rows"].tolist() == [4, 5] and file["validation_rows"].tolist() == [2, 3]
    assert test.argmax(1).tolist() == [0, 1]  # the means are (0.8, 0.2) and (0.4, 0.6), whatever the temperature
    assert (found["n_train"], found["n_validation"], found["n_test"]) == (2, 2, 2)
    assert found["parameters"] == {"learned": 20, "total": 120} and found["cost"]["shared_seconds"] == 8.0
    assert 0 <= found["cost"]["seconds"] < 60
    assert "the mean of 2 runs' probabilities: a, b" in found["notes"][-1]
    spec = json.loads((place / "spec.json").read_text())
    assert (spec["run"], spec["strategy"], spec["backbone"]) == ("ab", "ensemble", "lenet5")
    assert (spec["members"], spec["head"], spec["weights"]) == (["a", "b"], {}, {"name": "of its members"})
    members = json.loads((place / MEMBERS).read_text())
    assert members["members"] == ["../../a/seed-0", "../../b/seed-0"]
    key = ensemble_key([task for task in session.plan.tasks if task.run.name in "ab"])
    assert session.folder.has("ab", 0, key)
    assert session.told["running"] == ["ab (seed 0)"] and session.told["done"] == [("ab (seed 0)", 1.0)]
    assert session.told["track"] == [("ab", 0, key)]


def test_the_record_of_an_ensemble_names_its_members_and_their_common_settings(session: Any) -> None:
    member(session.folder, "b", [[0.7, 0.3], [0.2, 0.8]], 2.0, {**OTHER, "deterministic": True})
    write_ensembles(session)
    place = session.folder.run_folder("ab", 0)
    assert json.loads((place / "spec.json").read_text()) == {
        **BODY,
        "run": "ab",
        "strategy": "ensemble",
        "backbone": "lenet5 + conv4",
        "weights": {"name": "of its members"},
        "members": ["a", "b"],
        "head": {},
        "recipe": {},
        "axes": {},
        "deterministic": False,
        "data": {"name": "d"},
    }
    found = json.loads((place / "result.json").read_text())
    assert found["weights"] == {"origin": "those of its members", "sha256": None, "licence": None}
    environment = json.loads((place / "environment.json").read_text())
    assert (found["cost"]["device"], environment["device"]) == ("cpu", "cpu")


def test_an_ensemble_is_deterministic_if_all_members_are(session: Any) -> None:
    for name in ("a", "b"):
        member(session.folder, name, [[0.7, 0.3], [0.2, 0.8]], 2.0, {**BODY, "deterministic": True})
    write_ensembles(session)
    assert json.loads((session.folder.run_folder("ab", 0) / "spec.json").read_text())["deterministic"] is True


def test_the_images_of_an_ensemble_are_those_of_its_first_member(session: Any) -> None:
    write_ensembles(session)
    run = session.plan.study.run("a")
    assert session.resources.asked == [run.data, (run.data, 0, run.subset)]
    with np.load(session.folder.run_folder("ab", 0) / "split.npz") as split:
        for part, rows in (("train", [0, 1]), ("validation", [2, 3]), ("test", [4, 5])):
            assert split[part].tolist() == rows


def test_an_ensemble_without_all_of_its_members_is_skipped_with_the_reason(session: Any) -> None:
    session.state.expected = [{"run": "ab", "seed": 0}, {"run": "ac", "seed": 0}]
    write_ensembles(session)
    assert session.state.left_out == [{"run": "ac", "seed": 0, "why": "averages 'c', which was skipped or failed"}]
    assert session.state.expected == [{"run": "ab", "seed": 0}]
    assert session.told["note"] == ["skipped the ensemble ac: averages 'c', which was skipped or failed"]
    assert not session.folder.run_folder("ac", 0).exists()


def test_an_ensemble_is_written_once(session: Any) -> None:
    write_ensembles(session)
    write_ensembles(session)
    assert session.told["running"] == ["ab (seed 0)"] and session.told["reused"] == ["ab (seed 0)"]


def test_a_member_whose_settings_changed_counts_as_missing(session: Any) -> None:
    member(session.folder, "b", [[1, 0], [0, 1]], 1.0)
    session.folder.write_run("b", 0, "an older key", {})
    write_ensembles(session)
    assert [row["run"] for row in session.state.left_out] == ["ab", "ac"]
