"""Workers on this machine: processes, each with its own share of the cores and devices."""

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
from headstart.storage.pinned import make_folder
from headstart.study.execution.budget import now
from headstart.study.parallel.jobs import Job
from headstart.study.parallel.messages import Finished, JobError, Message, WorkerDied
from headstart.study.parallel.setup import Setup

_GRACE = 5.0  # seconds for workers to clean up when the study is stopped


class LocalPool:
    """Local worker processes; one that dies is replaced when there is work for it.

    Args:
        setup: of the study.
        workers: number of processes.
        logs: the folder for each worker's standard error.
    """

    def __init__(self, setup: Setup, workers: int, logs: Path) -> None:
        self._setups = [replace(setup, device=device) for device in devices(setup.device, workers)]
        self._environment = {**os.environ, **threads.environment(threads.share(workers)), "PYTHONPATH": _path()}
        self.slowdown = threads.cores() / threads.share(workers)
        self._logs = logs
        self._inbox: queue.SimpleQueue[tuple[_Process, Message]] = queue.SimpleQueue()
        self._places: list[_Process | None] = [None] * workers

    def free(self) -> bool:
        """Return whether a worker is idle."""
        return any(place is None or place.job is None for place in self._places)

    def start(self, job: Job) -> None:
        """Give a job to an idle worker."""
        number = min(
            (number for number, place in enumerate(self._places) if place is None or place.job is None),
            key=lambda number: self._places[number] is None,  # prefer one that is already running
        )
        worker = self._places[number]
        if worker is None:
            log = self._logs / f"worker-{number}.log"
            worker = self._places[number] = _Process(self._setups[number], self._environment, log, self._inbox)
        worker.give(job)

    def listen(self, patience: float) -> list[tuple[int, Message]]:
        """Return the messages with the number of their job; wait at most `patience` seconds for the first."""
        heard: list[tuple[int, Message]] = []
        with contextlib.suppress(queue.Empty):
            heard += self._heard(*self._inbox.get(timeout=patience))
            while True:
                heard += self._heard(*self._inbox.get_nowait())
        return heard

    def close(self) -> None:
        """End all workers; their unfinished jobs can be continued later."""
        running = [place for place in self._places if place is not None]
        try:
            for worker in running:
                worker.end()
            until = time.monotonic() + _GRACE
            for worker in running:
                worker.wait(max(0.0, until - time.monotonic()))
        finally:
            for worker in running:
                worker.kill()

    @property
    def pids(self) -> dict[int, int]:
        """The process id of the worker of each job, by the job's number."""
        return {place.job.number: place.process.pid for place in self._places if place is not None and place.job}

    def _heard(self, worker: _Process, message: Message) -> list[tuple[int, Message]]:
        job = worker.job
        if isinstance(message, WorkerDied):
            worker.kill()
            self._places = [None if place is worker else place for place in self._places]
        if job is None:  # it died while idle: the next job starts another
            return []
        if worker.ends(message):
            worker.job = None
        return [(job.number, message)]


class _Process:
    """One worker process, and the thread that listens to it."""

    def __init__(self, setup: Setup, environment: dict[str, str], log: Path, inbox: Any) -> None:
        make_folder(log.parent)
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
        """Give it a job; what it may take includes the time in which the process starts."""
        self.job = job
        self._send(job if job.seconds is None else replace(job, began=now()))

    @staticmethod
    def ends(message: Message) -> bool:
        """Return whether this is the last message on a job."""
        return isinstance(message, Finished | JobError | WorkerDied)

    def end(self) -> None:
        """Ask it to end."""
        with contextlib.suppress(OSError):  # it has already ended
            self.process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait until it has ended, at most `seconds`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def kill(self) -> None:
        """Kill it if it still runs, and close the pipe to it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def _send(self, value: Setup | Job) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended: the listening thread reports it
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
            return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        try:
            lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        except OSError:  # the study's folder was moved
            lines = []
        return f"ended with status {code}" + (f": {lines[-1].strip()}" if lines else "")


def devices(device: str, workers: int) -> list[str]:
    """Return the device of each worker; several GPUs are assigned in turn."""
    if device != "cuda":
        return [device] * workers
    import torch

    count = max(1, torch.cuda.device_count())
    return [f"cuda:{number % count}" if count > 1 else device for number in range(workers)]


def _path() -> str:
    """Return the PYTHONPATH with which a worker imports this installation of headstart."""
    here = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
