"""One process that takes hostile input after hostile input, with bounded memory and a time limit for each.

It is started anew where it hangs or dies. What it may raise are headstart's own errors; all else is an escape.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from headstart.data.decoding.faults import UndecodableError
from headstart.errors import HeadstartError
from tests.siege.siege import Broken

MEMORY = 2 << 30  # bytes beyond what the process has when it begins
SECONDS = 10.0
REFUSED = (HeadstartError, UndecodableError)


class Guarded:
    """Calls a function in a process of its own.

    Args:
        work: from one input to how the attempt ended; it may raise `REFUSED` errors, of one line.
        seconds: after which a call counts as hung.
    """

    def __init__(self, work: Callable[[Any], str], seconds: float = SECONDS) -> None:
        self.work, self.seconds = work, seconds
        self.peak = 0  # bytes, the most that any process had in memory
        self._process: Any = None
        self._pipe: Connection | None = None

    def __call__(self, given: Any) -> str:
        """Return how the attempt ended; "refused" where it raised an error of headstart.

        Raises:
            Broken: it hung, died, took too much memory, or raised anything else.
        """
        pipe = self._started()
        try:
            pipe.send(given)
            if not pipe.poll(self.seconds):
                self.close()
                raise Broken(f"hung for over {self.seconds:.0f} s")
            ended, how, peak = pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            status = self.close()
            raise Broken(f"the process died ({status})") from error
        self.peak = max(self.peak, peak)
        if peak > MEMORY:
            raise Broken(f"took {peak / 1e9:.1f} GB")
        if ended == "broken":
            raise Broken(how)
        return str(how)

    def close(self) -> int | None:
        """End the process; return its exit status."""
        if self._process is None:
            return None
        self._process.kill()
        self._process.join()
        status: int | None = self._process.exitcode
        assert self._pipe is not None
        self._pipe.close()
        self._process = self._pipe = None
        return status

    def _started(self) -> Connection:
        if self._pipe is None:
            context = multiprocessing.get_context("fork")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(self.work, theirs), daemon=True)
            self._process.start()
            theirs.close()
        return self._pipe


def _serve(work: Callable[[Any], str], pipe: Connection) -> None:
    if sys.platform == "linux":
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, -1))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    warnings.simplefilter("ignore")
    while True:
        try:
            given = pipe.recv()
        except EOFError:
            return
        pipe.send((*_attempt(work, given), _peak()))


def _attempt(work: Callable[[Any], str], given: Any) -> tuple[str, str]:
    try:
        return "fine", work(given)
    except REFUSED as error:
        if "\n" in str(error) or len(str(error)) > 2000:
            return "broken", f"more than one line: {str(error)[:200]!r}"
        return "fine", "refused"
    except Broken as error:
        return "broken", str(error)
    except BaseException as error:  # what a siege looks for
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/headstart/" in frame.filename]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        return "broken", f"escape: {type(error).__name__} at {where}: {str(error)[:100]}"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
