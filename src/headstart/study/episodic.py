"""Episodic runs: N-way K-shot tasks on the stored features of a run's images."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.errors import DataError, SpecError, unknown_name
from headstart.fewshot.study import run_fewshot
from headstart.study.folder import StudyFolder, json_bytes, npz_bytes
from headstart.study.record import described, environment, peak_memory
from headstart.study.task import Task
from headstart.study.workshop import Workshop


def run_episodes(task: Task, workshop: Workshop, folder: StudyFolder) -> float:
    """Judge one episodic classifier over thousands of episodes and write the run's folder.

    Episodes are drawn from the images of the named classes (default: all) that a network of the same
    study has not learned from: all rows where the weights come from elsewhere, the test rows of this
    dataset where they come from a run on the same images.

    Returns:
        The mean accuracy.

    Raises:
        SpecError, DataError: more ways, shots or queries than there is material for.
    """
    spec = task.run.spec.episodes
    assert spec is not None
    dataset = workshop.dataset(task.run.data)
    if dataset.multi_label:
        raise DataError(f"{dataset.name}: episodes need one label an image; this dataset has several")
    features = workshop.features(task.run, task.seed)
    rows = _rows(task, workshop)
    flat = np.asarray(features[rows]).reshape(len(rows), -1)
    result = run_fewshot(
        flat,
        dataset.labels[rows],
        dataset.classes,
        ways=spec.ways,
        shots=[spec.shots],
        queries=spec.queries,
        episodes=spec.episodes,
        methods=[spec.method],
        seed=task.seed,
        device=workshop.device,
        classes=_classes(dataset.classes, spec.classes),
    )
    score = result.scores[spec.shots][spec.method]
    facts = workshop.features_facts(task.run, task.seed)
    loaded = workshop.loaded(task.run, task.seed)
    table = result.to_dict()
    row: dict[str, Any] = table["rows"][0]
    summary = {
        "n_test": len(rows),
        "chosen": {},
        "tried": [],
        "notes": [f"episodes are drawn from {len(rows):,} images of {result.classes} classes"],
        "metrics": {
            "test": {
                "accuracy": {"value": row["accuracy"], "low": row["low"], "high": row["high"], "n": row["episodes"]}
            }
        },
        "episodes": row,
        "parameters": {"total": sum(p.numel() for p in loaded.backbone.stages.parameters()), "learned": 0},
        "weights": {
            "origin": loaded.weights.origin if loaded.weights else "none: raw pixels",
            "sha256": loaded.weights.sha256 if loaded.weights else None,
            "licence": loaded.weights.licence if loaded.weights else None,
        },
        "cost": {
            "seconds": result.seconds,
            "shared_seconds": facts.get("seconds", 0.0),
            "images_per_second": facts.get("images_per_second"),
            "peak_memory_bytes": peak_memory(),
            "device": workshop.device,
        },
    }
    files = {
        "spec.json": json_bytes(described(task, dataset)),
        "result.json": json_bytes(summary),
        "episodes.npz": npz_bytes(accuracy=np.asarray(score.accuracy, np.float32), classes=np.asarray(score.classes)),
        "history.json": json_bytes([]),
        "environment.json": json_bytes(environment(workshop.device)),
    }
    folder.write_run(task.run.name, task.seed, task.key, files)
    return float(row["accuracy"])


def _rows(task: Task, workshop: Workshop) -> np.ndarray:
    """Return the rows that episodes may use: never an image that the network was trained on in this study."""
    dataset = workshop.dataset(task.run.data)
    bad = np.array(sorted(workshop.bad_rows(dataset)), dtype=np.int64)
    learned_here = task.run.needs is not None and workshop.learned_on.get(task.run.needs) == dataset.fingerprint
    rows = workshop.split(task.run, task.seed).test if learned_here else np.arange(len(dataset))
    return np.setdiff1d(rows, bad)


def _classes(known: tuple[str, ...], wanted: list[str] | None) -> list[int] | None:
    if wanted is None:
        return None
    for name in wanted:
        if name not in known:
            raise SpecError(f"episodes.classes: {unknown_name('class', name, known)}")
    return [known.index(name) for name in wanted]
