"""What a running study shows: a live table in a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from headstart import progress, units
from headstart.report import numbers

QUEUED, RUNNING, REUSED, DONE, FAILED = "queued", "running", "reused", "done", "failed"
_ENDED = (REUSED, DONE, FAILED)
_SHOWN = 14  # rows of the table; the rest is counted


@dataclass
class _Task:
    """One run and seed as it stands."""

    name: str
    state: str = QUEUED
    started: float | None = None
    ended: float = 0.0
    score: float | None = None
    why: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it took, or None where it was never seen to begin."""
        return None if self.started is None else self.ended - self.started


class LiveStudy:
    """Shows how a study gets on; told by whoever runs it, through its methods.

    Args:
        stream: where to write; standard error if None.
        terminal: whether `stream` can show a live table; found out if None.
        metric: what the scores are.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        terminal: bool | None = None,
        metric: str = "accuracy",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty() if terminal is None else terminal
        self.metric = metric
        self.tasks: dict[str, _Task] = {}
        self.notes: list[str] = []
        self.job = ""
        self._clock = clock
        self._began = clock()
        self._live: Any = None
        self._lock = threading.RLock()

    def start(self) -> None:
        """Begin to show; called by `plan` where nobody has."""
        self._began = self._clock()
        if self.terminal and self._live is None and progress._verbosity >= progress.NORMAL:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self.stream, force_terminal=True)
            self._live = Live(get_renderable=self.table, console=console, refresh_per_second=4)
            self._live.start()
            progress.show_in(self._progress)

    def plan(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """All tasks that are expected: rows with "run" and "seed", and the "name" of both where it is another."""
        with self._lock:
            for row in rows:
                plain = f"{row['run']} (seed {row['seed']})" if "seed" in row else str(row["run"])
                name = str(row.get("name", plain))
                self.tasks.setdefault(name, _Task(name))
        self.start()
        self._say(f"{len(self.tasks)} runs to do")

    def running(self, run: str) -> None:
        """A task began."""
        with self._lock:
            task = self._task(run)
            task.state, task.started = RUNNING, self._clock()

    def reused(self, run: str) -> None:
        """A task was found done."""
        self._end(run, REUSED)
        self._say(f"{run}: reused")

    def done(self, run: str, score: float) -> None:
        """A task ended with this test score."""
        task = self._end(run, DONE)
        task.score = score
        took = f" in {units.duration(task.seconds)}" if task.seconds is not None else ""
        self._say(f"{run}: {numbers.score(score, self.metric)}{took}; {self._counts()}")

    def failed(self, run: str, why: str) -> None:
        """A task failed."""
        self._end(run, FAILED).why = why
        self._say(f"{run}: failed: {why}")

    def note(self, text: str) -> None:
        """Something to tell the user."""
        with self._lock:
            self.notes.append(text)
        self._say(text)

    def close(self) -> None:
        """The study ended: the last table stays."""
        if self._live is not None:
            progress.show_in(None)
            self._live.update(self.table(), refresh=True)
            self._live.stop()
            self._live = None
        elif self.tasks:
            self._say(f"{self._counts()} in {units.duration(self._clock() - self._began)}")

    def seconds_left(self) -> float | None:
        """Return an estimate from the mean time of what was done, or None before anything was."""
        with self._lock:
            waiting = sum(task.state not in _ENDED for task in self.tasks.values())
            finished = sum(task.state == DONE for task in self.tasks.values())
        if not finished or not waiting:
            return 0.0 if self.tasks and not waiting else None
        return (self._clock() - self._began) / finished * waiting

    def table(self) -> Any:
        """Return what the terminal shows: counts, the runs that matter now, what failed and what was noted."""
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
            table.add_column("run")
            table.add_column("")
            table.add_column(self.metric.replace("_", " "), justify="right")
            table.add_column("time", justify="right")
            shown = self._shown()
            for task in shown:
                score = "" if task.score is None else numbers.score(task.score, self.metric)
                table.add_row(Text(task.name), _STYLED[task.state], score, self._took(task))
            if len(shown) < len(self.tasks):
                table.add_row(Text(f"… {len(self.tasks) - len(shown)} more", style="dim"))
            failed = [Text(f"{t.name}: {t.why}", style="red") for t in self.tasks.values() if t.state == FAILED]
            notes = [Text(note, style="yellow") for note in self.notes[-3:]]
            return Group(Text(self._title(), style="bold"), table, *failed[-5:], *notes)

    def _title(self) -> str:
        left = self.seconds_left()
        rest = f" · about {units.duration(left)} left" if left else ""
        return f"{self._counts()}{rest}{chr(10) + self.job if self.job else ''}"

    def _progress(self, ticker: progress.Ticker | None) -> None:
        """Note what the current job says of itself: how far it is, and its loss."""
        with self._lock:
            self.job = "" if ticker is None else f"{ticker.title} {ticker.done:,}/{ticker.total:,} {ticker.unit}"
            if ticker is not None and ticker.note:
                self.job += f", {ticker.note}"

    def _shown(self) -> list[_Task]:
        """Return the failed and running ones, then the last that ended, then the next in the queue."""
        tasks = list(self.tasks.values())
        ended = sorted((t for t in tasks if t.state in (DONE, REUSED)), key=lambda t: -t.ended)
        first = [t for t in tasks if t.state in (RUNNING, FAILED)]
        chosen = [*first, *ended[: max(4, _SHOWN - len(first) - 4)], *(t for t in tasks if t.state == QUEUED)][:_SHOWN]
        return [task for task in tasks if task in chosen]

    def _took(self, task: _Task) -> str:
        if task.state == RUNNING and task.started is not None:
            return units.duration(self._clock() - task.started)
        return units.duration(task.seconds) if task.state == DONE and task.seconds is not None else ""

    def _task(self, run: str) -> _Task:
        return self.tasks.setdefault(run, _Task(run))

    def _end(self, run: str, state: str) -> _Task:
        with self._lock:
            task = self._task(run)
            task.state, task.ended = state, self._clock()
            return task

    def _counts(self) -> str:
        with self._lock:
            states = [task.state for task in self.tasks.values()]
        parts = [
            f"{states.count(state)} {state}" for state in (DONE, REUSED, RUNNING, QUEUED, FAILED) if state in states
        ]
        return ", ".join(parts) or "nothing to do"

    def _say(self, line: str) -> None:
        """Write a plain line where there is no table."""
        if self._live is None and progress._verbosity >= progress.NORMAL:
            print(line, file=self.stream, flush=True)


_STYLED = {
    QUEUED: "[dim]queued[/]",
    RUNNING: "[bold cyan]running[/]",
    REUSED: "[green]reused[/]",
    DONE: "[green]done[/]",
    FAILED: "[bold red]failed[/]",
}
