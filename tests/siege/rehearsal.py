"""The study as it runs undisturbed: what each siege of processes prepares, and what must hold in the end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from headstart.study.results.folder import StudyFolder
from tests.siege import scene
from tests.siege.forked import learn_imports, run_forked
from tests.siege.siege import Broken


def rehearsed(
    scratch: Path,
    draw: Callable[[Path], Path] = scene.draw,
    run: Callable[[Path, Path], StudyFolder] = scene.run,
) -> tuple[Path, dict[str, object]]:
    """Run the study once; return its pictures and its results.

    Raises:
        Broken: it failed by itself.
    """
    pictures = draw(scratch / "pictures")
    first = learn_imports(partial(run, pictures, scratch / "first"), scratch / "modules")
    if first.status:
        raise Broken(f"the study itself failed: {first.said[-2000:]}")
    return pictures, scene.results(scratch / "first")


def seconds_of(pictures: Path, scratch: Path) -> float:
    """Return how long the study takes in a process that has its imports."""
    return run_forked(partial(scene.run, pictures, scratch / "whole")).seconds


def check_same(place: Path, wanted: dict[str, object], when: str = "") -> None:
    """Check the results of a study that was disturbed, and what it left.

    Raises:
        Broken: they are others, or a stale file is left; the message begins with `when`.
    """
    if changed := scene.differences(wanted, scene.results(place)):
        raise Broken(f"{when}another result: {changed[:3]}")
    if left := scene.stale(place):
        raise Broken(f"{when}left {left[:5]}")
