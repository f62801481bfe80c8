"""Work in a forked process, which has everything imported already: started in milliseconds, killed at any moment."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headstart.cli.process import run_as_process

_PATIENCE = 300.0  # seconds that a study may take


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Args:
        status: its exit status, or minus the number of the signal that ended it.
        said: all that it wrote on standard error and standard output.
        seconds: how long it ran.
    """

    status: int
    said: str
    seconds: float


def run_forked(work: Callable[[], object], log: Path, *, kill_after: float | None = None) -> Ended:
    """Do the work in a process of its own as a command of headstart does it, and wait for its end.

    Args:
        work: what is done.
        log: where its output goes.
        kill_after: seconds after which it gets SIGKILL.
    """
    began = time.monotonic()
    process = os.fork()
    if process == 0:
        _child(work, log)
    limit = _PATIENCE if kill_after is None else kill_after
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            break
        if time.monotonic() - began > limit:
            os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
            break
        time.sleep(0.001)
    said = log.read_text(errors="replace") if log.exists() else ""
    if kill_after is None and time.monotonic() - began > _PATIENCE:
        said += "\n(hung)"
    return Ended(os.waitstatus_to_exitcode(status), said, time.monotonic() - began)


def _child(work: Callable[[], object], log: Path) -> None:
    status = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        run_as_process(work)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(status)  # nothing of the parent, such as a test runner, goes on here
