"""The plan: tasks in the order they run, grouped by what they share, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from headstart.errors import DataError, HeadstartError, SpecError
from headstart.store import content_key
from headstart.study.absent import Absent, Roll
from headstart.study.as_is import check_as_is
from headstart.study.expand import Run, Study
from headstart.study.extras import check_extras
from headstart.study.folder import StudyFolder
from headstart.study.order import ordered
from headstart.study.record import KIND as FITS
from headstart.study.settings import check_settings, ends, head_options, recipe_of
from headstart.study.spec import TUNED
from headstart.study.task import Task, make_task
from headstart.study.workshop import Workshop, random_seed
from headstart.transfer.features import KIND as FEATURES
from headstart.transfer.probe import rehearse


@dataclass(frozen=True)
class Group:
    """Tasks that are computed together.

    Args:
        kind: "heads" (on shared features), "tune" (one network trained) or "episodes".
        tasks: in order.
    """

    kind: str
    tasks: tuple[Task, ...]

    @property
    def first(self) -> Task:
        """The task that stands for all."""
        return self.tasks[0]

    def parts(self) -> list[Group]:
        """Return one group for each kind of head: those of one kind are one computation. Any other stays whole."""
        if self.kind != "heads":
            return [self]
        kinds: dict[str, list[Task]] = {}
        for task in self.tasks:
            kinds.setdefault(task.run.spec.head_kind or "", []).append(task)
        return [replace(self, tasks=tuple(tasks)) for tasks in kinds.values()]


@dataclass(frozen=True)
class Plan:
    """All groups of a study in the order in which they run, and the runs that cannot be done here."""

    study: Study
    groups: tuple[Group, ...]
    absent: tuple[Absent, ...] = ()

    @property
    def tasks(self) -> list[Task]:
        """All tasks."""
        return [task for group in self.groups for task in group.tasks]

    @property
    def own_tasks(self) -> list[Task]:
        """The tasks on the study's own images, not on those that a chain starts from; all where there are none."""
        own = [task for task in self.tasks if task.run.data == self.study.spec.data]
        return own or self.tasks


def make_plan(study: Study, workshop: Workshop, *, strict: bool = False) -> Plan:
    """Read the data, draw the splits, and order what is to be done, the best guess first.

    A run whose published weights or own images are not to be had is set aside, with those that start from it.

    Args:
        study, workshop: what is to be done, and with what.
        strict: refuse the study if anything of it is not to be had.

    Raises:
        HeadstartError: a dataset, network, stage, split or missing extra; nothing has been computed yet.
    """
    check_extras(study)
    tasks: list[Task] = []
    keys: dict[tuple[str, int], str] = {}
    roll = Roll(study)

    def make(run: Run) -> list[Task]:
        _check_run(run, workshop)
        _check_batches(run, workshop, study.spec.seed_list[0])
        _check_choosing(run, workshop, study.spec.seed_list[0])
        check_as_is(run, study, workshop)
        workshop.learned_on[run.name] = workshop.dataset(run.data).fingerprint
        return [make_task(run, seed, workshop, keys) for seed in study.spec.seed_list]

    for run in study.runs:
        made = roll.call(run, make)
        keys.update({(task.run.name, task.seed): task.key for task in made})
        tasks += made
    roll.check(strict=strict)
    return Plan(study, tuple(ordered(list(_groups(tasks, workshop)), study, workshop)), tuple(roll.absent))


def describe(plan: Plan, workshop: Workshop, folder: StudyFolder) -> list[dict[str, Any]]:
    """Return one row per group: what it computes, what it shares, what is there already; last, what cannot be done."""
    rows = []
    for group in plan.groups:
        task = group.first
        dataset = workshop.dataset(task.run.data)
        there = sum(folder.has(t.run.name, t.seed, t.key) or workshop.store.has(FITS, t.key) for t in group.tasks)
        row: dict[str, Any] = {
            "kind": group.kind,
            "dataset": dataset.name,
            "images": len(dataset),
            "backbone": task.run.spec.backbone,
            "runs": list(dict.fromkeys(t.run.name for t in group.tasks)),
            "tasks": len(group.tasks),
            "configurations": sum(t.run.tries for t in group.tasks),
            "done": there,
        }
        if task.run.needs is None and group.kind != "tune":
            row["features_stored"] = workshop.store.has(FEATURES, workshop.features_key(task.run, task.seed))
        rows.append(row)
    return rows + [_absent_row(absent, len(plan.study.spec.seed_list)) for absent in plan.absent]


def _absent_row(absent: Absent, tasks: int) -> dict[str, Any]:
    return {
        "kind": "absent",
        "dataset": absent.run.data.name or absent.run.data.source,
        "images": 0,
        "backbone": absent.run.spec.backbone,
        "runs": [absent.run.name],
        "tasks": tasks,
        "configurations": 0,
        "done": 0,
        "why": absent.why,
    }


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


def _check_run(run: Run, workshop: Workshop) -> None:
    dataset = workshop.dataset(run.data)
    if len(dataset.classes) < 2:
        raise DataError(f"{dataset.name}: has one class only ({dataset.classes[0]}); a classifier needs two")
    check_settings(run, None if run.needs is not None else workshop.loaded(run, 0).backbone)


def _check_choosing(run: Run, workshop: Workshop, seed: int) -> None:
    """Refuse what a head cannot have, and a choice without images to choose on, before anything is computed."""
    dataset, held = workshop.dataset(run.data), len(workshop.split(run, seed).validation)
    if run.spec.head_kind is not None and run.spec.episodes is None:
        try:
            rehearse(run.spec.head_kind, head_options(run), multi_label=dataset.multi_label, held=held > 0)
        except HeadstartError as error:
            raise type(error)(f"run {run.name!r}: {error}") from error
    elif run.spec.strategy in TUNED and run.tries > 1 and not held:
        raise SpecError(
            f"run {run.name!r}: {run.tries} configurations and no validation images to choose on;"
            " give the split a validation part"
        )


def _check_batches(run: Run, workshop: Workshop, seed: int) -> None:
    """Refuse a tuned run with fewer images than a batch; where shots or a fraction are asked for, the batch shrinks."""
    spec = run.spec
    if spec.strategy not in TUNED or spec.shots is not None or spec.fraction is not None:
        return
    rows = len(workshop.split(run, seed).train)
    batch = max(recipe_of(run.with_values(values)).batch_size for values in [*run.configurations(), *ends(run)])
    if rows < batch:
        raise DataError(
            f"run {run.name!r}: {rows} training images are fewer than one batch of {batch};"
            f" set batch_size: {rows} or less"
        )
