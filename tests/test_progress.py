"""Progress: silent for two seconds, then a plain line at most every five."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from rich.console import Console

from headstart import progress as module
from headstart.progress import NORMAL, QUIET, VERBOSE, Ticker, progress, say, set_verbosity, show_in, verbosity


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that progress reads; verbosity and display are restored."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    monkeypatch.setattr(module, "_verbosity", NORMAL)
    monkeypatch.setattr(module, "_display", None)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return what bars draw, as if standard error were a terminal of 100 columns."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    drawn = Terminal()
    monkeypatch.setattr(module, "console", lambda **_: Console(file=drawn, width=100, force_terminal=True))
    monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=drawn))
    return drawn


def shown(drawn: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn.getvalue())


def test_lines_appear_after_five_seconds_and_then_every_five(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    ticker = Ticker("decoding", 100, "images")
    for now in (101.9, 104.9):
        clock.now = now
        ticker.advance(5)
        assert capsys.readouterr().err == ""
    clock.now = 105.0
    ticker.advance(10, note="loss 0.5")  # 20 in 5 seconds: 4 a second, 80 left take 20 seconds
    assert capsys.readouterr().err == "decoding: 20/100 images, 4.0/s, 20.0 s left, loss 0.5\n"
    clock.now = 109.9
    ticker.advance(1)
    assert capsys.readouterr().err == ""
    clock.now = 110.0
    ticker.advance(29)  # the note remains; 50 in 10 seconds, 50 left take 10
    assert capsys.readouterr().err == "decoding: 50/100 images, 5.0/s, 10.0 s left, loss 0.5\n"


def test_before_anything_is_done_no_time_is_given(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    ticker = Ticker("training", 3, "epochs")
    clock.now = 106.0
    ticker.advance(0)
    assert capsys.readouterr().err == "training: 0/3 epochs\n"


def test_what_takes_over_a_second_has_the_time_of_each(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    ticker = Ticker("training", 4016, "epochs")
    clock.now = 150.0
    ticker.advance(20)  # 20 in 50 seconds: 2.5 seconds each, 3,996 left take 9,990 seconds
    assert capsys.readouterr().err == "training: 20/4,016 epochs, 2.5 s each, 2 h 46 min left\n"


def test_a_bar_in_a_terminal_has_the_unit_and_the_time_left_in_words(clock: Clock, terminal: io.StringIO) -> None:
    with progress("decoding", 6000) as ticker:
        clock.now = 110.0
        ticker.advance(1500, note="loss 0.5")  # 150 a second: 4,500 left take 30 seconds
        assert "1,500/6,000 images, 30.0 s left, loss 0.5" in shown(terminal)
        ticker.advance(4500)
    assert "6,000/6,000 images, loss 0.5" in shown(terminal)


def test_a_bar_appears_in_a_terminal_before_the_first_piece_is_done(
    clock: Clock, terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[tuple[float, Callable[[], None]]] = []

    class Timer:
        daemon = False

        def __init__(self, after: float, act: Callable[[], None]) -> None:
            timers.append((after, act))

        def start(self) -> None:
            timers.append(timers.pop())

        def cancel(self) -> None:
            timers.append((0.0, timers[-1][1]))

    monkeypatch.setattr(module.threading, "Timer", Timer)
    with progress("benchmark", 5, "forms"):
        ((after, appear),) = timers
        assert after == 2.0 and shown(terminal) == ""
        appear()
        assert "0/5 forms" in shown(terminal) and "left" not in shown(terminal)
    assert timers[-1][0] == 0.0  # cancelled
    drawn = terminal.getvalue()
    appear()  # a timer that comes late
    assert terminal.getvalue() == drawn


def test_a_job_within_a_job_has_the_only_bar(clock: Clock, terminal: io.StringIO) -> None:
    with progress("export", 3, "formats") as outer:
        clock.now = 103.0
        outer.advance(1)
        with progress("decoding", 10) as inner:
            clock.now = 106.0
            inner.advance(5)
            assert outer._bar is None and inner._bar is not None
            outer.appear()
            assert outer._bar is None
        outer.advance(1)
        assert outer._bar is not None
    assert "2/3 formats" in shown(terminal) and "5/10 images" in shown(terminal)


def test_quiet_prints_nothing_and_still_counts(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    set_verbosity(QUIET)
    assert verbosity() == QUIET
    ticker = Ticker("training", 3, "epochs")
    clock.now = 200.0
    ticker.advance(2)
    say("a line")
    assert ticker.done == 2 and capsys.readouterr().err == ""


def test_a_line_is_printed_up_to_the_verbosity(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    say("normal")
    say("details", VERBOSE)
    assert capsys.readouterr().err == "normal\n"
    set_verbosity(VERBOSE)
    say("details", VERBOSE)
    assert capsys.readouterr().err == "details\n"


def test_a_display_gets_each_step_after_two_seconds_and_the_end(clock: Clock) -> None:
    seen: list[tuple[str, int] | None] = []
    show_in(lambda ticker: seen.append(None if ticker is None else (ticker.title, ticker.done)))
    with pytest.raises(ValueError, match="stop"), progress("features", 10) as ticker:
        assert ticker.unit == "images"
        clock.now = 101.99
        ticker.advance()
        clock.now = 102.0
        ticker.advance(3)
        raise ValueError("stop")
    assert seen == [("features", 4), None]


def test_a_notebook_has_one_bar_that_is_drawn_in_place_and_goes(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    class Output:
        def draw(self, text: str, html: str) -> None:
            drawn.append(f"{text} | {html}")

        def clear(self) -> None:
            drawn.append("gone")

    monkeypatch.setattr(module, "in_notebook", lambda: True)
    monkeypatch.setattr(module, "Output", Output)
    with progress("<decoding>", 100) as ticker:
        for now in (101.9, 102.0, 102.1, 102.25):  # the second is the first that is shown, the third comes too soon
            clock.now = now
            ticker.advance(25)
    assert len(drawn) == 3 and drawn[-1] == "gone" and capsys.readouterr() == ("", "")
    assert drawn[0].startswith("<decoding>: 50/100 images, 25.0/s, 2.0 s left | ")
    assert "width: 50.0%" in drawn[0] and "&lt;decoding&gt;: 50/100" in drawn[0] and "width: 100.0%" in drawn[1]
