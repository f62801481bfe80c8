"""Crowds: several processes run one study at once, some are killed; the others end well, with the same bits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.siege.forked import run_forked
from tests.siege.rehearsal import Attempt, check_same, rehearsed
from tests.siege.siege import Attack, Broken


def prepare(scratch: Path) -> Attack:
    """Run the study once alone, and see how long it takes."""
    rehearsal = rehearsed(scratch)
    whole = rehearsal.whole.seconds

    def attempt(one: Attempt) -> str:
        draw = one.draw
        kills = [draw.uniform(0, whole) if draw.random() < 0.3 else None for _ in range(draw.randrange(2, 5))]
        with ThreadPoolExecutor(len(kills)) as crowd:
            ended = list(crowd.map(lambda after: run_forked(one.study, kill_after=after), kills))
        for process in ended:
            if process.status not in (0, -9):
                raise Broken(f"one of {len(kills)} ended with {process.status}: {process.said[-2000:]}")
        killed = sum(process.status == -9 for process in ended)
        if killed:  # perhaps all
            one.finish("a crowd")
        check_same(one.place, rehearsal.wanted)
        return f"{len(kills)} at once, {killed} killed"

    return rehearsal.attack(attempt)
