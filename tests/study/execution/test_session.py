from __future__ import annotations

import json
import math
from typing import Any

import pytest
from told import Told

from headstart.study.execution.session import Listener, Session, Silent, network_of
from headstart.study.parallel.messages import RemoteListener
from headstart.study.results.folder import json_bytes
from headstart.study.results.run_record import KIND as FITS
from headstart.study.results.tracking import Logged
from tests.study.conftest import OpenStudy


@pytest.fixture
def session(open_study: OpenStudy) -> Session:
    return open_study({"net": {"strategy": "ridge"}}, compare={"metric": "f1_macro"})


def test_a_task_is_finished_when_its_own_results_are_complete(session: Session) -> None:
    (task,) = session.plan.tasks
    assert not session.finished(task)
    session.folder.write_run("net", 0, "another key", {})
    assert not session.finished(task)
    session.folder.write_run("net", 0, task.key, {}, error="failed")
    assert not session.finished(task)
    session.folder.write_run("net", 0, task.key, {})
    assert session.finished(task)


def test_the_listener_hears_the_score_by_the_metric_of_the_study_and_the_time(session: Session) -> None:
    heard: list[Any] = []

    class Hears(Silent):
        def done(self, run: str, score: float, seconds: float | None = None, images: int | None = None) -> None:
            heard.append((run, score, seconds, images))

    session.listener, cost = Hears(), {"cost": {"seconds": 2.5}, "n_test": 40}
    session.done("net", {**cost, "metrics": {"test": {"accuracy": {"value": 0.5}, "f1_macro": {"value": 0.25}}}})
    session.done("net", {**cost, "metrics": {"test": {"accuracy": {"value": 0.5}}}})
    assert heard[0] == ("net", 0.25, 2.5, 40) and math.isnan(heard[1][1])


def test_trackers_receive_the_files_of_a_run(session: Session) -> None:
    names = ("spec", "result", "history")
    session.folder.write_run("net", 0, "key", {f"{name}.json": json_bytes({"is": name}) for name in names})
    logged: list[Logged] = []
    session.trackers = [logged.append, logged.append]
    session.track("net", 0, "key")
    assert logged == [Logged("key", {"is": "spec"}, {"is": "result"}, {"is": "history"})] * 2


def test_the_state_is_written_with_its_status(session: Session) -> None:
    session.write_state("interrupted")
    found = json.loads((session.folder.root / "study.json").read_text())
    assert found["status"] == "interrupted" and found["name"] == "small"


def test_a_network_is_in_the_cache_or_else_in_its_run_folder(session: Session) -> None:
    (task,) = session.plan.tasks
    assert network_of(task, session) == session.folder.root / "runs" / "net" / "seed-0"
    with session.resources.store.building(FITS, task.key):
        pass
    assert network_of(task, session) == session.resources.store.root / FITS / task.key


def test_every_listener_takes_every_call() -> None:
    calls = [name for name in vars(Listener) if not name.startswith("_")]
    arguments: dict[str, tuple[Any, ...]] = {"plan": ([],), "overview": ([],), "close": ()}
    arguments |= {"done": ("net", 0.5, 1.0), "failed": ("net", "why")}
    for listener in (Silent(), Told(), RemoteListener(lambda message: None)):
        for name in calls:
            getattr(listener, name)(*arguments.get(name, ("net",)))
    assert len(calls) >= 8
