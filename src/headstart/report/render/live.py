"""What a running study shows: a live table in a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from headstart import disclosure, progress, units
from headstart.evaluate.metrics.names import measure_name
from headstart.evaluate.metrics.scoring import POINTWISE
from headstart.report import numbers

QUEUED, RUNNING, REUSED, DONE, FAILED = "queued", "running", "reused", "done", "failed"
PARTLY, NOT_RUN = "partly run", "not run"  # when the study has ended, over its budget for example
_ENDED = (REUSED, DONE, FAILED)
_SHOWN = 14  # rows of the table; the rest is counted


@dataclass
class _Seed:
    """One seed of a run; `fit` is the same for seeds that repeat the same fit."""

    fit: str = ""
    state: str = QUEUED
    started: float | None = None
    ended: float = 0.0
    score: float | None = None
    images: int | None = None
    seconds: float | None = None
    why: str = ""


@dataclass
class _Run:
    """A run over its seeds, which are shown as one."""

    name: str
    seeds: dict[str, _Seed] = field(default_factory=dict)

    @property
    def states(self) -> list[str]:
        """The state of each seed."""
        return [seed.state for seed in self.seeds.values()]

    @property
    def state(self) -> str:
        """The state of the run: it is running as long as some of its seeds have ended and others have not."""
        if set(self.states) <= set(_ENDED):
            return next(state for state in (FAILED, DONE, REUSED) if state in self.states)
        if len(set(self.states)) == 1:
            return self.states[0]
        return PARTLY if NOT_RUN in self.states else RUNNING

    @property
    def fits(self) -> int:
        """How many of its seeds give another model; the report counts the others once."""
        return len({seed.fit or name for name, seed in self.seeds.items()})

    @property
    def ended(self) -> float:
        """When the last of its seeds ended."""
        return max(seed.ended for seed in self.seeds.values())

    @property
    def score(self) -> float | None:
        """The mean score of the seeds that were done now, each test image counted alike: folds differ in size."""
        scores = [(seed.score, seed.images or 1) for seed in self.seeds.values() if seed.score is not None]
        return sum(score * images for score, images in scores) / sum(images for _, images in scores) if scores else None

    @property
    def seconds(self) -> float | None:
        """What the seeds that were done now took in all, or None where it is unknown."""
        known = [seed.seconds for seed in self.seeds.values() if seed.seconds is not None]
        return sum(known) if known else None

    def words(self, metric: str) -> str:
        """Return how many seeds it has, and how many of them were reused or did not end well; "" for one that did.

        The report judges the predictions of all folds together; where that is not the mean of the folds' scores,
        which is all that is known while a study runs, it is said.
        """
        counted = [(self.states.count(state), state) for state in (REUSED, FAILED, RUNNING, QUEUED, NOT_RUN)]
        odd = ", ".join(f"{count} {state}" for count, state in counted if count)
        things = "folds" if any("(fold " in name for name in self.seeds) else "seeds"
        count = len(self.seeds) if odd else self.fits
        many = f"{count} {things}" if count > 1 else ""
        if many and things == "folds" and metric not in POINTWISE:
            many = f"mean of {many}, each judged alone"
        return f" ({', '.join(part for part in (many, odd) if part)})" if many else ""


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
        self.runs: dict[str, _Run] = {}
        self.notes: list[str] = []
        self.job = ""
        self._run_of: dict[str, str] = {}
        self._told: set[tuple[str, str]] = set()
        self._clock = clock
        self._began = clock()
        self._live: Any = None
        self._lock = threading.RLock()

    def start(self) -> None:
        """Begin to show; called by `plan` where nobody has."""
        self._began = self._clock()
        if self.terminal and self._live is None and progress._verbosity >= progress.NORMAL:
            from rich.live import Live

            console = disclosure.console(file=self.stream, force_terminal=True)
            self._live = Live(get_renderable=self.table, console=console, refresh_per_second=4, transient=True)
            self._live.start()
            progress.show_in(self._progress)

    def overview(self, lines: Sequence[str]) -> None:
        """What the images are, before any work."""
        for line in lines:
            self._say(line)

    def plan(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """All tasks that are expected: rows with "run" and "seed".

        Where they are known, also the "name" of both, and the "key" that seeds share if they repeat the same fit.
        """
        with self._lock:
            for row in rows:
                run = str(row["run"])
                plain = f"{run} (seed {row['seed']})" if "seed" in row else run
                name = str(row.get("name", plain))
                self._run_of[name] = run
                self.runs.setdefault(run, _Run(run)).seeds.setdefault(name, _Seed(str(row.get("key", ""))))
        self.start()
        things = "folds" if any("(fold " in str(row.get("name")) for row in rows) else "seeds"
        runs = "1 run" if len(self.runs) == 1 else f"{len(self.runs)} runs"
        self._say(f"{runs} to do{self._how_often(things)}")

    def _how_often(self, things: str) -> str:
        """Describe with how many seeds each run is done, and where they repeat the same fit."""
        seeds = max((len(run.seeds) for run in self.runs.values()), default=1)
        fits = [run.fits for run in self.runs.values()]
        each = " each" if len(fits) > 1 else ""
        if seeds == 1:
            return ""
        if max(fits) == 1:
            return f"; the {seeds} {things}{each and f' of{each}'} give the same model and count as one"
        if min(fits) == max(fits):
            return f",{each} with {max(fits)} {things}"
        return f", with up to {max(fits)} {things} each: those that give the same model count as one"

    def running(self, run: str) -> None:
        """A task began."""
        with self._lock:
            seed = self._seed(run)
            seed.state, seed.started = RUNNING, self._clock()

    def reused(self, run: str) -> None:
        """A task was found done."""
        self._end(run, REUSED)

    def done(self, run: str, score: float, seconds: float | None = None, images: int | None = None) -> None:
        """A task ended with this score on so many test images; it took these seconds, or those since it began."""
        with self._lock:
            seed = self._seed(run)
            seed.score, seed.images = score, images
            since = None if seed.started is None else self._clock() - seed.started
            seed.seconds = since if seconds is None else seconds
        self._end(run, DONE)

    def failed(self, run: str, why: str) -> None:
        """A task failed; the same reason is told once for each run."""
        self._seed(run).why = why
        owner = self._run(run).name
        if (owner, why) not in self._told:
            self._told.add((owner, why))
            self._say(f"{run}: failed: {why}")
        self._end(run, FAILED)

    def note(self, text: str) -> None:
        """Something to tell the user."""
        with self._lock:
            self.notes.append(text)
        self._say(text)

    def close(self) -> None:
        """Close the display; on a terminal, keep failures and notes."""
        if self._live is not None:
            progress.show_in(None)
            self._live.stop()
        with self._lock:
            for seed in (seed for run in self.runs.values() for seed in run.seeds.values()):
                seed.state = seed.state if seed.state in _ENDED else NOT_RUN
        if self._live is not None:
            self._live = None
            for line in (*(f"{run}: failed: {why}" for run, why in self._reasons()), *self.notes):
                self._say(line)
        else:
            for run in self.runs.values():
                if run.state == PARTLY and run.score is not None:
                    self._tell(run)
        if self.runs:
            self._say(f"{self._counts()} in {units.duration(self._clock() - self._began)}")

    def seconds_left(self) -> float | None:
        """Return an estimate from the mean time of what was done, or None before anything was."""
        with self._lock:
            states = [state for run in self.runs.values() for state in run.states]
        waiting, finished = sum(state not in _ENDED for state in states), states.count(DONE)
        if not finished or not waiting:
            return 0.0 if states and not waiting else None
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
            table.add_column(measure_name(self.metric), justify="right")
            table.add_column("time", justify="right")
            shown = self._shown()
            for run in shown:
                score = "" if run.score is None else numbers.score(run.score, self.metric)
                ended = sum(state in _ENDED for state in run.states)
                count = f" {ended}/{len(run.seeds)}" if run.state == RUNNING and len(run.seeds) > 1 else ""
                table.add_row(Text(run.name), Text(run.state + count, style=_STYLES[run.state]), score, self._took(run))
            if len(shown) < len(self.runs):
                table.add_row(Text(f"… {len(self.runs) - len(shown)} more", style="dim"))
            failed = [Text(f"{run}: {why}", style="red") for run, why in self._reasons()]
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

    def _shown(self) -> list[_Run]:
        """Return the failed and running ones, then the last that ended, then the next in the queue."""
        runs = list(self.runs.values())
        ended = sorted((run for run in runs if run.state in (DONE, REUSED)), key=lambda run: -run.ended)
        first = [run for run in runs if run.state in (RUNNING, FAILED)]
        chosen = [*first, *ended[: max(4, _SHOWN - len(first) - 4)], *(r for r in runs if r.state == QUEUED)][:_SHOWN]
        return [run for run in runs if run in chosen]

    def _took(self, run: _Run) -> str:
        began = [seed.started for seed in run.seeds.values() if seed.state == RUNNING and seed.started is not None]
        if began:
            return units.duration(self._clock() - min(began))
        return units.duration(run.seconds) if run.seconds is not None else ""

    def _reasons(self) -> list[tuple[str, str]]:
        """Return (run, why) of what failed, each once."""
        pairs = [(run.name, seed.why) for run in self.runs.values() for seed in run.seeds.values()]
        return [pair for pair in dict.fromkeys(pairs) if pair[1]]

    def _run(self, name: str) -> _Run:
        run = self._run_of.setdefault(name, name)
        return self.runs.setdefault(run, _Run(run))

    def _seed(self, name: str) -> _Seed:
        return self._run(name).seeds.setdefault(name, _Seed())

    def _end(self, name: str, state: str) -> None:
        """Note the end of one seed; tell of the run when it was the last and something of it was done now."""
        with self._lock:
            seed, run = self._seed(name), self._run(name)
            seed.state, seed.ended = state, self._clock()
            over = run.state in _ENDED
        if over and run.score is not None:
            self._tell(run)

    def _tell(self, run: _Run) -> None:
        score = numbers.score(run.score, self.metric)
        took = f" in {units.duration(run.seconds)}" if run.seconds is not None else ""
        ended = sum(each.state in _ENDED for each in self.runs.values())
        self._say(f"{run.name}: {score}{run.words(self.metric)}{took}; {ended} of {len(self.runs)} runs ended")

    def _counts(self) -> str:
        with self._lock:
            states = [run.state for run in self.runs.values()]
        parts = [
            f"{states.count(state)} {state}"
            for state in (DONE, REUSED, RUNNING, QUEUED, PARTLY, NOT_RUN, FAILED)
            if state in states
        ]
        return ", ".join(parts) or "nothing to do"

    def _say(self, line: str) -> None:
        """Write a plain line where there is no table."""
        if self._live is None and progress._verbosity >= progress.NORMAL:
            disclosure.show(disclosure.wrapped(line, self.stream), self.stream)


_STYLES = {QUEUED: "dim", RUNNING: "bold cyan", REUSED: "green", DONE: "green", FAILED: "bold red"}
