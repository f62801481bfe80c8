"""Runs that cannot be done: published weights or images that are not to be had here, or a source that failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.readers import PictureReader
from headstart.deploy.bundle import HEAD, MODEL
from headstart.errors import DataAbsent, HeadstartError, WeightsAbsent
from headstart.store import content_key, read_json
from headstart.study.expand import Run, Study
from headstart.study.folder import json_bytes
from headstart.study.record import described, write_failure
from headstart.study.task import Task

if TYPE_CHECKING:
    from headstart.study.execute import Session


@dataclass(frozen=True)
class Absent:
    """A run that is not done because something it needs is not here, and cannot be fetched."""

    run: Run
    why: str


class Roll:
    """Calls each run of a study and notes which cannot be done; what is not to be had is asked for once.

    Args:
        study: whose runs.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._known: dict[str, HeadstartError] = {}
        self._first: HeadstartError | None = None
        self.absent: list[Absent] = []

    def call(self, run: Run, make: Callable[[Run], list[Task]]) -> list[Task]:
        """Return the run's tasks, or none if its images or weights, or those of its source, are not to be had.

        Raises:
            DataAbsent: the study's own images are not to be had.
            HeadstartError: what `make` raises where the run itself is at fault.
        """
        source = next((each for each in self.absent if each.run.name == run.needs), None)
        if source is not None:
            self.absent.append(Absent(run, f"starts from {source.run.name!r}, which cannot be done: {source.why}"))
            return []
        needs = [run.data.source, content_key([run.spec.backbone, run.spec.weights.model_dump()])]
        error = next((self._known[need] for need in needs if need in self._known), None)
        if error is None:
            try:
                return make(run)
            except DataAbsent as found:
                if run.data == self._study.spec.data:
                    raise
                self._known[needs[0]] = error = found
            except WeightsAbsent as found:
                self._known[needs[1]] = error = found
        self._first = self._first or error
        self.absent.append(Absent(run, str(error)))
        return []

    def check(self, *, strict: bool) -> None:
        """Refuse the study if nothing of it can be done; with `strict`, if anything cannot be done.

        Raises:
            DataAbsent, WeightsAbsent: which run, why, and how many more.
        """
        if self._first is None or not (strict or len(self.absent) == len(self._study.runs)):
            return
        run, more = self.absent[0].run, len(self.absent) - 1
        tail = f" ({more} more runs cannot be done either)" if more else ""
        raise type(self._first)(f"run {run.name!r}: {self._first}{tail}")


def write_absent(session: Session) -> None:
    """Write each run that cannot be done as a failed one, unless it was done before with the same settings."""
    for absent in session.plan.absent:
        for seed in session.plan.study.spec.seed_list:
            task = Task(absent.run, seed, "")
            dataset = _unseen(absent.run)
            if _done_before(task, dataset, session):
                session.listener.reused(task.name)
                continue
            write_failure(task, session.folder, dataset, absent.why, [])
            session.listener.failed(task.name, absent.why)


def startable(tasks: Sequence[Task], session: Session) -> list[Task]:
    """Return the tasks that have something to start from; those whose source failed fail too."""
    ready = []
    for task in tasks:
        if has_source(task, session):
            ready.append(task)
            continue
        why = f"starts from {task.run.needs!r}, which failed and left no network"
        write_failure(task, session.folder, session.workshop.dataset(task.run.data), why, [])
        session.listener.failed(task.name, why)
    return ready


def has_source(task: Task, session: Session) -> bool:
    """Say whether the task starts from no other run, or from one that left a network."""
    if task.run.needs is None:
        return True
    place = session.workshop.left_by(task.run.needs, task.seed)
    return place is not None and any((place / name).is_file() for name in (MODEL, HEAD))


def _unseen(run: Run) -> Dataset:
    """Return a dataset that is nothing but a name: these images may not be at hand, and are not looked for again."""
    nothing = PictureReader(np.zeros((0, 1, 1, 3), dtype=np.uint8))
    return Dataset(run.data.name or run.data.source, nothing, np.zeros(0, dtype=np.int64), ())


def _done_before(task: Task, dataset: Dataset, session: Session) -> bool:
    manifest = session.folder.manifest(task.run.name, task.seed)
    if manifest is None or manifest["status"] != "complete":
        return False
    stored = read_json(session.folder.run_folder(task.run.name, task.seed) / "spec.json")
    asked = json.loads(json_bytes(described(task, dataset)))
    for settings in (stored, asked):
        settings["data"] = {key: settings["data"].get(key) for key in ("source", "label", "limit", "split", "classes")}
    return bool(stored == asked)
