"""Places the test images on a map: those that the study's network sees as similar are close together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset
from headstart.maps.neighbourhoods import mixing
from headstart.maps.points import mixing_rows, quantised
from headstart.maps.projection import AUTO, method_for, project
from headstart.models.pixels import NAME as PIXELS
from headstart.storage.files import read_json
from headstart.storage.store import MANIFEST, content_key
from headstart.study.analysis.finished import networks, uses_images
from headstart.study.execution.session import Session
from headstart.study.results.facts import known_facts, write_facts
from headstart.study.task import Task

FACTS = "map.json"
VERSION = 2  # of what is computed here
MOST = 3000  # test images; of more, so many are chosen at random


def place_test_images(session: Session) -> None:
    """Write map.json: where each test image is, by the best run's network or the first frozen one of the study.

    There is none for several labels an image, episodes, and studies without a network on frozen features.
    """
    path, best = session.folder.root / FACTS, session.state.best
    predictions = None if not best else session.folder.root / best["folder"] / "predictions.npz"
    if best is None or predictions is None or not predictions.is_file():
        path.unlink(missing_ok=True)
        return
    with np.load(predictions) as arrays:
        rows, labels = arrays["test_rows"].astype(np.int64), arrays["test_labels"]
    task = next((t for t in session.plan.tasks if t.run.name == best["run"] and t.seed == best["seed"]), None)
    dataset = session.resources.dataset((task or session.plan.tasks[0]).run.data)
    network = _network(session, task, dataset)
    if network is None or labels.ndim != 1 or len(rows) < 2:
        path.unlink(missing_ok=True)
        return
    method = method_for(AUTO, min(len(rows), MOST))[0]
    key = content_key(["map", VERSION, read_json(predictions.parent / MANIFEST)["files"], network[0], method])
    if known_facts(path, key) is None:
        of = {"run": best["run"], "seed": best["seed"], "data": dataset.fingerprint, "network": network[0]}
        write_facts(path, {**_placed(session, network[1], dataset, rows), **of, "key": key})


def _network(session: Session, task: Task | None, dataset: Dataset) -> tuple[str, Task] | None:
    """Return the label of the network whose features are drawn, and a task that uses them."""
    known = networks(session, dataset)
    for label, first, members in known:
        if task in members:
            return label, first
    if task is not None and task.probe and task.run.spec.backbone != PIXELS and uses_images(task, dataset, session):
        return task.run.spec.backbone, task
    return (known[0][0], known[0][1]) if known else None


def _placed(session: Session, task: Task, dataset: Dataset, test: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Return rows, positions as whole numbers, and what is said of the map."""
    rows = np.sort(np.random.default_rng(0).permutation(test)[:MOST])
    features = session.resources.features(task.run.data, task.run.network, task.seed)
    vectors = np.asarray(features[rows], dtype=np.float32).reshape(len(rows), -1)
    found = project(vectors, watch=lambda done, steps: session.resources.watch())
    mixed = mixing(found.neighbours, dataset.labels[rows], dataset.classes)
    return {
        "method": found.method,
        "words": found.words,
        "test": len(test),
        "rows": rows.tolist(),
        "positions": quantised(found.positions).ravel().tolist(),
        "classes": mixing_rows(mixed),
    }
