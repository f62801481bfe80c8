from __future__ import annotations

import json
from dataclasses import replace

import pytest

from headstart.models.bundle import HEAD, MODEL
from headstart.study.execution.session import Session
from headstart.study.execution.unavailable import has_source, startable, write_unavailable
from headstart.study.planning.plan import Unavailable
from headstart.study.results.folder import json_bytes
from headstart.study.results.run_record import described
from tests.study.conftest import OpenStudy

RUNS = {
    "first": {"strategy": "scratch", "recipe": {"epochs": 1, "batch_size": 8}},
    "second": {"strategy": "ridge", "weights": {"run": "first"}},
}


@pytest.fixture
def session(open_study: OpenStudy) -> Session:
    return open_study(RUNS, seeds=2)


def manifest(session: Session, run: str, seed: int) -> dict[str, object]:
    found: dict[str, object] = json.loads((session.folder.run_folder(run, seed) / "manifest.json").read_text())
    return found


def test_an_unavailable_run_fails_with_the_reason_for_every_seed(session: Session) -> None:
    run = session.plan.study.run("second")
    session.plan = replace(session.plan, unavailable=(Unavailable(run, "no route to host"),))
    write_unavailable(session)
    for seed in (0, 1):
        found = manifest(session, "second", seed)
        assert (found["status"], found["error"]) == ("failed", "no route to host")
    assert session.listener.broken == {f"second (seed {seed})": "no route to host" for seed in (0, 1)}  # type: ignore[attr-defined]


def test_what_was_finished_with_the_same_settings_is_kept(session: Session) -> None:
    run = session.plan.study.run("second")
    session.plan = replace(session.plan, unavailable=(Unavailable(run, "no route to host"),))
    for task in session.plan.tasks:
        if task.run is run:
            spec = described(task, session.resources.dataset(run.data))
            changed = {} if task.seed == 0 else {"strategy": "knn"}
            session.folder.write_run("second", task.seed, task.key, {"spec.json": json_bytes({**spec, **changed})})
    write_unavailable(session)
    assert (
        manifest(session, "second", 0)["status"] == "complete" and manifest(session, "second", 1)["status"] == "failed"
    )
    assert session.listener.found == ["second (seed 0)"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [MODEL, HEAD])
def test_a_run_starts_where_its_source_left_a_network(session: Session, name: str) -> None:
    tasks = [task for task in session.plan.tasks if task.run.name == "second"]
    assert not has_source(tasks[0], session)
    place = session.folder.root / "left"
    place.mkdir(parents=True)
    session.resources.upstream[("first", 0)] = place
    assert not has_source(tasks[0], session)
    (place / name).touch()
    assert has_source(tasks[0], session)
    assert has_source(tasks[1], session)  # a source without that seed left a network of another
    session.resources.upstream[("first", 1)] = session.folder.root / "empty"
    assert startable(tasks, session) == tasks[:1]
    why = "starts from 'first', which failed and left no network"
    assert session.listener.broken == {"second (seed 1)": why}  # type: ignore[attr-defined]
    assert manifest(session, "second", 1)["error"] == why and not session.folder.run_folder("second", 0).exists()


def test_a_run_without_a_source_starts(session: Session) -> None:
    first = [task for task in session.plan.tasks if task.run.name == "first"]
    assert startable(first, session) == first
