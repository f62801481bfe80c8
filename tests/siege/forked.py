"""Work in a forked process, which has everything imported already: started in milliseconds, killed at any moment."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from headstart.cli.process import run_as_process
from headstart.storage.cleanup import clean_up

_PATIENCE = 1800.0  # seconds that a study may take, also on a machine that does much else
_LOOK = 0.004  # seconds between two looks at the clock of a process
Clock = Callable[[int, float], float]
"""From the number of a process and the time at which it began (of `time.monotonic`) to the seconds that it has run."""


def wall_clock(process: int, began: float) -> float:
    """Return the seconds that have passed."""
    return time.monotonic() - began


def work_clock(process: int, began: float) -> float:
    """Return the seconds of processor time, which other work on the machine does not lengthen; Linux only."""
    try:
        return time.clock_gettime((~process << 3) | 2)  # as clock_getcpuclockid(3) numbers it
    except OSError:  # it has ended
        return 0.0


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Args:
        status: its exit status, or minus the number of the signal that ended it.
        said: all that it wrote on standard error and standard output.
        seconds: how long it ran.
        worked: seconds of processor time that it took.
    """

    status: int
    said: str
    seconds: float
    worked: float


def run_forked(
    work: Callable[[], object],
    *,
    kill_after: float | None = None,
    number: int = signal.SIGKILL,
    clock: Clock = wall_clock,
    strike: Callable[[int], object] | None = None,
) -> Ended:
    """Do the work in a process of its own as a command of headstart does it, and wait for its end.

    Args:
        work: what is done.
        kill_after: seconds after which it gets a signal.
        number: of the signal; of any but SIGKILL the process may take its time to end.
        clock: by which the seconds are counted.
        strike: is called with the number of the process in place of the signal.
    """
    began = time.monotonic()
    read, write = os.pipe()  # not a file, whose size a limit may bound
    process = os.fork()
    if process == 0:
        os.close(read)
        _child(work, write)
    os.close(write)
    said: list[bytes] = []
    reader = threading.Thread(target=lambda: said.extend(iter(partial(os.read, read, 1 << 16), b"")))
    reader.start()
    over = threading.Event()
    blow = strike or partial(_send, number)
    striker = threading.Thread(target=_strike, args=(process, kill_after, blow, partial(clock, process, began), over))
    striker.start()
    _, status, used = os.wait4(process, 0)
    over.set()
    striker.join()
    reader.join()
    os.close(read)
    return Ended(
        os.waitstatus_to_exitcode(status),
        b"".join(said).decode(errors="replace"),
        time.monotonic() - began,
        used.ru_utime + used.ru_stime,
    )


def _strike(
    process: int,
    after: float | None,
    strike: Callable[[int], object],
    seconds: Callable[[], float],
    over: threading.Event,
) -> None:
    """Strike a process after some seconds by its clock, and end it when patience does; nothing once it is over."""
    limit = time.monotonic() + _PATIENCE
    while not over.wait(_LOOK):
        if after is not None and seconds() >= after:
            strike(process)
            after = None
        if time.monotonic() > limit:
            _send(signal.SIGKILL, process)
            return


def _send(number: int, process: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.kill(process, number)


def learn_imports(work: Callable[[], object], names: Path) -> Ended:
    """Do the work in a process of its own, then import here all that it imported: later processes start with it."""

    def noted() -> None:
        work()
        names.write_text("\n".join(name for name, module in sys.modules.items() if getattr(module, "__spec__", None)))

    ended = run_forked(noted)
    for name in names.read_text().splitlines() if names.exists() else []:
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(name)
    return ended


def _child(work: Callable[[], object], descriptor: int) -> None:
    status = 1
    try:
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        run_as_process(work)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        with contextlib.suppress(BaseException):
            clean_up()  # as at the end of every interpreter
        os._exit(status)  # nothing of the parent, such as a test runner, goes on here
