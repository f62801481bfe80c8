"""Kills in the first and in the last second of a study that takes at least eight: continued, it gives the same bits.

The study is killed in its first second, continued, killed in its last second, and continued to its end. Seconds are of
processor time, so that other work on the machine does not move them. The last one begins with the file that was written
at that time when the study ran undisturbed.
"""

from __future__ import annotations

import random
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

from headstart.study.results.folder import StudyFolder
from tests.siege import scene
from tests.siege.forked import Clock, Ended, run_forked, work_clock
from tests.siege.kills import check_continued, finished, is_seen_as_ended
from tests.siege.rehearsal import rehearsed
from tests.siege.siege import Attack, Broken

_EDGE = 1.0  # seconds
_LEAST = 8.0  # seconds that the study takes


def spec(pictures: Path) -> dict[str, Any]:
    """Return the study: as the small one, with a pass over more pictures and longer trainings."""
    short = scene.spec(pictures)
    tuned = {"strategy": "scratch", "recipe": {"epochs": 24, "batch_size": 8, "lr": {"grid": [0.01, 0.05]}}}
    return {**short, "runs": {**short["runs"], "tuned": tuned}}


def draw(folder: Path) -> Path:
    """Draw the pictures."""
    return scene.draw(folder, per_class=60)


def run(pictures: Path, place: Path) -> StudyFolder:
    """Run the study in `place`."""
    return scene.run(pictures, place, spec)


def prepare(scratch: Path) -> Attack:
    """Run the study twice without a kill, and see how long it takes and what is there a second before its end."""
    pictures, wanted = rehearsed(scratch, draw, run)
    began = time.time()
    whole = run_forked(partial(run, pictures, scratch / "whole"))
    if whole.worked < _LEAST:
        raise Broken(f"the study takes {whole.worked:.1f} s: too few for this siege")
    sign = _sign(scratch / "whole", began + whole.seconds * (1 - _EDGE / whole.worked))

    def attack(seed: int) -> list[str]:
        generator, place = random.Random(seed), scratch / f"attempt-{seed}"
        place.mkdir()
        study = partial(run, pictures, place)
        try:
            first = _killed(study, generator.uniform(0, _EDGE), work_clock, place)
            done = finished(place)
            second = _killed(study, generator.uniform(0, _EDGE / 2), _since(place / sign), place)  # not after its end
            done = {**finished(place), **done}
            last = run_forked(study)
            if last.status:
                raise Broken(f"it ends with {last.status}: {last.said[-2000:]}")
            check_continued(place, wanted, done)
            return [f"in the first second: {_how(first)}", f"in the last second: {_how(second)}"]
        finally:
            shutil.rmtree(place)

    return attack


def _sign(place: Path, moment: float) -> Path:
    """Return the last file, relative to the place, that the study wrote into its folder before a moment."""
    files = [path for path in (place / "out").rglob("*.json") if path.is_file()]  # whose names are the same each time
    written = {path: path.stat().st_mtime for path in files}
    return max((path for path in written if written[path] <= moment), key=lambda path: written[path]).relative_to(place)


def _since(sign: Path) -> Clock:
    """Return a clock that counts the processor time from the moment on at which a file is there."""
    began_at: list[float] = []

    def clock(process: int, began: float) -> float:
        if not began_at and sign.exists():
            began_at.append(work_clock(process, began))
        return work_clock(process, began) - began_at[0] if began_at else -1.0

    return clock


def _killed(study: partial[StudyFolder], moment: float, clock: Clock, place: Path) -> Ended:
    ended = run_forked(study, kill_after=moment, clock=clock)
    if ended.status not in (-9, 0):
        raise Broken(f"ended with {ended.status} before it was killed: {ended.said[-2000:]}")
    is_seen_as_ended(place, killed=ended.status == -9)
    return ended


def _how(ended: Ended) -> str:
    return "killed" if ended.status == -9 else "had ended by then"
