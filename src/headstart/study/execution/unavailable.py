"""Writes unavailable runs as failed ones, with the reason."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.sources.in_memory import PictureReader
from headstart.models.bundle import HEAD, MODEL
from headstart.storage.files import read_json
from headstart.study.execution.session import Session
from headstart.study.results.folder import json_bytes
from headstart.study.results.run_record import described, write_failure
from headstart.study.spec.run import Run
from headstart.study.task import Task


def write_unavailable(session: Session) -> None:
    """Write each unavailable run as a failed one, unless it was finished before with the same settings."""
    for unavailable in session.plan.unavailable:
        for seed in session.plan.study.spec.seed_list:
            task = Task(unavailable.run, seed, "")
            dataset = _unseen(unavailable.run)
            if _done_before(task, dataset, session):
                session.listener.reused(task.name)
                continue
            write_failure(task, session.folder, dataset, unavailable.why, [])
            session.listener.failed(task.name, unavailable.why)


def startable(tasks: Sequence[Task], session: Session) -> list[Task]:
    """Return the tasks whose source left a network; write the others as failed."""
    ready = []
    for task in tasks:
        if has_source(task, session):
            ready.append(task)
            continue
        lost = next(source for source in task.run.sources if not _left(source, task, session))
        verb = "starts" if lost == task.run.needs else "learns"
        why = f"{verb} from {lost!r}, which failed and left no network"
        write_failure(task, session.folder, session.resources.dataset(task.run.data), why, [])
        session.listener.failed(task.name, why)
    return ready


def has_source(task: Task, session: Session) -> bool:
    """Return whether every run that the task starts or learns from left a network."""
    return all(_left(source, task, session) for source in task.run.sources)


def _left(source: str, task: Task, session: Session) -> bool:
    place = session.resources.left_by(source, task.seed)
    return place is not None and any((place / name).is_file() for name in (MODEL, HEAD))


def _unseen(run: Run) -> Dataset:
    """Return a dataset with a name and no images, which may be unavailable and are not requested again."""
    nothing = PictureReader(np.zeros((0, 1, 1, 3), dtype=np.uint8))
    return Dataset(run.data.name or run.data.source, nothing, np.zeros(0, dtype=np.int64), ())


def _done_before(task: Task, dataset: Dataset, session: Session) -> bool:
    manifest = session.folder.manifest(task.run.name, task.seed)
    if manifest is None or manifest["status"] != "complete":
        return False
    stored = read_json(session.folder.run_folder(task.run.name, task.seed) / "spec.json")
    asked = json.loads(json_bytes(described(task, dataset)))
    for settings in (stored, asked):
        settings.pop("deterministic", None)  # found from the split, which needs the images
        settings["data"] = {key: settings["data"].get(key) for key in ("source", "label", "limit", "split", "classes")}
    return bool(stored == asked)
