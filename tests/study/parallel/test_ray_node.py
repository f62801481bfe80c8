"""What runs on a node, without a cluster; tests/study/parallel/test_ray.py has one."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headstart.errors import SpecError
from headstart.study.parallel import ray_node
from headstart.study.parallel.messages import Finished, JobError, ListenerCall, Message, ProgressUpdate, Say
from headstart.study.parallel.ray_node import Mailbox, inspect_node, run_job
from headstart.version import VERSION

MADE: list[str] = []
QUICK: list[int] = []


class Runner:
    """Stands in for the runner of jobs: says what it does, and fails where the job's name says so."""

    def __init__(self, setup: Any, say: Say) -> None:
        MADE.append(setup.token if QUICK else "with the compiler")

    def listen(self, say: Say) -> None:
        self.say = say

    def do(self, job: str) -> Finished:
        for message in (ListenerCall("running", (job,)), ProgressUpdate("", 1, 2, "images", ""), None):
            self.say(message)
        if job == "wrong":
            raise SpecError("no such thing")
        if job == "defect":
            raise ZeroDivisionError("of nothing")
        if job == "large":
            raise MemoryError
        self.say(ListenerCall("done", (job,)))
        return Finished(seconds=3.0)


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Mailbox]:
    """Return a mailbox as a task has it, and the same as the head has it."""
    MADE.clear()
    QUICK.clear()
    monkeypatch.setattr("headstart.study.parallel.job_runner.JobRunner", Runner)
    monkeypatch.setattr(ray_node, "import_quickly", lambda: QUICK.append(1))
    monkeypatch.setattr(ray_node, "_runners", {})
    held = Mailbox()
    return SimpleNamespace(put=SimpleNamespace(remote=held.put)), held


def task(job: str, mailbox: Any, token: str = "one", attempt: int = 7) -> tuple[Message, tuple[ListenerCall, ...]]:
    return run_job(SimpleNamespace(token=token), job, attempt, mailbox)  # type: ignore[arg-type]


def test_calls_of_the_listener_are_numbered_and_returned_whatever_becomes_of_the_mail(
    mailbox: tuple[Any, Mailbox],
) -> None:
    running, done = ListenerCall("running", ("a",)), ListenerCall("done", ("a",))
    assert task("a", mailbox[0]) == (Finished(seconds=3.0), (running, done))
    assert mailbox[1].take() == [
        (7, 0, running),
        (7, None, ProgressUpdate("", 1, 2, "images", "")),
        (7, None, None),
        (7, 1, done),
    ]
    assert mailbox[1].take() == []


def test_an_error_of_the_input_names_the_node_and_a_defect_has_its_trace(mailbox: tuple[Any, Mailbox]) -> None:
    wrong, told = task("wrong", mailbox[0])
    assert wrong == JobError("SpecError", f"no such thing (on the node {socket.gethostname()})", "")
    assert told == (ListenerCall("running", ("wrong",)),)
    defect, _ = task("defect", mailbox[0])
    assert isinstance(defect, JobError) and (defect.kind, defect.message) == ("ZeroDivisionError", "of nothing")
    assert defect.trace.rstrip().endswith("ZeroDivisionError: of nothing")
    assert type(task("large", mailbox[0])[0]).__name__ == "WorkerDied"


def test_the_jobs_of_a_study_share_a_runner_and_another_study_gets_its_own(mailbox: tuple[Any, Mailbox]) -> None:
    for job, token in (("a", "one"), ("wrong", "one"), ("b", "one"), ("c", "two"), ("d", "one")):
        task(job, mailbox[0], token)
    assert MADE == ["one", "two", "one"] and set(ray_node._runners) == {"one"}


def test_a_process_imports_pytorch_for_a_job_alone() -> None:
    seen = "import sys, headstart.study.parallel.ray_node; print([n for n in ('torch', 'timm') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_node_tells_its_version_and_whether_it_reads_a_file(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    assert inspect_node(None) == inspect_node(str(tmp_path / "there")) == (VERSION, True)
    assert inspect_node(str(tmp_path / "absent")) == (VERSION, False)
