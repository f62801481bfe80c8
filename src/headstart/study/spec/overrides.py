"""Runs left out from the command line: `~runs.NAME`, or `runs.NAME=null`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import yaml

from headstart.errors import SpecError, unknown_name
from headstart.study.spec.run import Run

_OF_EACH = " · "  # stands between a run's key and the values that `each` gave it


def take_out(overrides: Sequence[str], keys: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the overrides that set something, and the names of the runs that the others leave out.

    Args:
        overrides: as they were typed.
        keys: the runs of the file. `runs.a.recipe=null` sets the recipe of `a`, unless a run has that very name.

    Raises:
        SpecError: a `~` before something that is no run.
    """
    kept, left_out = [], []
    for override in overrides:
        key, sign, value = override.partition("=")
        name = key.removeprefix("~").removeprefix("runs.")
        if key.startswith("~"):
            if sign or not key.startswith("~runs.") or not name:
                raise SpecError(f"{override!r}: a run is left out by ~runs.NAME")
            left_out.append(name)
        elif key.startswith("runs.") and _is_null(value) and ("." not in name or name in keys or _OF_EACH in name):
            left_out.append(name)
        else:
            kept.append(override)
    return kept, left_out


def without(runs: Sequence[Run], left_out: Sequence[str], baseline: str | None) -> list[Run]:
    """Return the runs that stay.

    Args:
        runs: all runs, multiplied out.
        left_out: names of runs: as in the file, which stands for all that `each` makes of it, or of one of those.
        baseline: the run that the others are compared with.

    Raises:
        SpecError: there is no such run, another one starts from it, or it is the baseline.
    """
    gone: dict[str, str] = {}
    for name in left_out:
        found = [run.name for run in runs if run.name == name or run.name.startswith(name + _OF_EACH)]
        if not found:
            known = dict.fromkeys(part for run in runs for part in (run.name, run.name.split(_OF_EACH)[0]))
            raise SpecError(f"~runs.{name}: {unknown_name('run', name, known)}")
        gone.update(dict.fromkeys(found, name))
    for name in dict.fromkeys(gone.values()):
        waiting = [run.name for run in runs if run.needs in gone and gone[run.needs] == name and run.name not in gone]
        if waiting:
            raise SpecError(
                f"run {name!r} cannot be left out, because others start from it:"
                f" {', '.join(map(repr, waiting))}; leave these out too"
            )
    stay = [run for run in runs if run.name not in gone]
    if not stay:
        raise SpecError("every run is left out; there is nothing to do")
    if baseline in gone:
        raise SpecError(
            f"run {gone[baseline]!r} cannot be left out alone, because the others are compared with it;"
            f" say compare.baseline=null, or another run (such as {stay[0].name!r})"
        )
    return stay


def _is_null(value: str) -> bool:
    try:
        return bool(value) and yaml.safe_load(value) is None
    except yaml.YAMLError:
        return False
