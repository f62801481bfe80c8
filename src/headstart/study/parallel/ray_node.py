"""What runs on the nodes of a Ray cluster: the jobs of a study, and the mailbox that keeps their messages.

Every process that Ray starts for headstart imports this module, so it imports what a job needs only for a job.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import HeadstartError
from headstart.models.architectures.quick_import import import_quickly
from headstart.study.parallel.messages import JobError, ListenerCall, Message, broken
from headstart.version import VERSION

if TYPE_CHECKING:
    from headstart.study.parallel.job_runner import JobRunner
    from headstart.study.parallel.jobs import Job
    from headstart.study.parallel.setup import Setup


class Mailbox:
    """Keeps the messages of tasks until they are fetched."""

    def __init__(self) -> None:
        self._messages: list[tuple[int, int | None, Message]] = []

    def put(self, attempt: int, place: int | None, message: Message) -> None:
        """Add one message of an attempt; `place` is the number of the listener call, if it is one."""
        self._messages.append((attempt, place, message))

    def take(self) -> list[tuple[int, int | None, Message]]:
        """Return the messages and delete them."""
        messages, self._messages = self._messages, []
        return messages


_runners: dict[str, JobRunner] = {}  # of this process, in which Ray runs several tasks one after the other


def run_job(setup: Setup, job: Job, attempt: int, mailbox: Any) -> tuple[Message, tuple[ListenerCall, ...]]:
    """Run one job in a Ray worker; return the last message and all listener calls."""
    import_quickly()
    from headstart.study.parallel.job_runner import JobRunner

    told: list[ListenerCall] = []

    def say(message: Message) -> None:
        place = None
        if isinstance(message, ListenerCall):
            place = len(told)
            told.append(message)
        mailbox.put.remote(attempt, place, message)

    try:
        runner = _runners.get(setup.token)
        if runner is None:
            _runners.clear()
            runner = _runners[setup.token] = JobRunner(setup, say)
        runner.listen(say)
        message: Message = runner.do(job)
    except HeadstartError as error:
        message = JobError(type(error).__name__, f"{error} (on the node {socket.gethostname()})", "")
    except Exception as error:
        message = broken(error)
    return message, tuple(told)


def inspect_node(place: str | None) -> tuple[str, bool]:
    """Return the version of headstart on a node, and whether the node can read a file."""
    return VERSION, place is None or Path(place).is_file()
