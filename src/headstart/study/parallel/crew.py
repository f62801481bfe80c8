"""Workers, wherever they are."""

from __future__ import annotations

from typing import Protocol

from headstart.study.parallel.jobs import Job
from headstart.study.parallel.messages import Message


class WorkerPool(Protocol):
    """Workers, wherever they are."""

    def free(self) -> bool:
        """Say whether one of them has nothing to do."""

    def start(self, job: Job) -> None:
        """Give a job to one that has nothing to do."""

    def listen(self, patience: float) -> list[tuple[int, Message]]:
        """Return what was said, by the number of the job; wait so many seconds for it."""

    def close(self) -> None:
        """End all of them."""
