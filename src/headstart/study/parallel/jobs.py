"""Jobs: the pieces of a plan that workers run, and their dependencies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headstart.study.parts import Rows
from headstart.study.planning.plan import TaskGroup
from headstart.study.task import Task

PART, FEATURES, FIT = "part", "features", "fit"


@dataclass(frozen=True)
class Job:
    """A piece of a plan that one worker runs.

    Args:
        number: its place in the order in which jobs start.
        kind: of its group: "heads", "tune" or "episodes".
        stage: PART (some rows of a pass over the images), FEATURES (the pass, or its parts put together; other jobs
            wait for it) or FIT (everything else).
        tasks: the tasks that it runs or, for PART and FEATURES, the tasks that use the features.
        needs: the numbers of the jobs that must have ended before.
        rows: of PART, its rows.
        seconds: how long it may take before it must stop; None: as long as it needs.
        began: when it was sent, on this machine's monotonic clock; None: its seconds count from its arrival.
    """

    number: int
    kind: str
    stage: str
    tasks: tuple[Task, ...]
    needs: frozenset[int] = frozenset()
    rows: tuple[Rows, ...] = ()
    seconds: float | None = None
    began: float | None = None

    @property
    def group(self) -> TaskGroup:
        """Its tasks."""
        return TaskGroup(self.kind, self.tasks)

    @property
    def title(self) -> str:
        """The job's name, for people."""
        names = list(dict.fromkeys(task.run.name for task in self.tasks))
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        if self.stage == PART:
            ((start, stop),) = self.rows
            return f"features of {shown}, images {start + 1:,} to {stop:,}"
        return f"features of {shown}" if self.stage == FEATURES else shown


def undivided(group: TaskGroup) -> tuple[Rows, ...]:
    """Return no parts: one job does the whole pass."""
    return ()


def jobs_of(
    groups: Sequence[TaskGroup],
    divided: Callable[[TaskGroup], tuple[Rows, ...]] = undivided,
    pieces: Callable[[TaskGroup], list[TaskGroup]] = TaskGroup.parts,
) -> list[Job]:
    """Return the jobs of these groups, in their order.

    Heads that share features become one pass over the images, followed by one job for each kind of head:
    heads of one kind are one batched computation; heads of different kinds share only the features.

    Args:
        groups: with the tasks that are not done yet.
        divided: gives the rows of each part of the pass of a group of heads, or none.
        pieces: gives a group's parts, each a job, in their order.
    """
    jobs: list[Job] = []
    makers: dict[str, list[int]] = {}  # the numbers of the jobs that fit a run

    def add(kind: str, stage: str, tasks: Sequence[Task], needs: set[int], rows: tuple[Rows, ...] = ()) -> int:
        number = len(jobs)
        jobs.append(Job(number, kind, stage, tuple(tasks), frozenset(needs), rows))
        return number

    for group in groups:
        sources = {source for task in group.tasks for source in task.run.sources}
        needs = {number for name in sources for number in makers.get(name, [])}
        parts, rows = pieces(group), divided(group) if group.kind == "heads" else ()
        if len(parts) > 1 or rows:
            passes = {add(group.kind, PART, group.tasks, needs, (each,)) for each in rows}
            needs |= {add(group.kind, FEATURES, group.tasks, needs | passes)}
        for part in parts:
            number = add(group.kind, FIT, part.tasks, needs)
            for name in dict.fromkeys(task.run.name for task in part.tasks):
                makers.setdefault(name, []).append(number)
    return jobs
