"""The messages from a worker to the dispatcher, and how an error crosses from one process to another."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from headstart import errors, progress
from headstart.data.decoding.decode import View
from headstart.errors import HeadstartError
from headstart.study.results.state import Expected

_EVERY = 0.5  # seconds between two progress messages


@dataclass(frozen=True)
class ListenerCall:
    """A call of the listener: the method's name and its arguments."""

    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class ProgressUpdate:
    """The progress of a piece of work."""

    title: str
    done: int
    total: int
    unit: str
    note: str


@dataclass(frozen=True)
class Finished:
    """A job is done, or has stopped because its time was used up.

    Args:
        views: the images that this worker has decoded so far, by fingerprint and view.
        folders: the content of the run folders, by run and seed, if the dispatcher cannot read them.
        told: all calls of the listener, if messages may be lost.
        entries: the kind and the key of the cache entries of a pass; of a part, those that it made.
        seconds: how long the worker was busy with it, its images and its network at hand.
        stopped: its time was used up; what it had finished is kept.
    """

    views: tuple[tuple[str, View], ...] = ()
    folders: tuple[tuple[str, int, dict[str, bytes]], ...] = ()
    told: tuple[ListenerCall, ...] = ()
    entries: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    stopped: bool = False


@dataclass(frozen=True)
class JobError:
    """A job ended with an error: its class, its message, its traceback."""

    kind: str
    message: str
    trace: str

    @property
    def error(self) -> Exception:
        """The same error, to raise here; a defect (not a HeadstartError) includes the worker's traceback."""
        found = getattr(errors, self.kind, None)
        if isinstance(found, type) and issubclass(found, HeadstartError):
            error = found.__new__(found, self.message)
            Exception.__init__(error, self.message)
            return error
        return RuntimeError(f"{self.kind} in a worker: {self.message}\n{self.trace}")


@dataclass(frozen=True)
class WorkerDied:
    """A worker ended before its job did."""

    why: str


Message = (
    ListenerCall | ProgressUpdate | None | Finished | JobError | WorkerDied
)  # None: the current piece of work ended
Say = Callable[[Message], None]


def broken(error: BaseException) -> JobError | WorkerDied:
    """Return the message for an error; a lack of memory counts as a death, because another try may succeed."""
    if isinstance(error, MemoryError):
        return WorkerDied("ran out of memory")
    return JobError(type(error).__name__, str(error), "".join(traceback.format_exception(error)))


class RemoteListener:
    """A listener that passes every call to another process.

    Args:
        say: sends a message.
    """

    def __init__(self, say: Say) -> None:
        self._say = say

    def overview(self, lines: Sequence[str]) -> None:
        """Ignore: the dispatcher says it."""

    def plan(self, rows: list[Expected]) -> None:
        """Ignore: the dispatcher knows the plan."""

    def running(self, run: str) -> None:
        """A task started."""
        self._say(ListenerCall("running", (run,)))

    def reused(self, run: str) -> None:
        """A task was done before."""
        self._say(ListenerCall("reused", (run,)))

    def done(self, run: str, score: float, seconds: float | None = None, images: int | None = None) -> None:
        """A task finished with this score on so many test images, after so many seconds of its own."""
        self._say(ListenerCall("done", (run, score, seconds, images)))

    def failed(self, run: str, why: str) -> None:
        """A task failed."""
        self._say(ListenerCall("failed", (run, why)))

    def note(self, text: str) -> None:
        """Something to tell the user."""
        self._say(ListenerCall("note", (text,)))

    def close(self) -> None:
        """Ignore: other workers may still run."""


class ProgressRelay:
    """Passes on progress, at most every half second.

    Args:
        say: sends a message.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._next, self._shown = 0.0, False
        self._lock = threading.Lock()

    def __call__(self, ticker: progress.Ticker | None) -> None:
        """Receive what `headstart.progress` shows."""
        with self._lock:
            if ticker is None:
                if self._shown:
                    self._say(None)
                self._next, self._shown = 0.0, False
                return
            now = self._clock()
            if now >= self._next:
                self._next, self._shown = now + _EVERY, True
                self._say(ProgressUpdate(ticker.title, ticker.done, ticker.total, ticker.unit, ticker.note))
