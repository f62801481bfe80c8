"""Making a plan: data read, splits drawn, tasks grouped by what they share and put in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headstart.storage.store import content_key
from headstart.study.planning.availability import Roll
from headstart.study.planning.checks import check_as_is, check_batches, check_choosing, check_run
from headstart.study.planning.plan import Group, Plan
from headstart.study.planning.priority import ordered
from headstart.study.resources import Workshop, random_seed
from headstart.study.spec.run import Run, Study
from headstart.study.task import Task, make_task


def make_plan(study: Study, workshop: Workshop, *, strict: bool = False) -> Plan:
    """Read the data, draw the splits, and order what is to be done, the best guess first.

    A run whose published weights or own images are not to be had is set aside, with those that start from it.

    Args:
        study, workshop: what is to be done, and with what.
        strict: refuse the study if anything of it is not to be had.

    Raises:
        HeadstartError: a dataset, network, stage or split that cannot be; nothing has been computed yet.
    """
    tasks: list[Task] = []
    keys: dict[tuple[str, int], str] = {}
    roll = Roll(study)

    def make(run: Run) -> list[Task]:
        check_run(run, workshop)
        check_batches(run, workshop, study.spec.seed_list[0])
        check_choosing(run, workshop, study.spec.seed_list[0])
        check_as_is(run, study, workshop)
        workshop.learned_on[run.name] = workshop.dataset(run.data).fingerprint
        return [make_task(run, seed, workshop, keys) for seed in study.spec.seed_list]

    for run in study.runs:
        made = roll.call(run, make)
        keys.update({(task.run.name, task.seed): task.key for task in made})
        tasks += made
    roll.check(strict=strict)
    return Plan(study, tuple(ordered(list(_groups(tasks, workshop)), study, workshop)), tuple(roll.absent))


def _groups(tasks: list[Task], workshop: Workshop) -> Iterator[Group]:
    heads: dict[str, list[Task]] = {}
    order: list[tuple[str, list[Task]]] = []
    for task in tasks:
        if task.run.spec.episodes is not None:
            order.append(("episodes", [task]))
        elif task.probe:
            key = _shared(task, workshop)
            if key not in heads:
                heads[key] = []
                order.append(("heads", heads[key]))
            heads[key].append(task)
        else:
            order.append(("tune", [task]))
    for kind, members in order:
        yield Group(kind, tuple(members))


def _shared(task: Task, workshop: Workshop) -> str:
    """Return a key that two tasks have in common exactly if they work on the same features."""
    spec, dataset = task.run.spec, workshop.dataset(task.run.data)
    origin: Any = [spec.weights.model_dump()]
    if spec.weights.run is not None:
        origin.append(task.seed)
    elif spec.weights.name == "none":
        origin.append(random_seed(spec, task.seed))
    return content_key([dataset.fingerprint, spec.backbone, origin, spec.truncate_at, spec.input_size, spec.resize])
