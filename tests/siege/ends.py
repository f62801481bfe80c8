"""Kills in the first and in the last second of a study that takes at least eight: continued, it gives the same bits.

Attempts take turns. One begins the study and kills it in its first second; the other continues it from the state that a
kill left shortly before its last second, and kills it in that one. Seconds are of processor time, so that other work on
the machine does not move them.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from headstart.study.results.folder import StudyFolder
from tests.siege import scene
from tests.siege.forked import Ended, run_forked, work_clock
from tests.siege.kills import check_continued, finished, is_seen_as_ended
from tests.siege.rehearsal import Attempt, Rehearsal, ended_well, rehearsed
from tests.siege.siege import Attack, Broken

_EDGE = 1.0  # seconds
_STEP = 0.5  # seconds: how far one moment to look for the last second is from the next
_LEAST = 8.0  # seconds that the study takes


def spec(pictures: Path) -> dict[str, Any]:
    """Return the study: as the small one, with a pass over more pictures and longer trainings."""
    short = scene.spec(pictures)
    tuned = {"strategy": "scratch", "recipe": {"epochs": 40, "batch_size": 8, "lr": {"grid": [0.01, 0.05]}}}
    return {**short, "runs": {**short["runs"], "tuned": tuned}}


def draw(folder: Path) -> Path:
    """Draw the pictures."""
    return scene.draw(folder, per_class=60)


def run(pictures: Path, place: Path) -> StudyFolder:
    """Run the study in `place`."""
    return scene.run(pictures, place, spec)


def prepare(scratch: Path) -> Attack:
    """Run the study to its end, once more until shortly before it, and from there; see how long each takes."""
    rehearsal = rehearsed(scratch, draw, run)
    whole = rehearsal.whole.worked
    if whole < _LEAST:
        raise Broken(f"the study takes {whole:.1f} s: too few for this siege")
    late, left = _shortly_before_the_last(rehearsal, whole)

    def attempt(one: Attempt) -> str:
        if one.seed % 2:
            shutil.copytree(late, one.place, dirs_exist_ok=True)
            moment, second = left - one.draw.uniform(0, _EDGE), "last"
        else:
            moment, second = one.draw.uniform(0, _EDGE), "first"
        before = finished(one.place)
        struck = _killed(one.study, moment, one.place)
        done = {**finished(one.place), **before}
        one.finish(f"a kill in the {second} second")
        check_continued(one.place, rehearsal.wanted, done)
        return f"in the {second} second: {'killed' if struck.status == -9 else 'had ended by then'}"

    return rehearsal.attack(attempt)


def _shortly_before_the_last(rehearsal: Rehearsal, whole: float) -> tuple[Path, float]:
    """Return the state that a kill leaves before the last second, and the least time that the rest takes from it.

    Its time varies from run to run, so that a moment is tried until it comes before the last second.
    """
    moment = whole - _EDGE
    while moment > _EDGE:
        moment -= _STEP
        late = rehearsal.scratch / f"killed-after-{moment:.2f}"
        late.mkdir()
        if _killed(rehearsal.study(late), moment, late).status == -9:
            copies = [shutil.copytree(late, late.with_name(f"{late.name}-{copy}")) for copy in range(2)]
            left = min(ended_well(run_forked(rehearsal.study(copy)), "a kill").worked for copy in copies)
            if left > _EDGE:
                return late, left
    raise Broken("no state before its last second was found")


def _killed(study: partial[StudyFolder], moment: float, place: Path) -> Ended:
    ended = run_forked(study, kill_after=moment, clock=work_clock)
    if ended.status not in (-9, 0):
        raise Broken(f"ended with {ended.status} before it was killed: {ended.said[-2000:]}")
    is_seen_as_ended(place, killed=ended.status == -9)
    return ended
