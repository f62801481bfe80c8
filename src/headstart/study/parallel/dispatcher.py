"""Runs a study on several workers: jobs start in the plan's order as soon as the jobs that they need have ended.

The job of a worker that died is run again by another, once; if that one dies too, the job's runs have failed and
the study continues. No result depends on which worker computes it. Workers spend a budget together: a job starts if its
estimate fits into the time that is left, and stops when that is used up.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from headstart import progress, threads
from headstart.data.decoding.image_store import decode_images
from headstart.errors import SpecError
from headstart.study.execution.session import Session, network_of
from headstart.study.parallel.jobs import FEATURES, FIT, PART, Job, jobs_of, undivided
from headstart.study.parallel.messages import (
    Finished,
    JobError,
    ListenerCall,
    Message,
    ProgressUpdate,
)
from headstart.study.parallel.pool import WorkerPool
from headstart.study.parts import Rows, rows_of_parts
from headstart.study.planning.plan import TaskGroup
from headstart.study.results.run_record import write_failure
from headstart.study.task import Task

if TYPE_CHECKING:
    from headstart.study.execution.budgeting import Spending  # imports what measures this machine's speed

_PATIENCE = 0.2  # seconds to wait for messages


ATTEMPTS = 2


def check_workers(workers: int, on: str | None) -> None:
    """Refuse invalid options before anything is planned.

    Raises:
        SpecError, MissingExtra, ClusterError: too few workers, Ray is not installed, or no cluster at that address.
    """
    if workers < 1:
        raise SpecError(
            f"--workers {workers}: a study needs at least 1 worker; this machine has {threads.cores()} cores"
        )
    if on is not None:
        from headstart.study.parallel.ray import check_address

        check_address(on)


def dispatch(session: Session, workers: int, on: str | None, spending: Spending | None = None) -> None:
    """Run all jobs of a session's plan on local worker processes, or on a Ray cluster.

    Args:
        session: the study that is run.
        workers, on: see `run_study`.
        spending: chooses the jobs that a budget is spent on; None: all are run.

    Raises:
        HeadstartError: the input is invalid; finished work is kept.
    """
    if spending is not None:
        spending.begin(session)
    divide = on is not None or min(workers, threads.machine_cores()) > 1
    dispatcher = Dispatcher(session, spending, divide=divide)
    if dispatcher.jobs:
        pool = _pool(session, workers, on, len(dispatcher.jobs))
        try:
            dispatcher.run(pool)
        finally:
            pool.close()
            for kind, key in sorted(dispatcher.spare):
                session.resources.store.drop(kind, key)
    wanted = {source for run in session.plan.study.runs for source in run.sources}
    for task in session.plan.tasks:
        if task.run.name in wanted:
            session.resources.upstream[(task.run.name, task.seed)] = network_of(task, session)


def _pool(session: Session, workers: int, on: str | None, jobs: int) -> WorkerPool:
    from headstart.study.parallel.local import LocalPool
    from headstart.study.parallel.setup import setup_of

    setup, logs = setup_of(session), session.folder.root / "logs"
    if on is not None:
        from headstart.study.parallel.ray import RayPool

        return RayPool(setup, on, workers, session.listener.note, logs / "ray.log")
    most = min(workers, threads.machine_cores())
    if most < workers:
        session.listener.note(f"started {most} workers instead of {workers}: one for each core")
    return LocalPool(setup, min(most, jobs), logs)


class Dispatcher:
    """Assigns jobs to workers and handles their messages.

    Args:
        session: the study that is run.
        spending: chooses the jobs that a budget is spent on; None: all are run.
        divide: divide passes over many images into parts, since several workers can share them.
    """

    def __init__(self, session: Session, spending: Spending | None = None, *, divide: bool = False) -> None:
        self._session, self._spending = session, spending
        pieces = TaskGroup.parts if spending is None else spending.pieces
        self.jobs = jobs_of(self._open_groups(), self._parts if divide else undivided, pieces)
        self._costs: dict[int, float] = {}  # the expected seconds of jobs that a budget is spent on
        self.spare: set[tuple[str, str]] = set()  # cache entries of parts that were put together
        self._made: dict[int, set[tuple[str, str]]] = {}  # by the job that puts them together
        self._passes: set[int] = set()  # that a budget admitted: the same jobs
        self._blocked = {job.number: set(job.needs) for job in self.jobs}
        self._ready = [job.number for job in self.jobs if not job.needs]  # a heap, in the plan's order
        self._followers: dict[int, list[int]] = {job.number: [] for job in self.jobs}
        for job in self.jobs:
            for number in job.needs:
                self._followers[number].append(job.number)
        self._running: dict[int, Job] = {}
        self._attempts: Counter[int] = Counter()
        self._lost: set[str] = set()
        self._logged: set[str] = set()
        self._tickers: dict[int, progress.Ticker] = {}
        listener = session.listener
        self._listeners: dict[str, Callable[..., None]] = {
            "running": listener.running,
            "reused": listener.reused,
            "done": listener.done,
            "failed": listener.failed,
            "note": listener.note,
        }

    def run(self, pool: WorkerPool) -> None:
        """Run all jobs."""
        while self._ready or self._running:
            self._assign(pool)
            for number, message in pool.listen(_PATIENCE):
                self._handle(self._running[number], message)

    def _open_groups(self) -> list[TaskGroup]:
        """Return the groups with their unfinished tasks."""
        groups = []
        for group in self._session.plan.groups:
            tasks = []
            for task in group.tasks:
                if self._has(task):
                    self._session.listener.reused(task.name)
                else:
                    tasks.append(task)
            if tasks:
                groups.append(TaskGroup(group.kind, tuple(tasks)))
        return groups

    def _parts(self, group: TaskGroup) -> tuple[Rows, ...]:
        return rows_of_parts(len(self._session.resources.dataset(group.first.run.data)))

    def _assign(self, pool: WorkerPool) -> None:
        while self._ready and pool.free():
            job = self._next()
            open_tasks = tuple(task for task in job.tasks if task.key not in self._lost and not self._has(task))
            if not open_tasks or not self._admitted(replace(job, tasks=open_tasks), pool.slowdown):
                self._release(job)
                continue
            self._running[job.number] = replace(job, tasks=open_tasks, seconds=self._seconds())
            self._attempts[job.number] += 1
            pool.start(self._running[job.number])

    def _next(self) -> Job:
        """Take out the first of the jobs that are ready: in the plan's order or, with a budget, the most promising."""
        if self._spending is None:
            return self.jobs[heapq.heappop(self._ready)]
        self._ready.sort()  # which leaves it a heap
        ready = [self.jobs[number] for number in self._ready]
        return self.jobs[self._ready.pop(self._spending.first_of([job.group for job in ready], self._session))]

    def _admitted(self, job: Job, slower: float) -> bool:
        """Return whether the budget allows a job; the runs of one that it does not allow are lost.

        A pass over images is judged once, by the first of the heads that need it; its other parts need only time.
        """
        spending = self._spending
        if spending is None or job.number in self._attempts:
            return True
        if job.stage == FIT:
            cost = spending.admitted(job.group, slower)
        elif self._whole(job) in self._passes and spending.budget.left() > 0:
            return True
        else:
            cost = spending.admitted(job.group, share=spending.pieces(job.group)[0])
        if cost is None:
            self._lost.update(task.key for task in job.tasks)
            return False
        if job.stage == FIT:
            self._costs[job.number] = cost
        else:
            self._passes.add(self._whole(job))
        return True

    def _whole(self, job: Job) -> int:
        """Return the number of the job that puts the parts of a pass together."""
        return self._followers[job.number][0] if job.stage == PART else job.number

    def _keep(self, job: Job, found: Finished) -> None:
        """Note which cache entries a part made, and that they are not needed once they have been put together."""
        if job.stage == PART:
            self._made.setdefault(self._whole(job), set()).update(found.entries)
        elif job.stage == FEATURES:
            self.spare |= self._made.get(job.number, set()) - set(found.entries)

    def _seconds(self) -> float | None:
        return None if self._spending is None else self._spending.budget.left()

    def _release(self, job: Job) -> None:
        """Make the jobs ready that only waited for this one."""
        for number in self._followers[job.number]:
            self._blocked[number].discard(job.number)
            if not self._blocked[number]:
                heapq.heappush(self._ready, number)

    def _handle(self, job: Job, message: Message) -> None:
        if isinstance(message, ListenerCall):
            self._listeners[message.method](*message.arguments)
        elif isinstance(message, ProgressUpdate) or message is None:
            self._show(job, message)
        elif isinstance(message, JobError):
            raise message.error
        else:
            self._show(job, None)
            del self._running[job.number]
            if isinstance(message, Finished):
                self._collect(job, message)
                if message.stopped:
                    self._stop(job)
                else:
                    self._keep(job, message)
                    self._took(job, message.seconds)
                self._release(job)
            else:
                self._retry(job, message.why)
            self._log(job)

    def _collect(self, job: Job, found: Finished) -> None:
        """Take over the run folders that a worker sent, and the images that it decoded."""
        session = self._session
        tasks = {(task.run.name, task.seed): task for task in job.tasks}
        for run, seed, files in found.folders:
            session.folder.take_run(run, seed, files)
        resources = session.resources
        by_content = {resources.dataset(task.run.data).fingerprint: task.run.data for task in tasks.values()}
        for fingerprint, view in found.views:
            if fingerprint in by_content and (fingerprint, view) not in resources.decoded:
                dataset = resources.dataset(by_content[fingerprint])
                resources.decoded[(fingerprint, view)] = decode_images(dataset, view, store=resources.store)

    def _took(self, job: Job, seconds: float) -> None:
        """Correct later estimates by the time that a job took."""
        if self._spending is not None and job.number in self._costs:
            self._spending.took(job.group, self._costs[job.number], seconds)

    def _stop(self, job: Job) -> None:
        """Record that the time ran out during a job."""
        assert self._spending is not None
        unfinished = [task for task in job.tasks if not self._has(task)]
        self._spending.stopped(unfinished)
        self._lost.update(task.key for task in unfinished)

    def _retry(self, job: Job, why: str) -> None:
        """Queue the job of a worker that died again; the second time, write its runs as failed."""
        session = self._session
        if self._attempts[job.number] < ATTEMPTS:
            session.listener.note(f"{job.title}: a worker {why}; another worker runs the job again")
            heapq.heappush(self._ready, job.number)
            return
        reason = f"two workers died while running it; the last {why}"
        for task in job.tasks:
            if not self._has(task):
                dataset = session.resources.dataset(task.run.data)
                write_failure(task, session.folder, dataset, reason, [])
                session.listener.failed(task.name, reason)
                self._lost.add(task.key)
        self._release(job)

    def _log(self, job: Job) -> None:
        """Pass the runs that this job finished to the trackers."""
        if job.kind == "episodes" or job.stage != FIT:
            return
        for task in job.tasks:
            if task.name in self._logged or not self._has(task):
                continue
            self._logged.add(task.name)
            self._session.track(task.run.name, task.seed, task.key)

    def _show(self, job: Job, message: ProgressUpdate | None) -> None:
        """Show a worker's progress as if it were this process's."""
        old = self._tickers.get(job.number)
        if message is None or (old is not None and old.title != message.title):
            if old is not None:
                self._tickers.pop(job.number).close()
            old = None
        if message is not None:
            ticker = old or progress.Ticker(message.title, message.total, message.unit)
            self._tickers[job.number] = ticker
            ticker.advance(message.done - ticker.done, message.note or None)

    def _has(self, task: Task) -> bool:
        return self._session.finished(task)
