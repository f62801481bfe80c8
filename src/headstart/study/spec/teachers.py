"""The teachers that runs with strategy distil name: which runs they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headstart.errors import SpecError, unknown_name
from headstart.study.spec.run import Run
from headstart.study.spec.schema import DISTIL, StudySpec
from headstart.study.spec.yaml_lines import Path as KeyPath
from headstart.study.spec.yaml_lines import place_of, with_defaults


def teachers_of(
    spec: StudySpec, runs: Sequence[Run], name: str, lines: dict[KeyPath, int]
) -> dict[str, tuple[str, ...]]:
    """Return the names of the runs that each taught run learns from: its teacher, or the members of an ensemble.

    Raises:
        SpecError: a teacher is unknown, leaves no classifier, or is the run itself.
    """
    by_name = {run.name: run for run in runs}
    found: dict[str, tuple[str, ...]] = {}
    for run in runs:
        teacher = run.spec.teacher
        if run.spec.strategy != DISTIL or teacher is None or teacher.run is None:
            continue
        where = place_of(name, ("runs", run.key, "teacher"), with_defaults(run.key, lines))
        found[run.name] = _members(run, teacher.run, spec, by_name, where)
    return found


def _members(run: Run, teacher: str, spec: StudySpec, by_name: Mapping[str, Run], where: str) -> tuple[str, ...]:
    if teacher not in by_name and teacher not in spec.ensembles:
        known = (*by_name, *spec.ensembles)
        raise SpecError(
            f"{where}: run {run.name!r} learns from {unknown_name('run or ensemble', teacher, known, limit=40)}"
        )
    members = tuple(spec.ensembles.get(teacher, [teacher]))
    if run.name in members:
        inside = "" if teacher == run.name else f": the ensemble {teacher!r} has it as a member"
        raise SpecError(f"{where}: run {run.name!r} cannot be its own teacher{inside}; name another run")
    for member in members:
        if by_name[member].spec.episodes is not None:
            raise SpecError(f"{where}: run {member!r} evaluates episodes and leaves no classifier to learn from")
    return members
