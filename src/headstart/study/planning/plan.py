"""A plan as values: groups of tasks in the order in which they run, and runs that are unavailable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from headstart.study.spec.run import ResolvedStudy, Run
from headstart.study.task import Task


@dataclass(frozen=True)
class Unavailable:
    """A run that cannot be done: its images or weights are missing, or do not suit it."""

    run: Run
    why: str


@dataclass(frozen=True)
class TaskGroup:
    """Tasks that are computed together.

    Args:
        kind: "heads" (on shared features), "tune" (one network trained) or "episodes".
        tasks: in order.
    """

    kind: str
    tasks: tuple[Task, ...]

    @property
    def first(self) -> Task:
        """The first task; what the group shares can be read from it."""
        return self.tasks[0]

    def parts(self) -> list[TaskGroup]:
        """Return one group for each kind of head, which is one computation; other groups are not divided."""
        if self.kind != "heads":
            return [self]
        kinds: dict[str, list[Task]] = {}
        for task in self.tasks:
            kinds.setdefault(task.run.spec.head_kind or "", []).append(task)
        return [replace(self, tasks=tuple(tasks)) for tasks in kinds.values()]


@dataclass(frozen=True)
class Plan:
    """All groups of a study in the order in which they run, and the runs that are unavailable.

    Args:
        study: the study that is planned.
        groups: in order.
        unavailable: runs whose images or weights are missing.
        learned_on: the fingerprint of the images that each run learns from.
        fingerprint: of the study's own images.
    """

    study: ResolvedStudy
    groups: tuple[TaskGroup, ...]
    unavailable: tuple[Unavailable, ...] = ()
    learned_on: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""

    @property
    def tasks(self) -> list[Task]:
        """All tasks."""
        return [task for group in self.groups for task in group.tasks]

    @property
    def own_tasks(self) -> list[Task]:
        """The tasks on the study's own images, not on other images in a chain; all tasks if there are none."""
        own = [task for task in self.tasks if task.run.data == self.study.spec.data]
        return own or self.tasks
