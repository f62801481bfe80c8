"""Progress that appears only when a job takes over two seconds: a bar in a terminal or notebook, lines elsewhere."""

from __future__ import annotations

import contextlib
import html
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from headstart.disclosure import console, show, wrapped
from headstart.notebook import Output, in_notebook
from headstart.units import duration

QUIET, NORMAL, VERBOSE = 0, 1, 2
_PATIENCE = 2.0  # seconds before anything is shown
_EVERY = 5.0  # seconds between plain lines
_REDRAWN = 0.25  # seconds between two states of a bar in a notebook

_verbosity = int(os.environ.get("HEADSTART_VERBOSITY", NORMAL))
_display: Callable[[Ticker | None], None] | None = None


def set_verbosity(level: int) -> None:
    """Set how much is printed on standard error: QUIET, NORMAL or VERBOSE."""
    global _verbosity
    _verbosity = level


def verbosity() -> int:
    """Return how much is printed: QUIET, NORMAL or VERBOSE."""
    return _verbosity


def show_in(display: Callable[[Ticker | None], None] | None) -> None:
    """Send all progress to `display` (None: it ended) instead of drawing bars; None restores the bars."""
    global _display
    _display = display


def say(text: str, level: int = NORMAL) -> None:
    """Print one line on standard error, unless the verbosity is lower."""
    if _verbosity >= level:
        show(wrapped(text, sys.stderr), sys.stderr)


class Ticker:
    """A count towards a total; call `advance` after each piece of work."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0
        self.note = ""
        self._started = self._shown = time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        self._output: Output | None = None

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Count `count` more pieces done; `note` is shown at the end of the line (such as a current loss)."""
        self.done += count
        if note is not None:
            self.note = note
        if _verbosity < NORMAL:
            return
        now = time.monotonic()
        if now - self._started < _PATIENCE:
            return
        if _display is not None:
            _display(self)
        elif in_notebook():
            if self._output is None or now - self._shown >= _REDRAWN:
                self._shown = now
                self._output = self._output or Output()
                self._output.draw(self._line(now), _bar(self.done / max(1, self.total), self._line(now)))
        elif sys.stderr.isatty():
            self._draw(now)
        elif now - self._shown >= _EVERY:
            self._shown = now
            say(self._line(now))

    def close(self) -> None:
        """Remove the bar from the screen."""
        if _display is not None:
            _display(None)
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self._output is not None:
            self._output.clear()
            self._output = None

    def _line(self, now: float) -> str:
        parts = [f"{self.title}: {self._count()}", self._speed(now), self._left(now), self.note]
        return ", ".join(part for part in parts if part)

    def _count(self) -> str:
        return f"{self.done:,}/{self.total:,} {self.unit}"

    def _speed(self, now: float) -> str:
        rate = self.done / (now - self._started)
        return f"{rate:.1f}/s" if rate >= 1 else f"{duration(1 / rate)} each" if rate else ""

    def _left(self, now: float) -> str:
        """Say how long the rest takes at the rate so far; nothing before anything is done."""
        return f"{duration((now - self._started) / self.done * (self.total - self.done))} left" if self.done else ""

    def _draw(self, now: float) -> None:
        if self._bar is None:
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[said]}", markup=False),
            )
            self._bar = Progress(*columns, console=console(stderr=True), transient=True)
            self._task = self._bar.add_task(self.title, total=self.total, said="")
            self._bar.start()
        said = ", ".join(part for part in (self._count(), self._left(now), self.note) if part)
        self._bar.update(self._task, completed=self.done, said=said)


@contextlib.contextmanager
def progress(title: str, total: int, unit: str = "images") -> Iterator[Ticker]:
    """Show progress of one job; nothing is shown if it takes under two seconds."""
    ticker = Ticker(title, total, unit)
    try:
        yield ticker
    finally:
        ticker.close()


def _bar(share: float, line: str) -> str:
    """Return a bar as HTML, in colours that suit light and dark pages."""
    track = "width: 12em; height: .6em; border-radius: .3em; background: rgb(128 128 128 / 25%); overflow: hidden"
    filled = f"width: {100 * min(1.0, share):.1f}%; height: 100%; background: #17909c"
    return (
        f'<div style="display: flex; align-items: center; gap: .8em"><div style="{track}"><div style="{filled}"></div>'
        f"</div><span>{html.escape(line)}</span></div>"
    )
