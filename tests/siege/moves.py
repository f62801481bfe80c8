"""Moves: the study's folder is renamed, moved with its parent or deleted with it, at a random moment of the study.

It ends in one line that says so and makes nothing in the old place; in the new place it continues to the same bits.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tests.siege import scene
from tests.siege.forked import run_forked
from tests.siege.rehearsal import Attempt, check_same, ended_well, rehearsed
from tests.siege.siege import Attack, Broken

OLD, NEW = "out", "elsewhere"
LATEST = 0.8  # of the time that the study took before: machines are not always as slow
PATIENCE = 20.0  # seconds until a study has begun


def _renamed(place: Path) -> None:
    (place / OLD / scene.NAME).rename(place / OLD / NEW)


def _moved(place: Path) -> None:
    (place / OLD).rename(place / NEW)


def _deleted(place: Path) -> None:
    while (place / OLD).exists():  # again where the study writes between the last two looks
        shutil.rmtree(place / OLD, ignore_errors=True)


def _back(place: Path) -> None:
    (place / OLD / NEW).rename(place / OLD / scene.NAME)


def _nothing(place: Path) -> None:
    pass


MOVES: dict[str, tuple[Callable[[Path], None], Callable[[Path], None], str]] = {
    "renamed": (_renamed, _back, OLD),
    "moved": (_moved, _nothing, NEW),
    "deleted": (_deleted, _nothing, OLD),
}
"""By name, what is done, what before the study is continued, and where that is."""


def prepare(scratch: Path) -> Attack:
    """Run the study undisturbed, and see how long it takes now: an earlier siege may have seen a busier machine."""
    rehearsal = rehearsed(scratch)
    whole = ended_well(run_forked(rehearsal.study(scratch / "whole")), "no disturbance").seconds

    def attempt(one: Attempt) -> str:
        place, how = one.place, one.draw.choice(sorted(MOVES))
        move, prepared, out = MOVES[how]
        struck: list[bool] = []
        after = one.draw.uniform(0, LATEST * whole)
        ended = run_forked(one.study, kill_after=after, strike=lambda _: struck.append(_done(move, place)))
        if not any(struck):
            return f"{how}: there was nothing yet, or the study had ended"
        lines = [line for line in ended.said.splitlines() if line.startswith("headstart: ")]
        if ended.status not in (0, 2) or (ended.status == 2 and (len(lines) != 1 or "was moved" not in lines[0])):
            raise Broken(f"{how}: ended with {ended.status}: {ended.said[-2000:]}")
        if (place / OLD / scene.NAME).exists():
            raise Broken(f"{how}: {sorted((place / OLD / scene.NAME).rglob('*'))[:5]} were made in the old place")
        prepared(place)
        one.finish(f"it was {how}", out=out)
        if out != OLD:
            (place / out).rename(place / OLD)
        check_same(place, rehearsal.wanted, f"{how}: ")
        return f"{how}: {'one line' if ended.status else 'after all was written'}, then continued"

    return rehearsal.attack(attempt)


def _done(move: Callable[[Path], None], place: Path) -> bool:
    """Do it as soon as there is a study, and say whether there was anything to be moved."""
    end = time.monotonic() + PATIENCE
    while not (place / OLD / scene.NAME / "study.json").is_file():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    try:
        move(place)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
