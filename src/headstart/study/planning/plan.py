"""A plan as values: groups of tasks in the order in which they run, and runs that are unavailable."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headstart.study.spec.run import Run, Study
from headstart.study.task import Task


@dataclass(frozen=True)
class Absent:
    """A run that is not done because something it needs is not here, and cannot be fetched."""

    run: Run
    why: str


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
