"""Episodic runs: N-way K-shot tasks on cached features, and networks trained for such tasks."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save

from headstart.data.dataset import Dataset
from headstart.errors import DataError, SpecError, unknown_name
from headstart.fewshot.class_split import ClassSplit, given_class_split, make_class_split, random_class_split
from headstart.fewshot.embedding import ChosenImages
from headstart.fewshot.episodes import Episodes
from headstart.fewshot.evaluation import FewShotSpec, Judge, LabelledFeatures, check_one_label, run_fewshot
from headstart.fewshot.finetune_episode import NAME as FINETUNE
from headstart.fewshot.finetune_episode import finetune_episodes
from headstart.fewshot.intervals import episode_interval
from headstart.fewshot.scores import EpisodeScores
from headstart.fewshot.training import train_embedding
from headstart.models.bundle import MODEL
from headstart.storage.files import read_json, write_atomic
from headstart.study.execution.finite import check_features
from headstart.study.resources import Resources
from headstart.study.results.environment import environment
from headstart.study.results.folder import Content, StudyFolder, json_bytes, npz_bytes
from headstart.study.results.peak_memory import peak_memory
from headstart.study.results.run_record import KIND as FITS
from headstart.study.results.run_record import described
from headstart.study.spec.schema import EPISODIC, ClassSplitSpec, EpisodesSpec
from headstart.study.spec.settings import finetune_options, training_options
from headstart.study.task import Task
from headstart.units import percent


def run_episodes(task: Task, resources: Resources, folder: StudyFolder, learned_on: Mapping[str, str]) -> float:
    """Evaluate one episodic classifier over thousands of episodes and write the run's folder.

    Episodes are drawn from the images of the named classes (default: all) that a network of the same
    study has not learned from: the test rows of this dataset if the weights come from a run on the same
    images, otherwise all rows.

    Returns:
        The mean accuracy.

    Raises:
        SpecError, DataError: too few classes or images for the ways, shots and queries.
    """
    spec = task.run.spec.episodes
    assert spec is not None
    dataset = resources.dataset(task.run.data)
    check_one_label(dataset)
    if task.run.spec.strategy in EPISODIC:
        return _train(task, spec, dataset, resources, folder)
    tuned = spec.method == FINETUNE
    every = None if tuned else resources.features(task.run.data, task.run.network, task.seed)
    if tuned:  # decoded first, because unreadable images are excluded
        resources.images(task.run.data, resources.loaded(task.run.network, task.seed).backbone.preprocessing)
    rows = _rows(task, resources, learned_on)
    judges = {FINETUNE: _tuning_judge(task, resources, rows)} if tuned else {}
    features = None if every is None else np.asarray(every[rows]).reshape(len(rows), -1)
    classes = _classes(dataset.classes, spec.classes)
    asked = FewShotSpec(
        ways=spec.ways,
        shots=(spec.shots,),
        queries=spec.queries,
        episodes=spec.episodes,
        methods=(spec.method,),
        seed=task.seed,
        classes=None if classes is None else tuple(classes),
    )
    if features is not None:
        check_features(features, task.run.spec.backbone)
    data = LabelledFeatures(dataset.labels[rows], dataset.classes, features)
    result = run_fewshot(data, asked, judges=judges, device=resources.device)
    facts = {} if tuned else resources.features_facts(task.run.data, task.run.network, task.seed)
    note = f"episodes are drawn from {len(rows):,} images of {result.classes} classes"
    note += "; the network is tuned again in each" if tuned else ""
    shared = {"shared_seconds": facts.get("seconds", 0.0), "images_per_second": facts.get("images_per_second")}
    score = result.scores[spec.shots][spec.method]
    return _write(task, resources, folder, score, note, [], {"seconds": result.seconds, **shared}, learned=tuned)


def _tuning_judge(task: Task, resources: Resources, rows: np.ndarray) -> Judge:
    """Return the function that tunes the network in each episode, over the rows that episodes may use."""
    backbone = resources.loaded(task.run.network, task.seed).backbone
    images = resources.images(task.run.data, backbone.preprocessing)
    options = finetune_options(task.run.spec)

    def judge(episodes: Episodes) -> EpisodeScores:
        chosen = ChosenImages(images, rows)
        return finetune_episodes(backbone, chosen, episodes, options, seed=task.seed, device=resources.device)

    return judge


def _train(task: Task, spec: EpisodesSpec, dataset: Dataset, resources: Resources, folder: StudyFolder) -> float:
    """Train a network on the base classes and evaluate it on the novel ones, once."""
    split = _class_split(spec, dataset, task.seed)
    with resources.store.building(FITS, task.key) as entry:
        if entry is not None:
            _train_into(entry.path, task, split, dataset, resources)
    place = resources.store.path(FITS, task.key)
    facts = read_json(place / "training.json")
    with np.load(place / "episodes.npz") as arrays:
        score = EpisodeScores(spec.method, arrays["accuracy"], arrays["classes"], 0.0)
    note = (
        f"trained on {len(split.base)} classes, selected on {len(split.validation)}, tested on {len(split.novel)} novel"
        f" ones; before training: {percent(facts['untrained'])}"
    )
    history = [
        {
            "epoch": row["step"],
            "train_loss": row["loss"],
            "train_accuracy": row["train_accuracy"],
            "validation_loss": None,
            "validation_accuracy": row["validation_accuracy"],
            "lr": row["lr"],
            "seconds": row["seconds"],
        }
        for row in facts["history"]
    ]
    return _write(task, resources, folder, score, note, history, {"seconds": facts["seconds"]}, learned=True)


def _train_into(place: Path, task: Task, split: ClassSplit, dataset: Dataset, resources: Resources) -> None:
    backbone = copy.deepcopy(resources.loaded(task.run.network, task.seed).backbone.bare())
    found = train_embedding(
        backbone,
        resources.images(task.run.data, backbone.preprocessing),
        dataset.labels,
        split,
        training_options(task.run.spec, task.seed),
        folder=place / "training",
        device=resources.device,
        class_names=dataset.classes,
    )
    state = {f"backbone.{key}": value.cpu().contiguous() for key, value in found.backbone.state_dict().items()}
    write_atomic(place / MODEL, save(state))
    facts = {
        "history": found.history,
        "best_step": found.best_step,
        "untrained": found.untrained.mean,
        "seconds": sum(row["seconds"] for row in found.history),
    }
    write_atomic(place / "training.json", json_bytes(facts))
    write_atomic(place / "episodes.npz", npz_bytes(accuracy=found.test.accuracy, classes=found.test.classes))


def _write(
    task: Task,
    resources: Resources,
    folder: StudyFolder,
    score: EpisodeScores,
    note: str,
    history: list[dict[str, Any]],
    cost: dict[str, Any],
    *,
    learned: bool,
) -> float:
    loaded = resources.loaded(task.run.network, task.seed)
    asked = task.run.spec.episodes
    assert asked is not None
    several = len(score.accuracy) > 1
    interval = episode_interval(score.accuracy, asked.ways * asked.queries) if several else None
    mean = float(np.mean(score.accuracy))
    bounds = {"low": interval.low, "high": interval.high} if interval else {"low": None, "high": None}
    total = sum(p.numel() for p in loaded.backbone.stages.parameters())
    summary = {
        "n_test": len(score.accuracy),
        "chosen": {},
        "tried": [],
        "notes": [note],
        "metrics": {"test": {"accuracy": {"value": mean, **bounds, "n": len(score.accuracy)}}, "validation": {}},
        "parameters": {"total": total, "learned": total if learned else 0},
        "weights": {
            "origin": loaded.weights.origin if loaded.weights else "none: raw pixels",
            "sha256": loaded.weights.sha256 if loaded.weights else None,
            "licence": loaded.weights.licence if loaded.weights else None,
        },
        "cost": {**cost, "peak_memory_bytes": peak_memory(), "device": resources.device},
    }
    files: dict[str, Content] = {
        "spec.json": json_bytes(described(task, resources.dataset(task.run.data))),
        "result.json": json_bytes(summary),
        "episodes.npz": npz_bytes(accuracy=np.asarray(score.accuracy, np.float32), classes=np.asarray(score.classes)),
        "history.json": json_bytes(history),
        "environment.json": json_bytes(environment(resources.device)),
    }
    folder.write_run(task.run.name, task.seed, task.key, files)
    return mean


def _class_split(spec: EpisodesSpec, dataset: Dataset, seed: int) -> ClassSplit:
    if isinstance(spec.split, ClassSplitSpec):
        names = (spec.split.base, spec.split.validation, spec.split.novel)
        base, validation, novel = (_classes(dataset.classes, side) or [] for side in names)
        return make_class_split(base, validation, novel, dataset.classes)
    if spec.split == "given":
        if dataset.given_split is None:
            raise DataError(f"{dataset.name}: has no given split of its classes; use episodes.split: random")
        return given_class_split(dataset.labels, dataset.given_split, dataset.classes)
    return random_class_split(dataset.classes, seed)


def _rows(task: Task, resources: Resources, learned_on: Mapping[str, str]) -> np.ndarray:
    """Return the rows that episodes may use: no image that the network was trained on in this study."""
    dataset = resources.dataset(task.run.data)
    bad = np.array(sorted(resources.bad_rows(dataset)), dtype=np.int64)
    learned_here = task.run.needs is not None and learned_on.get(task.run.needs) == dataset.fingerprint
    rows = resources.split(task.run.data, task.seed, task.run.subset).test if learned_here else np.arange(len(dataset))
    return np.setdiff1d(rows, bad)


def _classes(known: tuple[str, ...], wanted: list[str] | None) -> list[int] | None:
    if wanted is None:
        return None
    for name in wanted:
        if name not in known:
            raise SpecError(f"episodes.classes: {unknown_name('class', name, known)}")
    return [known.index(name) for name in wanted]
