"""The finished tasks of a study, and the keys of analyses of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset
from headstart.models.pixels import NAME as PIXELS
from headstart.storage.store import content_key
from headstart.study.execution.session import Session
from headstart.study.task import Task

Network = tuple[str, Task, list[Task]]  # its label, a task that uses its features, all tasks that do


def finished_key(session: Session, *more: Any) -> str:
    """Return the key of an analysis of the whole study: of every finished run, and of `more`."""
    done = [task.key for task in session.plan.tasks if session.finished(task)]
    return content_key([sorted(done), *more])


def networks(session: Session, dataset: Dataset) -> list[Network]:
    """Return label, first task and all tasks of every network whose frozen features the study used on these images."""
    groups: dict[tuple[str, str], list[Task]] = {}
    for task in session.plan.tasks:
        spec = task.run.spec
        if (
            not task.probe
            or spec.backbone == PIXELS
            or not uses_images(task, dataset, session)
            or not session.finished(task)
        ):
            continue
        weights = spec.weights.run or spec.weights.path or str(spec.weights.name)
        shown = Path(weights).name if spec.weights.path else weights
        label = f"{spec.backbone}{f' to {spec.truncate_at}' if spec.truncate_at else ''}, {shown}"
        if spec.shots is None and spec.fraction is None:
            groups.setdefault((label, weights), []).append(task)
    return [(label, members[0], members) for (label, _), members in groups.items()]


def learning_rows(session: Session, task: Task) -> npt.NDArray[np.int64]:
    """Return the rows that a task may learn from: train and validation, without images that cannot be decoded."""
    split = session.resources.split(task.run.data, task.seed, task.run.subset)
    bad = np.array(sorted(session.resources.bad_rows(session.resources.dataset(task.run.data))), dtype=np.int64)
    return np.setdiff1d(np.concatenate([split.train, split.validation]), bad)


def uses_images(task: Task, dataset: Dataset, session: Session) -> bool:
    """Return whether a task uses this dataset."""
    return session.resources.dataset(task.run.data).fingerprint == dataset.fingerprint
