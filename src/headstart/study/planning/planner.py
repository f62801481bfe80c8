"""Makes a plan: reads the data, draws the splits, groups tasks by what they share and orders them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headstart.storage.store import content_key
from headstart.study.planning.availability import Availability
from headstart.study.planning.checks import (
    check_batches,
    check_choosing,
    check_costs,
    check_evaluate_only,
    check_labels,
    check_run,
    check_weights,
)
from headstart.study.planning.effects import check_effects
from headstart.study.planning.extras import check_extras
from headstart.study.planning.plan import Plan, TaskGroup
from headstart.study.planning.priority import ordered
from headstart.study.planning.teachers import check_teacher
from headstart.study.resources import Resources
from headstart.study.spec.run import ResolvedStudy, Run
from headstart.study.task import Task, make_task


def make_plan(study: ResolvedStudy, resources: Resources, *, strict: bool = False) -> Plan:
    """Read the data, draw the splits, and order the tasks, the most promising first.

    A run whose published weights or own images are unavailable, whose weights are not numbers or which cannot learn
    from its images is set aside, with the runs that start from it.

    Args:
        study: the study to plan.
        resources: loads its data and networks.
        strict: refuse the study if any run is unavailable.

    Raises:
        HeadstartError: a dataset, network, stage, split or extra is unusable; nothing has been computed yet.
    """
    check_extras(study)
    check_effects(study)
    check_costs(study, resources)
    tasks: list[Task] = []
    keys: dict[tuple[str, int], str] = {}
    availability = Availability(study)

    def make(run: Run) -> list[Task]:
        check_run(run, resources)
        check_weights(run, resources, study.spec.seed_list[0])
        check_labels(run, resources)
        check_batches(run, resources, study.spec.seed_list[0])
        check_choosing(run, resources, study.spec.seed_list[0])
        check_evaluate_only(run, study, resources)
        check_teacher(run, study, resources)
        return [make_task(run, seed, resources, keys) for seed in study.spec.seed_list]

    for run in study.runs:
        made = availability.call(run, make)
        keys.update({(task.run.name, task.seed): task.key for task in made})
        tasks += made
    availability.check(strict=strict)
    learned_on = {task.run.name: resources.dataset(task.run.data).fingerprint for task in tasks}
    groups = ordered(list(_groups(tasks, resources)), study, resources)
    own = study.spec.data if any(run.data == study.spec.data for run in study.runs) else study.runs[0].data
    fingerprint = resources.dataset(own).fingerprint
    return Plan(study, tuple(groups), tuple(availability.unavailable), learned_on, fingerprint)


def _groups(tasks: list[Task], resources: Resources) -> Iterator[TaskGroup]:
    heads: dict[str, list[Task]] = {}
    order: list[tuple[str, list[Task]]] = []
    for task in tasks:
        if task.run.spec.episodes is not None:
            order.append(("episodes", [task]))
        elif task.probe:
            key = _shared(task, resources)
            if key not in heads:
                heads[key] = []
                order.append(("heads", heads[key]))
            heads[key].append(task)
        else:
            order.append(("tune", [task]))
    for kind, members in order:
        yield TaskGroup(kind, tuple(members))


def _shared(task: Task, resources: Resources) -> str:
    """Return a key that two tasks share exactly if they use the same features."""
    spec, dataset = task.run.spec, resources.dataset(task.run.data)
    origin: Any = [spec.weights.model_dump()]
    if spec.weights.run is not None:
        origin.append(task.seed)
    elif spec.weights.name == "none":
        origin.append(task.run.network.random_seed(task.seed))
    return content_key([dataset.fingerprint, spec.backbone, origin, spec.truncate_at, spec.input_size, spec.resize])
