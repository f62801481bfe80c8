"""Runs the jobs of one study in one process, which keeps what they share in memory."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from headstart import progress, threads
from headstart.errors import HeadstartError
from headstart.storage.opening import open_store
from headstart.storage.pinned import moved
from headstart.storage.presence import at_work
from headstart.storage.store import MANIFEST
from headstart.study.execution.budget import Budget, OverBudget, now
from headstart.study.execution.executors import WORK
from headstart.study.execution.session import Session
from headstart.study.execution.unavailable import has_source, startable
from headstart.study.parallel.jobs import FIT, PART, Job
from headstart.study.parallel.messages import Finished, ProgressRelay, RemoteListener, Say
from headstart.study.parallel.setup import Setup
from headstart.study.passes import Entries, entries_of, part_features
from headstart.study.planning.plan import Plan
from headstart.study.resources import Resources, nothing
from headstart.study.results.folder import StudyFolder
from headstart.study.results.run_record import KIND as FITS


class JobRunner:
    """Runs jobs, one after the other; datasets, networks and features stay in memory between them.

    Args:
        setup: of the study.
        say: sends messages to the dispatcher.
    """

    def __init__(self, setup: Setup, say: Say) -> None:
        threads.hold()
        if Path(setup.cwd).is_dir():
            os.chdir(setup.cwd)
        progress.set_verbosity(setup.verbosity)
        self.setup = setup
        store = open_store(setup.store) if isinstance(setup.store, str) else setup.store
        self.resources = Resources(store, setup.device)
        self.listen(say)

    def listen(self, say: Say) -> None:
        """Send messages through `say` from now on."""
        self._listener = RemoteListener(say)
        progress.show_in(ProgressRelay(say))

    def do(self, job: Job) -> Finished:
        """Run one job and return its results.

        Raises:
            HeadstartError: the input is invalid.
        """
        if job.seconds is not None:
            began = now() if job.began is None else job.began
            self.resources.watch = Budget(job.seconds, began=began).check
        try:
            with self.resources.store.in_use():
                return self._do_in_place(job)
        finally:
            self.resources.watch = nothing

    def _do_in_place(self, job: Job) -> Finished:
        if self.setup.folder is not None:
            if not self.setup.folder.is_dir():  # the dispatcher made it
                raise moved(self.setup.folder)
            with at_work(self.setup.folder, pin=True):
                return self._do(job, StudyFolder(self.setup.folder))
        with tempfile.TemporaryDirectory(prefix="headstart-") as place:
            folder = StudyFolder(Path(place))
            return replace(self._do(job, folder), folders=packed(folder, job))

    def _do(self, job: Job, folder: StudyFolder) -> Finished:
        plan = Plan(self.setup.study, (), learned_on=self.setup.learned_on)
        session = Session(plan, self.resources, folder, self.setup.state, self._listener)
        self._locate_networks(job, folder)
        first = job.tasks[0]
        with contextlib.suppress(HeadstartError):  # which the work itself raises, where it may be of one run only
            if has_source(first, session):  # what a worker does once is no part of the time of its first job
                self.resources.dataset(first.run.data)
                self.resources.loaded(first.run.network, first.seed)
        began = now()
        try:
            entries = self._work(job, session)
        except OverBudget:
            return Finished(tuple(self.resources.decoded), stopped=True)
        return Finished(tuple(self.resources.decoded), entries=entries, seconds=now() - began)

    def _work(self, job: Job, session: Session) -> Entries:
        """Run one job; return the cache entries of its pass."""
        if job.stage != FIT:
            return self._pass(job) if has_source(job.tasks[0], session) else ()
        if ready := startable(job.tasks, session):
            WORK[job.kind](ready, session)
        return ()

    def _pass(self, job: Job) -> Entries:
        """Compute features, or a part of them; return the cache entries, of a part those that were made."""
        first = job.tasks[0]
        of = (first.run.data, first.run.network, first.seed)
        if job.stage == PART:
            return part_features(self.resources, *of, *job.rows)
        self.resources.features(*of)
        return entries_of(self.resources, *of)

    def _locate_networks(self, job: Job, folder: StudyFolder) -> None:
        """Set the folders of the networks that runs may start or learn from; fetch those of this job."""
        wanted = {source for task in job.tasks for source in task.run.sources}
        for run, seed, key in self.setup.keys:
            there = run not in wanted or self.resources.store.has(FITS, key)
            place = self.resources.store.path(FITS, key) if there else folder.run_folder(run, seed)
            self.resources.upstream[(run, seed)] = place


def packed(folder: StudyFolder, job: Job) -> tuple[tuple[str, int, dict[str, bytes]], ...]:
    """Return the content of the job's run folders: run, seed, and every file by its name."""
    found = []
    for task in job.tasks:
        place = folder.run_folder(task.run.name, task.seed)
        if (place / MANIFEST).is_file():
            files = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
            found.append((task.run.name, task.seed, files))
    return tuple(found)
