"""Kills: SIGKILL at random moments of a study; continued, it gives the same bits, and redoes nothing that was done."""

from __future__ import annotations

import json
import random
from pathlib import Path

from headstart.study.results.folder import StudyFolder
from tests.siege import scene
from tests.siege.forked import run_forked
from tests.siege.rehearsal import Attempt, check_same, rehearsed
from tests.siege.siege import Attack, Broken

_EDGE = 1.0  # seconds: at least a quarter of the kills are aimed at the first and the last one
_MOST = 8  # kills of one study


def prepare(scratch: Path) -> Attack:
    """Run the study once without a kill, and once more when it is finished, and see how long each takes."""
    rehearsal = rehearsed(scratch)
    whole = rehearsal.whole.seconds
    again = rehearsal.finished.seconds

    def attempt(one: Attempt) -> str:
        count = one.draw.randrange(1, _MOST + 1)
        kills = edge = 0
        left, done = whole, dict[str, float]()
        while kills < count:
            moment = moment_of(one.draw, left)
            ended = run_forked(one.study, kill_after=moment)
            if ended.status not in (-9, 0):
                raise Broken(f"ended with {ended.status} before it was killed: {ended.said[-2000:]}")
            is_seen_as_ended(one.place, killed=ended.status == -9)
            if ended.status == 0:
                break
            kills += 1
            edge += moment < _EDGE or moment > left - _EDGE
            left = max(again, left - moment)
            done = {**finished(one.place), **done}
        one.finish(f"{kills} kills")
        check_continued(one.place, rehearsal.wanted, done)
        return f"continued after {kills} kills, {edge} of them in the first or last second"

    return rehearsal.attack(attempt)


def finished(place: Path) -> dict[str, float]:
    """Return when each entry of the cache that is complete was made."""
    found = {}
    for manifest in sorted((place / "cache").glob("[!.]*/[!.]*/manifest.json")):
        if not manifest.parent.name.endswith(".partial"):
            found["/".join(manifest.parts[-3:-1])] = json.loads(manifest.read_text())["created"]
    return found


def moment_of(draw: random.Random, whole: float) -> float:
    """Return seconds from the beginning of a study that takes `whole`; a quarter of them are near one of its ends."""
    if draw.random() < 0.25:
        near = min(_EDGE, whole / 2) * draw.random()
        return near if draw.random() < 0.5 else whole - near
    return whole * draw.random()


def is_seen_as_ended(place: Path, *, killed: bool) -> None:
    """Check the status that a study is shown with.

    Raises:
        Broken: it counts as running, or as complete though it was killed.
    """
    root = place / "out" / scene.NAME
    if not (root / "study.json").is_file():
        return
    status = StudyFolder(root).read_study()["status"]
    if status == "running" or (not killed and status != "complete"):
        raise Broken(f"the study is shown as {status} though its process {'was killed' if killed else 'has ended'}")


def check_continued(place: Path, wanted: dict[str, object], done: dict[str, float]) -> None:
    """Check the results of a study that was continued.

    Raises:
        Broken: they are others, what was done was done again, or a stale file is left.
    """
    check_same(place, wanted)
    now = finished(place)
    if redone := [entry for entry, made in done.items() if now.get(entry) != made]:
        raise Broken(f"what was finished was made again: {redone}")
