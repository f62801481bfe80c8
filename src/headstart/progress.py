"""Progress that appears only when a job takes over two seconds: a bar in a terminal or notebook, lines elsewhere."""

from __future__ import annotations

import contextlib
import html
import os
import sys
import threading
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
_STAYS = 1.0  # seconds for which the bar of one of several jobs keeps the line

_verbosity = int(os.environ.get("HEADSTART_VERBOSITY", NORMAL))
_display: Callable[[Ticker | None], None] | None = None
_drawing = threading.RLock()
_drawn: Ticker | None = None  # whose bar is in the terminal: one at a time


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
        self._over = False
        self._updated = 0.0

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

    def appear(self) -> None:
        """Draw the bar although nothing is done yet, unless another job within this one has drawn its own."""
        with _drawing:
            if _drawn is None and not self._over and _verbosity >= NORMAL:
                self._draw(time.monotonic())

    def close(self) -> None:
        """Remove the bar from the screen."""
        global _drawn
        if _display is not None:
            _display(None)
        with _drawing:
            self._over = True
            self._hide()
            _drawn = None if _drawn is self else _drawn
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
        """Return how long the rest takes at the rate so far, in words; "" before anything is done, or when all is."""
        if not 0 < self.done < self.total:
            return ""
        return f"{duration((now - self._started) / self.done * (self.total - self.done))} left"

    def _draw(self, now: float) -> None:
        global _drawn
        with _drawing:
            if _drawn is not None and _drawn is not self:
                if now - _drawn._updated < _STAYS:  # of several jobs at once, one keeps the line
                    return
                _drawn._hide()
            _drawn, self._updated = self, now
            said = ", ".join(part for part in (self._count(), self._left(now), self.note) if part)
            if self._bar is None:
                from rich.progress import BarColumn, Progress, TextColumn

                title, text = (TextColumn(f"{{task.{name}}}", markup=False) for name in ("description", "fields[said]"))
                self._bar = Progress(title, BarColumn(), text, console=console(stderr=True), transient=True)
                self._task = self._bar.add_task(self.title, total=self.total, said=said)
                self._bar.start()
            self._bar.update(self._task, completed=self.done, total=self.total, said=said)

    def _hide(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextlib.contextmanager
def progress(title: str, total: int, unit: str = "images") -> Iterator[Ticker]:
    """Show progress of one job; nothing is shown if it takes under two seconds.

    In a terminal the bar appears then, even before the first piece is done.
    """
    ticker = Ticker(title, total, unit)
    timer = threading.Timer(_PATIENCE, ticker.appear)
    timer.daemon = True
    if _display is None and not in_notebook() and sys.stderr.isatty():
        timer.start()
    try:
        yield ticker
    finally:
        timer.cancel()
        ticker.close()


def _bar(share: float, line: str) -> str:
    """Return a bar as HTML, in colours that suit light and dark pages."""
    track = "width: 12em; height: .6em; border-radius: .3em; background: rgb(128 128 128 / 25%); overflow: hidden"
    filled = f"width: {100 * min(1.0, share):.1f}%; height: 100%; background: #17909c"
    return (
        f'<div style="display: flex; align-items: center; gap: .8em"><div style="{track}"><div style="{filled}"></div>'
        f"</div><span>{html.escape(line)}</span></div>"
    )
