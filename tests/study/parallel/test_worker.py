from __future__ import annotations

import io
import os
import pickle
import queue
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import SpecError
from headstart.study.parallel import worker
from headstart.study.parallel.messages import Finished, JobError, Message
from headstart.study.parallel.worker import _leave, _read, _work


class Ended(BaseException):
    """Ends the endless loop of a worker."""


def test_each_job_is_answered_and_an_error_does_not_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    setups: list[Any] = []

    class Runner:
        def __init__(self, setup: Any, say: Any) -> None:
            setups.append(setup)

        def do(self, job: Any) -> Finished:
            if job == "bad":
                raise SpecError("no such thing")
            if job == "end":
                raise Ended
            return Finished(views=((job, "view"),))  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "JobRunner", Runner)
    orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for order in ("setup", "one", "bad", "two", "end"):
        orders.put(order)
    said: list[Message] = []
    with pytest.raises(Ended):
        _work(orders, said.append)
    assert setups == ["setup"]
    first, broken, second = said
    assert (first, second) == (Finished((("one", "view"),)), Finished((("two", "view"),)))  # type: ignore[arg-type]
    assert isinstance(broken, JobError) and (broken.kind, broken.message) == ("SpecError", "no such thing")


@pytest.mark.parametrize("rest", [b"", pickle.dumps("three")[:-4]])
def test_the_end_of_the_input_ends_the_process(monkeypatch: pytest.MonkeyPatch, rest: bytes) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
    _read(io.BytesIO(pickle.dumps("one") + pickle.dumps({"two": 2}) + rest), orders)
    assert [orders.get_nowait(), orders.get_nowait()] == ["one", {"two": 2}] and orders.empty()
    assert killed == [(os.getpid(), signal.SIGTERM)]


def test_a_signal_becomes_an_exit_status() -> None:
    with pytest.raises(SystemExit) as ended:
        _leave(15, None)
    assert ended.value.code == 143


STOPPED = """
import sys
from pathlib import Path
from headstart.storage.files import temporary
from headstart.study.parallel import worker
temporary(Path(sys.argv[1]) / "a.json").touch()
worker.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends a process of Windows at once")
def test_a_worker_that_is_stopped_deletes_its_temporary_files(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", STOPPED, str(tmp_path)], stdin=subprocess.DEVNULL, check=False)
    assert ended.returncode == 143 and list(tmp_path.iterdir()) == []
