"""The interface of a pool of workers."""

from __future__ import annotations

from typing import Protocol

from headstart.study.parallel.jobs import Job
from headstart.study.parallel.messages import Message


class WorkerPool(Protocol):
    """A pool of workers, local or remote.

    Args:
        slowdown: how many times as long a job takes as with all cores of this machine, by the number of its threads.
    """

    slowdown: float

    def free(self) -> bool:
        """Return whether a worker is idle."""

    def start(self, job: Job) -> None:
        """Give a job to an idle worker."""

    def listen(self, patience: float) -> list[tuple[int, Message]]:
        """Return the messages with the number of their job; wait at most `patience` seconds for the first."""

    def close(self) -> None:
        """End all workers."""
