"""Kills in the first and in the last second of a study that takes at least eight: continued, it gives the same bits.

The study is killed in its first second, continued, killed in the last second of what is left, and continued to its end.
Seconds are of processor time, so that other work on the machine does not move them.
"""

from __future__ import annotations

import random
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart.study.results.folder import StudyFolder
from tests.siege import scene
from tests.siege.forked import Ended, run_forked, work_clock
from tests.siege.kills import check_continued, finished, is_seen_as_ended
from tests.siege.rehearsal import rehearsed
from tests.siege.siege import Attack, Broken

_EDGE = 1.0  # seconds
_LEAST = 8.0  # seconds that the study takes
_TRIED = (0.2, 0.5, 0.8)  # seconds after which it is killed to see how long it then takes


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
    """Run the study once without a kill, and see how long it takes, also after a kill in its first second."""
    pictures, wanted = rehearsed(scratch, draw, run)
    whole = run_forked(partial(run, pictures, scratch / "whole")).worked
    if whole < _LEAST:
        raise Broken(f"the study takes {whole:.1f} s: too few for this siege")
    left = [_left_after(moment, partial(run, pictures, scratch / f"after-{moment}")) for moment in _TRIED]

    def attack(seed: int) -> list[str]:
        generator, place = random.Random(seed), scratch / f"attempt-{seed}"
        place.mkdir()
        study = partial(run, pictures, place)
        try:
            early, late = generator.uniform(0, _EDGE), generator.uniform(0, _EDGE)
            first = _killed(study, early, place)
            done = finished(place)
            second = _killed(study, float(np.interp(early, _TRIED, left)) - late, place)
            done = {**finished(place), **done}
            last = run_forked(study)
            if last.status:
                raise Broken(f"it ends with {last.status}: {last.said[-2000:]}")
            check_continued(place, wanted, done)
            return [f"in the first second: {_how(first)}", f"in the last second: {_how(second)}"]
        finally:
            shutil.rmtree(place)

    return attack


def _left_after(moment: float, study: partial[StudyFolder]) -> float:
    """Return how long a study takes after it was killed at a moment."""
    run_forked(study, kill_after=moment, clock=work_clock)
    return run_forked(study).worked


def _killed(study: partial[StudyFolder], moment: float, place: Path) -> Ended:
    ended = run_forked(study, kill_after=moment, clock=work_clock)
    if ended.status not in (-9, 0):
        raise Broken(f"ended with {ended.status} before it was killed: {ended.said[-2000:]}")
    is_seen_as_ended(place, killed=ended.status == -9)
    return ended


def _how(ended: Ended) -> str:
    return "killed" if ended.status == -9 else "had ended by then"
