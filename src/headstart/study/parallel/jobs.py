"""Jobs: the pieces of a plan that workers run, and their dependencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.study.planning.plan import TaskGroup
from headstart.study.task import Task

FEATURES, FIT = "features", "fit"


@dataclass(frozen=True)
class Job:
    """A piece of a plan that one worker runs.

    Args:
        number: its place in the order in which jobs start.
        kind: of its group: "heads", "tune" or "episodes".
        stage: FEATURES (one pass over the images, which other jobs wait for) or FIT (everything else).
        tasks: the tasks that it runs or, for FEATURES, the tasks that use the features.
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

    Heads that share features become one pass over the images, followed by one job for each kind of head:
    heads of one kind are one batched computation; heads of different kinds share only the features.
    """
    jobs: list[Job] = []
    makers: dict[str, list[int]] = {}  # the numbers of the jobs that fit a run

    def add(kind: str, stage: str, tasks: Sequence[Task], needs: set[int]) -> int:
        number = len(jobs)
        jobs.append(Job(number, kind, stage, tuple(tasks), frozenset(needs)))
        return number

    for group in groups:
        sources = {source for task in group.tasks for source in task.run.sources}
        needs = {number for name in sources for number in makers.get(name, [])}
        parts = group.parts()
        if len(parts) > 1:
            needs |= {add(group.kind, FEATURES, group.tasks, needs)}
        for part in parts:
            number = add(group.kind, FIT, part.tasks, needs)
            for name in dict.fromkeys(task.run.name for task in part.tasks):
                makers.setdefault(name, []).append(number)
    return jobs
