"""Runs excluded on the command line: `~runs.NAME` or `runs.NAME=null`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import yaml

from headstart.errors import SpecError, unknown_name
from headstart.study.spec.run import Run

OF_EACH = " · "  # between a run's key and the values that `each` gave it


def take_out(overrides: Sequence[str], keys: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the overrides that set a value, and the names of the runs that the others exclude.

    Args:
        overrides: as typed.
        keys: the runs of the file. `runs.a.recipe=null` sets the recipe of `a`, unless a run is named `a.recipe`.

    Raises:
        SpecError: a `~` before something that is not a run.
    """
    kept, left_out = [], []
    for override in overrides:
        key, sign, value = override.partition("=")
        name = key.removeprefix("~").removeprefix("runs.")
        if key.startswith("~"):
            if sign or not key.startswith("~runs.") or not name:
                raise SpecError(f"{override!r}: exclude a run with ~runs.NAME")
            left_out.append(name)
        elif key.startswith("runs.") and _is_null(value) and ("." not in name or name in keys or OF_EACH in name):
            left_out.append(name)
        else:
            kept.append(override)
    return kept, left_out


def without(
    runs: Sequence[Run],
    left_out: Sequence[str],
    baseline: str | None,
    taught: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Run]:
    """Return the runs that remain.

    Args:
        runs: all runs, after `each` was expanded.
        left_out: names of runs: a name of the file, for all runs that `each` makes of it, or one of those.
        baseline: the run that the others are compared with.
        taught: the runs that others learn from, by their names.

    Raises:
        SpecError: the run is unknown, another one starts or learns from it, or it is the baseline.
    """
    gone: dict[str, str] = {}
    for name in left_out:
        found = [run.name for run in runs if run.name == name or run.name.startswith(name + OF_EACH)]
        if not found:
            known = dict.fromkeys(part for run in runs for part in (run.name, run.name.split(OF_EACH)[0]))
            raise SpecError(f"~runs.{name}: {unknown_name('run', name, known)}")
        gone.update(dict.fromkeys(found, name))
    for name in dict.fromkeys(gone.values()):
        waiting = [
            run.name
            for run in runs
            if run.name not in gone
            and any(gone.get(source) == name for source in (*run.sources, *taught.get(run.name, ())))
        ]
        if waiting:
            raise SpecError(
                f"run {name!r} cannot be excluded, because other runs start or learn from it:"
                f" {', '.join(map(repr, waiting))}; exclude these too"
            )
    stay = [run for run in runs if run.name not in gone]
    if not stay:
        raise SpecError("every run is excluded; keep at least one")
    if baseline in gone:
        raise SpecError(
            f"run {gone[baseline]!r} cannot be excluded, because the others are compared with it;"
            f" set compare.baseline=null, or compare.baseline to another run (such as {stay[0].name!r})"
        )
    return stay


def _is_null(value: str) -> bool:
    try:
        return bool(value) and yaml.safe_load(value) is None
    except yaml.YAMLError:
        return False
