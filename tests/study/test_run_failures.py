from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from headstart.errors import RunFailed
from headstart.study.execution import executors
from headstart.study.execution.executors import WORK, _split
from headstart.study.execution.session import Session
from headstart.study.task import Task
from headstart.version import VERSION
from tests.study.conftest import OpenStudy

TRAINED = {"strategy": "scratch", "recipe": {"epochs": 1, "batch_size": 8}}


def read(session: Session, run: str, file: str) -> Any:
    return json.loads((session.folder.run_folder(run, 0) / file).read_text())


def test_heads_that_share_features_leave_a_run_folder_each(open_study: OpenStudy) -> None:
    session = open_study({"ridge": {"strategy": "ridge"}, "knn": {"strategy": "knn"}})
    WORK["heads"](list(session.plan.groups[0].tasks), session)
    told: Any = session.listener
    assert sorted(told.began) == sorted(told.ran) == ["knn (seed 0)", "ridge (seed 0)"]
    assert all(session.finished(task) for task in session.plan.tasks)
    result = read(session, "ridge", "result.json")
    assert result["weights"]["origin"] == "random (seed 0)"
    (first,) = {read(session, run, "result.json")["cost"]["shared_seconds"] for run in ("ridge", "knn")}
    task = session.plan.tasks[0]
    assert first == session.resources.features_facts(task.run.data, task.run.network, 0)["seconds"]
    with np.load(session.folder.run_folder("ridge", 0) / "predictions.npz") as found:
        accuracy = (found["test_probabilities"].argmax(1) == found["test_labels"]).mean()
    assert result["metrics"]["test"]["accuracy"]["value"] == pytest.approx(accuracy)


def test_raw_pixels_have_no_weights(open_study: OpenStudy) -> None:
    session = open_study({"floor": {"backbone": "pixels", "strategy": "majority"}})
    WORK["heads"](session.plan.tasks, session)
    assert read(session, "floor", "result.json")["weights"] == {
        "origin": "none: raw pixels",
        "sha256": None,
        "licence": None,
    }


@pytest.fixture
def tuned(open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch) -> tuple[Session, list[Any]]:
    """Return a session of two trainings and an evaluation, which are only noted; the first training fails."""
    runs = {"wild": TRAINED, "tame": TRAINED, "direct": {"strategy": "as_is", "weights": {"run": "tame"}}}
    session, asked = open_study(runs), list[Any]()

    def answer(how: str) -> Any:
        def work(task: Task, split: Any, resources: Any, provenance: Any, note: Any) -> tuple[str, str]:
            asked.append((how, task.run.name, split, dict(provenance)))
            if task.run.name == "wild":
                error = RunFailed("the loss is not finite")
                error.history = [{"epoch": 0}]  # type: ignore[attr-defined]
                raise error
            return f"fit of {task.run.name}", "probabilities"

        return work

    monkeypatch.setattr(executors, "_train", answer("trained"))
    monkeypatch.setattr(executors, "evaluate_only", answer("evaluated"))
    monkeypatch.setattr(executors, "_split", lambda task, session: f"split of {task.run.name}")
    monkeypatch.setattr(executors, "_finish", lambda *given: asked.append(given[:5]))
    return session, asked


def test_a_training_that_fails_is_recorded_and_the_others_continue(tuned: tuple[Session, list[Any]]) -> None:
    session, asked = tuned
    tasks = {task.run.name: task for task in session.plan.tasks}
    WORK["tune"](list(tasks.values()), session)
    facts = {"study": "small", "headstart": VERSION, "created": session.state.created}
    assert asked == [
        ("trained", "wild", "split of wild", facts),
        ("trained", "tame", "split of tame", facts),
        (tasks["tame"], "fit of tame", "split of tame", "probabilities", {}),
        ("evaluated", "direct", "split of direct", facts),
        (tasks["direct"], "fit of direct", "split of direct", "probabilities", {}),
    ]
    told: Any = session.listener
    assert told.broken == {"wild (seed 0)": "the loss is not finite"} and len(told.began) == 3
    assert read(session, "wild", "manifest.json")["error"] == "the loss is not finite"
    assert read(session, "wild", "history.json") == [{"epoch": 0}]


def test_unreadable_images_are_not_in_the_split(open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    session = open_study({"ridge": {"strategy": "ridge"}})
    (task,) = session.plan.tasks
    whole = session.resources.split(task.run.data, 0)
    bad = [int(whole.train[0]), int(whole.test[1])]
    monkeypatch.setattr(type(session.resources), "bad_rows", lambda self, dataset: dict.fromkeys(bad, "broken"))
    found = _split(task, session)
    assert set(whole.train) - set(found.train) == {bad[0]} and set(whole.test) - set(found.test) == {bad[1]}
    assert np.array_equal(whole.validation, found.validation)
    assert session.resources.decoded  # images are decoded first: only then is it known which are unreadable


def test_episodes_report_their_score(open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    episodes = {"ways": 3, "shots": 2, "queries": 4, "episodes": 5}
    session = open_study({"few": {"episodes": episodes}})
    asked: list[Any] = []

    def run(task: Task, resources: Any, folder: Any, learned_on: Any) -> float:
        asked.append((task.run.name, folder, learned_on))
        return 0.75

    monkeypatch.setattr("headstart.study.execution.episode_runs.run_episodes", run)
    WORK["episodes"](session.plan.tasks, session)
    assert asked == [("few", session.folder, session.plan.learned_on)]
    assert session.listener.ran == ["few (seed 0)"]  # type: ignore[attr-defined]
