from __future__ import annotations

import io

import pytest
from rich.console import Console

from headstart.progress import progress
from headstart.report.render.live import LiveStudy

PLAN = [{"run": run, "seed": seed} for run in ("ridge", "knn") for seed in (0, 1)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(live: LiveStudy) -> str:
    console = Console(width=120, file=io.StringIO())
    with console.capture() as capture:
        console.print(live.table())
    return capture.get()


def test_without_a_terminal_each_event_is_one_plain_line() -> None:
    stream = io.StringIO()
    live = LiveStudy(stream, clock=Clock())
    live.plan(PLAN)
    live.running("ridge (seed 0)")
    live.done("ridge (seed 0)", 0.912)
    live.reused("ridge (seed 1)")
    live.failed("knn (seed 0)", "the loss became NaN")
    live.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "4 runs to do"
    assert lines[1].startswith("ridge (seed 0): 91.2 %")
    assert lines[2] == "ridge (seed 1): reused"
    assert lines[3] == "knn (seed 0): failed: the loss became NaN"
    assert lines[4].startswith("1 done, 1 reused, 1 queued, 1 failed")
    assert "\x1b" not in stream.getvalue()


def test_the_table_counts_what_is_done_running_and_queued() -> None:
    live = LiveStudy(io.StringIO(), clock=Clock())
    live.plan(PLAN)
    live.running("ridge (seed 0)")
    text = shown(live)
    assert "1 running, 3 queued" in text
    assert "ridge (seed 0)" in text


def test_the_time_left_is_the_pace_so_far_times_what_waits() -> None:
    clock = Clock()
    live = LiveStudy(io.StringIO(), clock=clock)
    live.plan(PLAN)
    assert live.seconds_left() is None
    live.running("ridge (seed 0)")
    clock.now = 10.0
    live.done("ridge (seed 0)", 0.9)
    assert live.seconds_left() == pytest.approx(30.0)


def test_a_terminal_gets_a_table_and_the_last_one_stays() -> None:
    stream = io.StringIO()
    live = LiveStudy(stream, terminal=True)
    live.plan(PLAN)
    live.running("knn (seed 0)")
    live.done("knn (seed 0)", 0.5)
    live.close()
    assert "\x1b[" in stream.getvalue()
    assert "50.0 %" in stream.getvalue()


def test_progress_of_one_job_stands_in_the_table_instead_of_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.progress._PATIENCE", 0.0)
    live = LiveStudy(io.StringIO(), terminal=True)
    live.plan(PLAN)
    with progress("fitting", 10, "epochs") as ticker:
        ticker.advance(3, note="loss 0.4321")
        during = shown(live)
    after = shown(live)
    live.close()
    assert "fitting 3/10 epochs" in during
    assert "loss 0.4321" in during
    assert "fitting" not in after
