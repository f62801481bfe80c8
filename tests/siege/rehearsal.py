"""The study as it runs undisturbed: what each siege of processes prepares, and what must hold in the end."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from headstart.study.results.folder import StudyFolder
from tests.siege import scene
from tests.siege.forked import Ended, learn_imports, run_forked
from tests.siege.siege import Attack, Broken


@dataclass(frozen=True)
class Attempt:
    """One attempt on the study.

    Args:
        seed: its number.
        draw: what it draws from.
        place: a folder of its own, which is deleted after it.
        study: runs the study there.
    """

    seed: int
    draw: random.Random
    place: Path
    study: partial[StudyFolder]

    def finish(self, after: str, **how: Any) -> None:
        """Run the study to its end.

        Raises:
            Broken: it fails; the message says after what.
        """
        ended_well(run_forked(partial(self.study, **how)), after)


@dataclass(frozen=True)
class Rehearsal:
    """The study that was run once undisturbed.

    Args:
        scratch: where it was.
        pictures: of which it is.
        wanted: its results.
        run: runs it on the pictures in a place.
    """

    scratch: Path
    pictures: Path
    wanted: dict[str, object]
    run: Callable[[Path, Path], StudyFolder]
    _ended: list[Ended] = field(default_factory=list)

    @property
    def whole(self) -> Ended:
        """How the study ended in a process that has its imports."""
        return self._time(0)

    @property
    def finished(self) -> Ended:
        """How it ended where it was finished already."""
        return self._time(1)

    def _time(self, number: int) -> Ended:
        while len(self._ended) <= number:
            self._ended.append(self._again())
        return self._ended[number]

    def study(self, place: Path) -> partial[StudyFolder]:
        """Return what runs the study in a place."""
        return partial(self.run, self.pictures, place)

    def _again(self) -> Ended:
        return ended_well(run_forked(self.study(self.pictures.parent / "whole")), "no disturbance")

    def attack(self, attempted: Callable[[Attempt], str]) -> Attack:
        """Return the attack that makes each attempt in a new folder."""

        def attack(seed: int) -> str:
            place = self.scratch / f"attempt-{seed}"
            place.mkdir()
            try:
                return attempted(Attempt(seed, random.Random(seed), place, self.study(place)))
            finally:
                shutil.rmtree(place)

        return attack


_rehearsed: dict[object, Rehearsal] = {}  # by what draws the pictures and what runs the study


def rehearsed(
    scratch: Path,
    draw: Callable[[Path], Path] = scene.draw,
    run: Callable[[Path, Path], StudyFolder] = scene.run,
) -> Rehearsal:
    """Draw the pictures and run the study once, or take what an earlier siege of this process has left of both.

    Raises:
        Broken: it failed by itself.
    """
    known = _rehearsed.get((draw, run))
    if known is not None and known.pictures.exists():
        return replace(known, scratch=scratch)
    pictures = draw(scratch / "pictures")
    first = learn_imports(partial(run, pictures, scratch / "first"), scratch / "modules")
    if first.status:
        raise Broken(f"the study itself failed: {first.said[-2000:]}")
    found = Rehearsal(scratch, pictures, scene.results(scratch / "first"), run)
    _rehearsed[draw, run] = found
    return found


def ended_well(process: Ended, after: str) -> Ended:
    """Return a process that ended as it should.

    Raises:
        Broken: it failed; the message says after what.
    """
    if process.status:
        raise Broken(f"after {after} it ends with {process.status}: {process.said[-2000:]}")
    return process


def check_same(place: Path, wanted: dict[str, object], when: str = "") -> None:
    """Check the results of a study that was disturbed, and what it left.

    Raises:
        Broken: they are others, or a stale file is left; the message begins with `when`.
    """
    if changed := scene.differences(wanted, scene.results(place)):
        raise Broken(f"{when}another result: {changed[:3]}")
    if left := scene.stale(place):
        raise Broken(f"{when}left {left[:5]}")
