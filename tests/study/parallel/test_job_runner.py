from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headstart import progress
from headstart.storage.store import MANIFEST
from headstart.study.execution.budget import now
from headstart.study.execution.session import Session
from headstart.study.parallel import job_runner
from headstart.study.parallel.job_runner import JobRunner, packed
from headstart.study.parallel.jobs import FEATURES, FIT, PART, Job
from headstart.study.parallel.messages import Finished, ListenerCall, Message
from headstart.study.parallel.setup import setup_of
from headstart.study.results.run_record import KIND as FITS
from headstart.transfer.frozen.features import KIND as KEPT
from tests.study.conftest import OpenStudy

RUNS: dict[str, Any] = {
    "first": {"strategy": "scratch", "recipe": {"epochs": 1, "batch_size": 8}},
    "ridge": {"strategy": "ridge"},
    "second": {"strategy": "ridge", "weights": {"run": "first"}},
}


@pytest.fixture(autouse=True)
def shown() -> Iterator[None]:
    """Show progress on this terminal again afterwards."""
    yield
    progress.show_in(None)


@pytest.fixture
def session(open_study: OpenStudy) -> Session:
    return open_study(RUNS)


def job(session: Session, stage: str, *names: str) -> Job:
    tasks = [task for task in session.plan.tasks if task.run.name in names]
    return Job(0, "heads", stage, tuple(tasks))


def test_features_are_computed_once_for_the_jobs_that_follow(session: Session) -> None:
    said: list[Message] = []
    runner = JobRunner(setup_of(session), said.append)
    done = runner.do(job(session, FEATURES, "ridge"))
    assert len(list((session.resources.store.root / KEPT).glob("*/manifest.json"))) == 1
    assert [fingerprint for fingerprint, _ in done.views] == [next(iter(session.plan.learned_on.values()))]
    assert done.folders == () and not session.folder.run_folder("ridge", 0).exists()
    runner.do(job(session, FIT, "ridge"))
    assert session.finished(job(session, FIT, "ridge").tasks[0])
    assert [call.method for call in said if isinstance(call, ListenerCall)] == ["running", "done"]


def test_a_worker_without_the_folder_sends_the_files_back(session: Session) -> None:
    runner = JobRunner(replace(setup_of(session), folder=None), lambda message: None)
    done = runner.do(job(session, FIT, "ridge"))
    ((run, seed, files),) = done.folders
    assert (run, seed) == ("ridge", 0) and {MANIFEST, "result.json", "predictions.npz"} <= set(files)
    assert not session.folder.run_folder("ridge", 0).exists()
    session.folder.take_run(run, seed, files)
    assert session.finished(job(session, FIT, "ridge").tasks[0])


def test_a_run_without_its_source_fails(session: Session) -> None:
    said: list[Message] = []
    runner = JobRunner(setup_of(session), said.append)
    runner.do(job(session, FEATURES, "second"))
    assert said == [] and not (session.resources.store.root / KEPT).exists()
    runner.do(job(session, FIT, "second"))
    why = "starts from 'first', which failed and left no network"
    assert said == [ListenerCall("failed", ("second (seed 0)", why))]


def test_sources_are_taken_from_the_cache_or_else_from_the_run_folder(session: Session) -> None:
    runner = JobRunner(setup_of(session), lambda message: None)
    key = job(session, FIT, "first").tasks[0].key
    store, folder = session.resources.store, session.folder
    runner._locate_networks(job(session, FIT, "second"), folder)
    assert runner.resources.upstream["first", 0] == folder.run_folder("first", 0)
    with store.building(FITS, key):
        pass
    runner._locate_networks(job(session, FIT, "second"), folder)
    assert runner.resources.upstream["first", 0] == store.path(FITS, key)


def test_unfinished_runs_are_not_packed(session: Session) -> None:
    both = job(session, FIT, "ridge", "second")
    session.folder.write_run("second", 0, "key", {"a.txt": b"a"})
    session.folder.run_folder("ridge", 0).mkdir(parents=True)
    ((run, seed, files),) = packed(session.folder, both)
    assert (run, seed, files["a.txt"], set(files)) == ("second", 0, b"a", {"a.txt", MANIFEST})


def test_a_worker_starts_from_the_folder_of_the_study_and_with_its_verbosity(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[Any] = []
    monkeypatch.setattr(job_runner.os, "chdir", moved.append)
    monkeypatch.setattr(progress, "_verbosity", progress.NORMAL)
    setup = replace(setup_of(session), verbosity=progress.QUIET, cwd=str(tmp_path / "gone"), store=str(tmp_path / "s"))
    runner = JobRunner(setup, lambda message: None)
    assert moved == [] and progress.verbosity() == progress.QUIET  # a folder that this machine lacks is passed over
    assert str(tmp_path / "s") in str(runner.resources.store)
    JobRunner(replace(setup, cwd=str(tmp_path)), lambda message: None)
    assert moved == [str(tmp_path)]


@pytest.mark.parametrize("shared", [True, False])
def test_a_job_whose_time_is_up_stops_and_what_it_finished_is_kept(session: Session, shared: bool) -> None:
    setup = setup_of(session) if shared else replace(setup_of(session), folder=None)
    runner = JobRunner(setup, lambda message: None)
    late = replace(job(session, FIT, "ridge"), seconds=5.0, began=now() - 6.0)
    stopped = runner.do(late)
    assert stopped.stopped and stopped.folders == ()
    assert not session.folder.run_folder("ridge", 0).exists()
    assert not runner.do(replace(late, began=None)).stopped  # 5 s from now, and the network is at hand


def test_a_part_of_a_pass_is_computed_and_the_whole_put_together(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.study.parts.SMALLEST", 16)
    monkeypatch.setattr("headstart.study.parts.LARGEST", 32)
    runner = JobRunner(setup_of(session), lambda message: None)
    whole = job(session, FEATURES, "ridge")
    n = len(session.resources.dataset(whole.tasks[0].run.data))
    made: list[tuple[str, str]] = []
    for rows in ((0, 32), (32, n)):
        done = runner.do(replace(whole, stage=PART, rows=(rows,)))
        assert isinstance(done, Finished) and done.seconds > 0
        made += done.entries
    store = session.resources.store
    assert len(made) == 4 and all(store.has(*pair) for pair in made)
    done = runner.do(whole)
    first = whole.tasks[0]
    key = session.resources.features_key(first.run.data, first.run.network, first.seed)
    assert isinstance(done, Finished) and done.entries[1] == (KEPT, key) and not set(done.entries) & set(made)
    assert store.has(KEPT, key)
