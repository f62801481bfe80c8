"""Measures the similarity of source and target, and of networks of the study."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from headstart.evaluate.similarity import compare_stages, frechet_distance
from headstart.models.backbone import Backbone
from headstart.models.bundle import read_bundle
from headstart.models.preprocessing import as_tensor, normalise
from headstart.study.analysis.finished import finished_key, learning_rows, networks
from headstart.study.execution.session import Session
from headstart.study.results.facts import known_facts, write_facts
from headstart.study.spec.run import Run
from headstart.study.task import Task

_BATCH = 128
_LEAST = 8  # images on each side, below which a distance means nothing


def measure_similarity(session: Session) -> None:
    """Write similarity.json: Fréchet distances of the sources to the target, and CKA of pairs of networks by stage.

    It uses no label and no test image of the study.
    """
    asked = session.plan.study.spec.similarity
    if asked is None:
        return
    path, key = session.folder.root / "similarity.json", finished_key(session, asked.model_dump())
    if known_facts(path, key) is not None:
        return
    runs = {run.name: run for run in session.plan.study.runs}
    sources = [runs[name] for name in asked.sources if name in runs]  # others are excluded on the command line
    distances = [row for source in sources for row in _distances(session, source, asked.images)]
    stages = []
    for first, second in asked.stages:
        if first in runs and second in runs and (found := _stages(session, first, second, asked.images)):
            stages.append(found)
    write_facts(path, {"key": key, "frechet": distances, "stages": stages})


def _distances(session: Session, source: Run, most: int) -> Iterator[dict[str, Any]]:
    """Yield for each frozen network the distance of the target to the source's images, and to others of its own.

    Every distance is between equal numbers of images, because it depends on the number.
    """
    if source.name in {each.run.name for each in session.plan.unavailable}:
        return
    resources = session.resources
    target = resources.dataset(session.plan.own_tasks[0].run.data)
    theirs = resources.dataset(source.data)
    per_class = -(-most // len(theirs.classes))
    part = source.data.model_copy(update={"limit": min(per_class, source.data.limit or per_class)})
    for label, task, _ in networks(session, target):
        own = learning_rows(session, task)
        there = _features(session, replace(task.run, data=part), task.seed)
        n = min(most, len(there), len(own) // 2)
        if n < _LEAST:
            session.listener.note(
                f"similarity: {n} images on each side are too few for a distance; {_LEAST} are needed"
            )
            return
        here = _features(session, task.run, task.seed, np.sort(np.random.default_rng(0).permutation(own)[: 2 * n]))
        mixed = np.random.default_rng(1).permutation(2 * n)
        some, others = here[mixed[:n]], here[mixed[n:]]
        picked = np.sort(np.random.default_rng(2).permutation(len(there))[:n])
        yield {
            "network": label,
            "source": resources.dataset(source.data).name,
            "target": target.name,
            "n": n,
            "distance": frechet_distance(there[picked], some),
            "within_target": frechet_distance(others, some),
        }


def _features(
    session: Session, run: Run, seed: int, rows: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.float32]:
    found = session.resources.features(run.data, run.network, seed)
    if rows is None:
        bad = sorted(session.resources.bad_rows(session.resources.dataset(run.data)))
        rows = np.setdiff1d(np.arange(len(found)), np.array(bad, dtype=np.int64))
    return np.asarray(found[rows], dtype=np.float32).reshape(len(rows), -1)


def _stages(session: Session, first: str, second: str, most: int) -> dict[str, Any] | None:
    """Compare two runs' networks stage by stage on the study's own images."""
    places = [_finished(session, name) for name in (first, second)]
    if None in places:
        session.listener.note(f"skipped the stages of {first} and {second}: one of them is not finished")
        return None
    backbones = [
        read_bundle(place, agreed=True).network.backbone.to(session.resources.device) for place in places if place
    ]
    own = session.plan.own_tasks
    task = next((each for each in own if each.run.spec.shots is None and each.run.spec.fraction is None), own[0])
    rows = np.sort(np.random.default_rng(0).permutation(learning_rows(session, task))[:most])
    found = compare_stages(backbones[0], backbones[1], _batches(session, task, backbones, rows))
    return {
        "runs": [first, second],
        "first": list(found.first),
        "second": list(found.second),
        "cka": [[round(float(value), 4) for value in row] for row in found.cka],
        "n": found.n,
    }


def _finished(session: Session, name: str) -> Any:
    for task in session.plan.tasks:
        if task.run.name == name and session.finished(task):
            return session.folder.run_folder(name, task.seed)
    return None


def _batches(
    session: Session, task: Task, backbones: list[Backbone], rows: npt.NDArray[np.int64]
) -> Iterator[tuple[Tensor, Tensor]]:
    needs = [backbone.preprocessing for backbone in backbones]
    images = [session.resources.images(task.run.data, each) for each in needs]
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        one, two = (
            normalise(as_tensor(np.array(view.batch(part))), each).to(session.resources.device)
            for view, each in zip(images, needs, strict=True)
        )
        yield one, two
