"""The pool with fake processes; real ones are in test_dispatcher.py."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import headstart
from headstart import threads
from headstart.study.parallel import local
from headstart.study.parallel.jobs import FIT, Job
from headstart.study.parallel.local import LocalPool, _path, _Process, devices
from headstart.study.parallel.messages import Finished, JobError, ListenerCall, WorkerDied
from headstart.study.parallel.setup import Setup


def test_several_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert devices("cuda", 3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert devices("cuda:1", 2) == ["cuda:1", "cuda:1"] and devices("cpu", 2) == ["cpu", "cpu"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert devices("cuda", 2) == ["cuda", "cuda"]


def job(number: int) -> Job:
    return Job(number, "heads", FIT, ())


class FakeProcess:
    """A process that does what the test says, through the queue that it is given."""

    made: list[FakeProcess] = []  # noqa: RUF012 (set anew by each test)
    ends = staticmethod(_Process.ends)

    def __init__(self, setup: Setup, environment: dict[str, str], log: Path, inbox: Any) -> None:
        self.setup, self.environment, self.log, self.inbox = setup, environment, log, inbox
        self.job: Job | None = None
        self.given: list[int] = []
        self.process = SimpleNamespace(pid=1000 + len(self.made))
        self.calls: list[str] = []
        self.made.append(self)

    def give(self, job: Job) -> None:
        self.job = job
        self.given.append(job.number)

    def say(self, message: Any) -> None:
        self.inbox.put((self, message))

    def end(self) -> None:
        self.calls.append("end")

    def wait(self, seconds: float) -> None:
        assert 0 <= seconds <= local._GRACE
        self.calls.append("wait")

    def kill(self) -> None:
        self.calls.append("kill")


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalPool:
    FakeProcess.made = []
    monkeypatch.setattr(local, "_Process", FakeProcess)
    nothing: Any = None
    return LocalPool(Setup(nothing, nothing, (), {}, None, "store", "cpu", "."), 2, tmp_path)


def test_processes_start_when_they_are_needed_and_are_used_again(pool: LocalPool, tmp_path: Path) -> None:
    assert pool.free() and FakeProcess.made == []
    pool.start(job(0))
    pool.start(job(1))
    assert not pool.free() and pool.pids == {0: 1000, 1: 1001}
    first, second = FakeProcess.made
    assert [made.log for made in FakeProcess.made] == [tmp_path / "worker-0.log", tmp_path / "worker-1.log"]
    assert first.environment[threads.VARIABLE] == str(threads.share(2))
    second.say(ListenerCall("running", ("a",)))
    second.say(Finished())
    assert pool.listen(0.0) == [(1, ListenerCall("running", ("a",))), (1, Finished())]
    assert pool.free() and pool.pids == {0: 1000}
    pool.start(job(2))
    assert second.given == [1, 2] and len(FakeProcess.made) == 2


def test_an_idle_process_is_used_before_another_is_started(pool: LocalPool) -> None:
    pool.start(job(0))
    FakeProcess.made[0].say(JobError("SpecError", "bad", ""))
    assert pool.listen(0.0) == [(0, JobError("SpecError", "bad", ""))]
    pool.start(job(1))
    assert len(FakeProcess.made) == 1


def test_a_dead_process_is_replaced_by_the_next_job(pool: LocalPool, tmp_path: Path) -> None:
    pool.start(job(0))
    dead = FakeProcess.made[0]
    dead.say(WorkerDied("was ended by SIGKILL"))
    assert pool.listen(0.0) == [(0, WorkerDied("was ended by SIGKILL"))] and dead.calls == ["kill"]
    pool.start(job(1))
    assert len(FakeProcess.made) == 2 and FakeProcess.made[1].log == tmp_path / "worker-0.log"


def test_a_process_that_dies_while_idle_ends_no_job(pool: LocalPool) -> None:
    pool.start(job(0))
    (worker,) = FakeProcess.made
    worker.say(Finished())
    worker.say(WorkerDied("gone"))
    assert pool.listen(0.0) == [(0, Finished())]
    pool.start(job(1))
    assert len(FakeProcess.made) == 2


def test_listening_is_patient_only_for_a_while(pool: LocalPool) -> None:
    began = time.monotonic()
    assert pool.listen(0.05) == [] and 0.04 < time.monotonic() - began < 5


def test_closing_asks_all_to_end_before_it_waits_and_kills(pool: LocalPool) -> None:
    pool.start(job(0))
    pool.start(job(1))
    pool.close()
    assert [made.calls for made in FakeProcess.made] == [["end", "wait", "kill"]] * 2


@pytest.mark.parametrize(
    ("code", "log", "says"),
    [
        (-9, "", "was ended by SIGKILL (out of memory?)"),
        (-15, "ignored\n", "was ended by SIGTERM"),
        (1, "Traceback\n  ValueError: this  \n\n", "ended with status 1: ValueError: this"),
        (3, " \n", "ended with status 3"),
        (2, None, "ended with status 2"),  # the folder of the logs was moved
    ],
)
def test_the_end_of_a_process_is_put_into_words(tmp_path: Path, code: int, log: str | None, says: str) -> None:
    ended: Any = object.__new__(_Process)
    ended.process, ended._log = SimpleNamespace(returncode=code), tmp_path / "log"
    if log is not None:
        ended._log.write_text(log)
    assert ended._end() == says


def test_workers_import_this_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(Path(str(headstart.__file__)).resolve().parents[1])
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert _path() == os.pathsep.join([here, "/elsewhere"])
    monkeypatch.delenv("PYTHONPATH")
    assert _path() == here


def test_the_time_that_a_process_takes_to_start_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Job] = []
    monkeypatch.setattr(local, "now", lambda: 12.0)
    monkeypatch.setattr(_Process, "__init__", lambda process: None)
    monkeypatch.setattr(_Process, "_send", lambda process, job: sent.append(job))
    process = _Process()  # type: ignore[call-arg]
    process.give(job(1))
    process.give(Job(2, "heads", FIT, (), seconds=5.0))
    assert [(each.seconds, each.began) for each in sent] == [(None, None), (5.0, 12.0)]


def test_a_worker_is_as_much_slower_as_it_has_fewer_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nothing: Any = None
    monkeypatch.delenv("HEADSTART_THREADS", raising=False)
    monkeypatch.setattr(local.threads, "machine_cores", lambda: 8)
    setup = Setup(nothing, nothing, (), {}, None, "store", "cpu", ".")
    assert [LocalPool(setup, workers, tmp_path).slowdown for workers in (1, 2, 8)] == [1.0, 2.0, 8.0]
    monkeypatch.setenv("HEADSTART_THREADS", "2")
    assert LocalPool(setup, 4, tmp_path).slowdown == 1.0
