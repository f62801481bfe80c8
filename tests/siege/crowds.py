"""Crowds: several processes run one study at once, some are killed; the others end well, with the same bits."""

from __future__ import annotations

import random
import shutil
import threading
from functools import partial
from pathlib import Path

from tests.siege import scene
from tests.siege.forked import Ended, run_forked
from tests.siege.rehearsal import check_same, rehearsed, seconds_of
from tests.siege.siege import Attack, Broken


def prepare(scratch: Path) -> Attack:
    """Run the study once alone, and see how long it takes."""
    pictures, wanted = rehearsed(scratch)
    whole = seconds_of(pictures, scratch)

    def attack(seed: int) -> str:
        draw, place = random.Random(seed), scratch / f"attempt-{seed}"
        place.mkdir()
        study = partial(scene.run, pictures, place)
        kills = [draw.uniform(0, whole) if draw.random() < 0.3 else None for _ in range(draw.randrange(2, 5))]
        ended: list[Ended] = []
        crowd = [
            threading.Thread(target=lambda after: ended.append(run_forked(study, kill_after=after)), args=(each,))
            for each in kills
        ]
        try:
            for each in crowd:
                each.start()
            for each in crowd:
                each.join()
            for each in ended:
                if each.status not in (0, -9):
                    raise Broken(f"one of {len(kills)} ended with {each.status}: {each.said[-2000:]}")
            killed = sum(each.status == -9 for each in ended)
            if killed:  # perhaps all
                last = run_forked(study)
                if last.status:
                    raise Broken(f"after a crowd it ends with {last.status}: {last.said[-2000:]}")
            check_same(place, wanted)
            return f"{len(kills)} at once, {killed} killed"
        finally:
            shutil.rmtree(place)

    return attack
