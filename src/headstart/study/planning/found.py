"""What the images of a plan are, in a few lines, told before any work."""

from __future__ import annotations

from headstart.data.overview import given_by, overview, split_words
from headstart.study.planning.plan import Plan
from headstart.study.resources import Resources
from headstart.study.task import Task

_DATASETS = 4  # that are told of; a chain of studies may have many


def found_lines(plan: Plan, resources: Resources) -> list[str]:
    """Return the overview of each dataset of a plan, with the split of its first seed."""
    first: dict[str, Task] = {}
    for task in [*plan.own_tasks, *plan.tasks]:
        first.setdefault(resources.dataset(task.run.data).fingerprint, task)
    lines: list[str] = []
    for task in list(first.values())[:_DATASETS]:
        lines += overview(resources.dataset(task.run.data), _split_of(task, resources))
    more = len(first) - _DATASETS
    return [*lines, f"and {more} more datasets"] if more > 0 else lines


def _split_of(task: Task, resources: Resources) -> str:
    rule, dataset = task.run.data.split, resources.dataset(task.run.data)
    if task.run.spec.episodes is not None:
        return f"{given_by(dataset)}; the run draws episodes"
    split = resources.split(task.run.data, task.seed, task.run.subset)
    if rule.fold != "seed":
        return split_words(dataset, split)
    tested = "validated" if "validation is fold" in split.rule else "tested"
    given = f"{given_by(dataset)}; " if dataset.given_split is not None and rule.given else ""
    sizes = ", ".join(f"{len(getattr(split, part)):,} {part}" for part in ("train", "validation", "test"))
    return f"{given}{rule.folds}-fold cross-validation, so that every image is {tested} once: {sizes} in the first fold"
