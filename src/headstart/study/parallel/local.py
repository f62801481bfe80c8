"""Workers on this machine: processes with a share of the cores, and of the devices, that is theirs alone."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart import threads
from headstart.study.parallel.jobs import Job
from headstart.study.parallel.messages import Finished, JobError, Message, WorkerDied
from headstart.study.parallel.setup import Setup

_GRACE = 5.0  # seconds that a worker has to tidy up when the study is stopped


class LocalPool:
    """So many worker processes; one that dies is replaced when there is work for it.

    Args:
        setup: of the study.
        workers: how many at the same time.
        logs: the folder in which each worker's standard error is kept.
    """

    def __init__(self, setup: Setup, workers: int, logs: Path) -> None:
        self._setups = [replace(setup, device=device) for device in devices(setup.device, workers)]
        self._environment = {**os.environ, **threads.environment(threads.share(workers)), "PYTHONPATH": _path()}
        self._logs = logs
        self._inbox: queue.SimpleQueue[tuple[_Process, Message]] = queue.SimpleQueue()
        self._places: list[_Process | None] = [None] * workers

    def free(self) -> bool:
        """Say whether a worker has nothing to do."""
        return any(place is None or place.job is None for place in self._places)

    def start(self, job: Job) -> None:
        """Give a job to a worker that has nothing to do."""
        number = min(
            (number for number, place in enumerate(self._places) if place is None or place.job is None),
            key=lambda number: self._places[number] is None,  # one that runs already, if there is one
        )
        worker = self._places[number]
        if worker is None:
            log = self._logs / f"worker-{number}.log"
            worker = self._places[number] = _Process(self._setups[number], self._environment, log, self._inbox)
        worker.give(job)

    def listen(self, patience: float) -> list[tuple[int, Message]]:
        """Return what workers said, by the number of the job; wait so many seconds for it."""
        heard: list[tuple[int, Message]] = []
        with contextlib.suppress(queue.Empty):
            heard += self._heard(*self._inbox.get(timeout=patience))
            while True:
                heard += self._heard(*self._inbox.get_nowait())
        return heard

    def close(self) -> None:
        """End all workers; what they were at can be taken up again."""
        there = [place for place in self._places if place is not None]
        try:
            for worker in there:
                worker.end()
            until = time.monotonic() + _GRACE
            for worker in there:
                worker.wait(max(0.0, until - time.monotonic()))
        finally:
            for worker in there:
                worker.kill()

    @property
    def pids(self) -> dict[int, int]:
        """The process that is at each job."""
        return {place.job.number: place.process.pid for place in self._places if place is not None and place.job}

    def _heard(self, worker: _Process, message: Message) -> list[tuple[int, Message]]:
        job = worker.job
        if isinstance(message, WorkerDied):
            worker.kill()
            self._places = [None if place is worker else place for place in self._places]
        if job is None:  # it died with nothing to do: the next job starts another
            return []
        if worker.ends(message):
            worker.job = None
        return [(job.number, message)]


class _Process:
    """One worker process, and the thread that listens to it."""

    def __init__(self, setup: Setup, environment: dict[str, str], log: Path, inbox: Any) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.job: Job | None = None
        self._log, self._inbox = log, inbox
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "headstart.study.parallel.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,  # the terminal's Ctrl-C does not reach it
            )
        self._send(setup)
        threading.Thread(target=self._listen, daemon=True).start()

    def give(self, job: Job) -> None:
        """Let it do a job."""
        self.job = job
        self._send(job)

    @staticmethod
    def ends(message: Message) -> bool:
        """Say whether this is the last message on a job."""
        return isinstance(message, Finished | JobError | WorkerDied)

    def end(self) -> None:
        """Ask it to end."""
        with contextlib.suppress(OSError):  # it is gone already
            self.process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait until it has ended, so long at most."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def kill(self) -> None:
        """End it in any case, and what leads to it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def _send(self, value: Setup | Job) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it is gone: the listening thread says so
            pickle.dump(value, self.process.stdin)
            self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as source:
            while True:
                try:
                    self._inbox.put((self, pickle.load(source)))
                except (EOFError, pickle.UnpicklingError):
                    break
        self.process.wait()
        self._inbox.put((self, WorkerDied(self._end())))

    def _end(self) -> str:
        code = self.process.returncode
        if code < 0:
            name = signal.Signals(-code).name
            return f"was ended by {name}" + (" (memory did not suffice?)" if name == "SIGKILL" else "")
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return f"ended with status {code}" + (f": {lines[-1].strip()}" if lines else "")


def devices(device: str, workers: int) -> list[str]:
    """Return the device of each worker: of several GPUs, each its own."""
    if device != "cuda":
        return [device] * workers
    import torch

    count = max(1, torch.cuda.device_count())
    return [f"cuda:{number % count}" if count > 1 else device for number in range(workers)]


def _path() -> str:
    """Return where a worker finds this very headstart."""
    here = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
