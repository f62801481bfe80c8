"""What a worker says to whoever gave it its work, and how an error crosses from one process to another."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headstart import errors, progress
from headstart.data.decoding.decode import View
from headstart.errors import HeadstartError

_EVERY = 0.5  # seconds between two messages on how far a worker is


@dataclass(frozen=True)
class Tell:
    """A call of the listener: the method's name and its arguments."""

    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Ticked:
    """How far a piece of work is; None: it ended."""

    title: str
    done: int
    total: int
    unit: str
    note: str


@dataclass(frozen=True)
class Finished:
    """A job is done.

    Args:
        views: the images that this worker has decoded so far, by fingerprint and view.
        folders: the content of the run folders, by run and seed, where they cannot be seen from elsewhere.
        told: everything that was told on the way, where messages may be lost.
    """

    views: tuple[tuple[str, View], ...] = ()
    folders: tuple[tuple[str, int, dict[str, bytes]], ...] = ()
    told: tuple[Tell, ...] = ()


@dataclass(frozen=True)
class Broke:
    """A job ended with an error: its class, its message, where it was raised."""

    kind: str
    message: str
    trace: str

    @property
    def error(self) -> Exception:
        """The same error, to be raised here; a defect (no HeadstartError) carries the worker's traceback."""
        found = getattr(errors, self.kind, None)
        if isinstance(found, type) and issubclass(found, HeadstartError):
            error = found.__new__(found, self.message)
            Exception.__init__(error, self.message)
            return error
        return RuntimeError(f"{self.kind} in a worker: {self.message}\n{self.trace}")


@dataclass(frozen=True)
class Died:
    """A worker is gone, and so is what it was at."""

    why: str


Message = Tell | Ticked | None | Finished | Broke | Died  # None: the current piece of work ended
Say = Callable[[Message], None]


def broken(error: BaseException) -> Broke | Died:
    """Return the message on an error; memory that did not suffice is a death, which may not come again."""
    if isinstance(error, MemoryError):
        return Died("memory did not suffice")
    return Broke(type(error).__name__, str(error), "".join(traceback.format_exception(error)))


class Speaker:
    """A listener that says everything to another process.

    Args:
        say: sends a message.
    """

    def __init__(self, say: Say) -> None:
        self._say = say

    def plan(self, rows: list[dict[str, Any]]) -> None:
        """Say nothing: whoever gave the work knows the plan."""

    def running(self, run: str) -> None:
        """A task began."""
        self._say(Tell("running", (run,)))

    def reused(self, run: str) -> None:
        """A task was found done."""
        self._say(Tell("reused", (run,)))

    def done(self, run: str, score: float) -> None:
        """A task ended with this test score."""
        self._say(Tell("done", (run, score)))

    def failed(self, run: str, why: str) -> None:
        """A task failed."""
        self._say(Tell("failed", (run, why)))

    def note(self, text: str) -> None:
        """Something to tell the user."""
        self._say(Tell("note", (text,)))

    def close(self) -> None:
        """Say nothing: other workers may still be at it."""


class Pace:
    """Passes on how far the work is, not more often than is of use.

    Args:
        say: sends a message.
        clock: seconds that only go forward.
    """

    def __init__(self, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._next, self._shown = 0.0, False
        self._lock = threading.Lock()

    def __call__(self, ticker: progress.Ticker | None) -> None:
        """Take what `headstart.progress` shows."""
        with self._lock:
            if ticker is None:
                if self._shown:
                    self._say(None)
                self._next, self._shown = 0.0, False
                return
            now = self._clock()
            if now >= self._next:
                self._next, self._shown = now + _EVERY, True
                self._say(Ticked(ticker.title, ticker.done, ticker.total, ticker.unit, ticker.note))
