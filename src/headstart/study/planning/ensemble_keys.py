"""The ensembles that a study expects, and their content keys."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.storage.store import content_key
from headstart.study.results.state import Expected
from headstart.study.spec.schema import StudySpec
from headstart.study.task import Task

STRATEGY = "ensemble"


_VERSION = 2  # raise it when the same members would give other numbers


def expected(spec: StudySpec) -> list[Expected]:
    """Return the run and seed of every ensemble of a study."""
    return [Expected(run=name, seed=seed) for name in spec.ensembles for seed in spec.seed_list]


def ensemble_keys(spec: StudySpec, tasks: Sequence[Task]) -> dict[tuple[str, int], str]:
    """Return the content key of each ensemble and seed whose members are all planned."""
    planned = {(task.run.name, task.seed): task for task in tasks}
    found = {}
    for row in expected(spec):
        members = [planned.get((member, row["seed"])) for member in spec.ensembles[row["run"]]]
        if None not in members:
            found[row["run"], row["seed"]] = ensemble_key([member for member in members if member is not None])
    return found


def ensemble_key(members: Sequence[Task]) -> str:
    """Return the content key of the ensemble of these members."""
    return content_key([STRATEGY, _VERSION, [task.key for task in members]])
