from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.study.analysis.finished import finished_key, learning_rows, networks, uses_images
from headstart.study.execution.session import Session
from headstart.study.task import Task
from tests.study.conftest import OpenStudy

RUNS: dict[str, Any] = {
    "ridge": {"strategy": "ridge"},
    "knn": {"strategy": "knn"},
    "cut": {"strategy": "ridge", "truncate_at": "conv1"},
    "few": {"strategy": "ridge", "shots": 2},
    "part": {"strategy": "ridge", "fraction": 0.5},
    "pixels": {"backbone": "pixels", "strategy": "ridge"},
    "trained": {"strategy": "scratch", "recipe": {"epochs": 1, "batch_size": 8}},
}


def finish(session: Session, *runs: str) -> None:
    for task in session.plan.tasks:
        if task.run.name in runs:
            session.folder.write_run(task.run.name, task.seed, task.key, {})


@pytest.fixture
def session(open_study: OpenStudy) -> Session:
    return open_study(RUNS, seeds=2)


def test_the_key_changes_with_each_run_that_finishes_and_with_what_else_is_given(session: Session) -> None:
    keys = [finished_key(session)]
    for run in ("ridge", "trained"):
        finish(session, run)
        keys += [finished_key(session), finished_key(session, "more")]
    assert len(set(keys)) == 5 and finished_key(session, "more") == keys[-1]


def test_heads_on_one_network_are_grouped_and_small_samples_and_trained_networks_left_out(session: Session) -> None:
    finish(session, *RUNS)
    dataset = session.resources.dataset(session.plan.tasks[0].run.data)
    found = networks(session, dataset)
    named = {label: (first.run.name, [(t.run.name, t.seed) for t in tasks]) for label, first, tasks in found}
    assert {label: sorted(tasks) for label, (_, tasks) in named.items()} == {
        "lenet5, none": [("knn", 0), ("knn", 1), ("ridge", 0), ("ridge", 1)],
        "lenet5 to conv1, none": [("cut", 0), ("cut", 1)],
    }
    assert all(first == tasks[0][0] for first, tasks in named.values())


def test_networks_of_unfinished_runs_are_left_out(session: Session) -> None:
    dataset = session.resources.dataset(session.plan.tasks[0].run.data)
    assert networks(session, dataset) == []
    finish(session, "cut")
    assert [label for label, _, _ in networks(session, dataset)] == ["lenet5 to conv1, none"]


def test_weights_from_a_file_or_a_run_are_named(session: Session) -> None:
    def task(**weights: Any) -> Any:
        known = {"run": None, "path": None, "name": None, **weights}
        spec = SimpleNamespace(backbone="resnet18", weights=SimpleNamespace(**known), truncate_at=None)
        spec.shots = spec.fraction = None
        return SimpleNamespace(probe=True, run=SimpleNamespace(spec=spec, data="d"))

    tasks = [task(path="/home/me/net.pt"), task(run="first"), task(name="imagenet"), task(path="/other/net.pt")]
    dataset: Any = SimpleNamespace(fingerprint="f")
    plan, resources = SimpleNamespace(tasks=tasks), SimpleNamespace(dataset=lambda data: dataset)
    fake: Any = SimpleNamespace(plan=plan, resources=resources, finished=lambda task: True)
    labels = [label for label, _, _ in networks(fake, dataset)]
    assert labels == ["resnet18, net.pt", "resnet18, first", "resnet18, imagenet", "resnet18, net.pt"]


def test_a_task_learns_from_train_and_validation_without_bad_images(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    task: Task = session.plan.tasks[0]
    split = session.resources.split(task.run.data, task.seed, task.run.subset)
    bad = [int(split.train[0]), int(split.validation[0]), int(split.test[0])]
    monkeypatch.setattr(type(session.resources), "bad_rows", lambda self, dataset: dict.fromkeys(bad, "broken"))
    rows = learning_rows(session, task)
    assert set(rows) == (set(split.train) | set(split.validation)) - set(bad)
    assert (np.diff(rows) > 0).all()


def test_images_are_compared_by_their_content(session: Session) -> None:
    task = session.plan.tasks[0]
    same: Any = SimpleNamespace(fingerprint=session.resources.dataset(task.run.data).fingerprint)
    assert uses_images(task, same, session)
    assert not uses_images(task, SimpleNamespace(fingerprint="other"), session)  # type: ignore[arg-type]
