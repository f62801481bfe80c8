"""Signals: SIGTERM or SIGHUP at a random moment of a study: it ends in one line, and continues to the same bits."""

from __future__ import annotations

import signal
from pathlib import Path

from headstart.study.results.folder import StudyFolder
from tests.siege import scene
from tests.siege.forked import Ended, run_forked
from tests.siege.kills import check_continued, finished, moment_of
from tests.siege.rehearsal import Attempt, rehearsed
from tests.siege.siege import Attack, Broken


def prepare(scratch: Path) -> Attack:
    """Run the study once without a signal, and see how long it takes."""
    rehearsal = rehearsed(scratch)
    whole = rehearsal.whole.seconds

    def attempt(one: Attempt) -> str:
        number = one.draw.choice((signal.SIGTERM, signal.SIGHUP))
        ended = run_forked(one.study, kill_after=moment_of(one.draw, whole), number=number)
        how = _ended_well(ended, number, one.place)
        done = finished(one.place)
        one.finish(number.name)
        check_continued(one.place, rehearsal.wanted, done)
        return f"{number.name}: {how}"

    return rehearsal.attack(attempt)


def _ended_well(ended: Ended, number: signal.Signals, place: Path) -> str:
    if ended.status == -number and not any(place.iterdir()):
        return "before it began"
    status = "complete" if ended.status == 0 else "interrupted"
    lines = [line for line in ended.said.splitlines() if line.startswith("headstart: ")]
    if ended.status not in (0, 128 + number) or "Traceback" in ended.said or len(lines) != (ended.status != 0):
        raise Broken(f"{number.name}: ended with {ended.status}: {ended.said[-2000:]}")
    root = place / "out" / scene.NAME
    shown = StudyFolder(root).read_study()["status"] if (root / "study.json").is_file() else status
    if shown not in (status, "complete"):  # the signal may come when all is done
        raise Broken(f"{number.name}: the study is shown as {shown}, not as {status}")
    if left := [path for path in scene.stale(place) if ".partial" not in path]:  # the next attempt sweeps these
        raise Broken(f"{number.name}: left {left[:5]}")
    return status
