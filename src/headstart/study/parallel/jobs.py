"""Jobs: what one worker does at a time, and which must be done before which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.study.planning.plan import TaskGroup
from headstart.study.task import Task

FEATURES, FIT = "features", "fit"


@dataclass(frozen=True)
class Job:
    """A piece of a plan that one worker does alone.

    Args:
        number: its place in the order in which jobs are begun.
        kind: of the group that it comes from: "heads", "tune" or "episodes".
        stage: FEATURES (one pass over the images, that other jobs wait for) or FIT (all the rest).
        tasks: what it does, or, at FEATURES, whom it serves.
        needs: the numbers of the jobs that must have ended before.
    """

    number: int
    kind: str
    stage: str
    tasks: tuple[Task, ...]
    needs: frozenset[int] = frozenset()

    @property
    def title(self) -> str:
        """The job's name, for people."""
        names = list(dict.fromkeys(task.run.name for task in self.tasks))
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        return f"features of {shown}" if self.stage == FEATURES else shown


def jobs_of(groups: Sequence[TaskGroup]) -> list[Job]:
    """Return the jobs of these groups, in their order.

    Heads that share features become one pass over the images and, behind it, one job for each kind of head:
    heads of one kind are one batched computation, those of several have nothing in common but the features.
    """
    jobs: list[Job] = []
    makers: dict[str, list[int]] = {}  # the numbers of the jobs that fit a run

    def add(kind: str, stage: str, tasks: Sequence[Task], needs: set[int]) -> int:
        number = len(jobs)
        jobs.append(Job(number, kind, stage, tuple(tasks), frozenset(needs)))
        return number

    for group in groups:
        sources = {task.run.needs for task in group.tasks if task.run.needs is not None}
        needs = {number for name in sources for number in makers.get(name, [])}
        parts = group.parts()
        if len(parts) > 1:
            needs |= {add(group.kind, FEATURES, group.tasks, needs)}
        for part in parts:
            number = add(group.kind, FIT, part.tasks, needs)
            for name in dict.fromkeys(task.run.name for task in part.tasks):
                makers.setdefault(name, []).append(number)
    return jobs
