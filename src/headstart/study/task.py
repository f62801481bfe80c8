"""A task: one run with one seed, and the content key of everything its result depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset, Split
from headstart.fewshot.finetune_episode import NAME as FINETUNE
from headstart.models.bundle import Origin
from headstart.models.pixels import NAME as PIXELS
from headstart.storage.store import content_key
from headstart.study.resources import Resources
from headstart.study.spec.run import Run
from headstart.study.spec.schema import DISTIL, EPISODIC
from headstart.transfer.heads.catalogue import HEADS

_VERSION = 4  # raise it when the same settings would give other numbers, or files that are read in another way


_OF_TEACHERS = ("teacher_views", "temperature", "hard_labels")  # settings that keys of other runs do not know


@dataclass(frozen=True)
class Task:
    """One run with one seed.

    Args:
        run: its settings.
        seed: draws the validation part, the initialisation and the order of training.
        key: the content key of the fit. Seeds that would repeat the same fit have the same key.
        deterministic: nothing in it is random: another seed gives the same answers, unless it chooses differently.
        teacher: the content key of its teacher and of its images without labels.
    """

    run: Run
    seed: int
    key: str
    deterministic: bool = False
    teacher: str = ""

    @property
    def name(self) -> str:
        """The run's name with its seed, or its fold and repeat, for people."""
        return f"{self.run.name} ({self.run.data.split.words(self.seed)})"

    @property
    def probe(self) -> bool:
        """Return whether only a head is learned, on stored features."""
        return self.run.spec.head_kind is not None and self.run.spec.episodes is None

    def provenance(self, dataset: Dataset) -> dict[str, str]:
        """Return what a bundle says of the run that it comes from, besides the study."""
        return {"run": self.run.name, "seed": str(self.seed), "dataset": dataset.name}


def make_task(run: Run, seed: int, resources: Resources, upstream: Mapping[tuple[str, int], str]) -> Task:
    """Return the task of a run and seed.

    Args:
        run, seed: which.
        resources: gives the dataset and the split.
        upstream: the keys of the tasks made before, by run and seed, for runs that start from another.
    """
    dataset = resources.dataset(run.data)
    unset = {name for name in _OF_TEACHERS if getattr(run.spec, name) is None}
    settings = run.spec.model_dump(exclude={"data", "shots", "fraction", "weights", "teacher", *unset})
    taught = _taught(run, seed, resources, upstream)
    payload = {
        "version": _VERSION,
        "data": dataset.fingerprint,
        "split": split_hash(resources.split(run.data, seed, run.subset)),
        "settings": settings,
        "choices": [[choice.path, choice.values, choice.search] for choice in run.choices],
        "trials": run.trials if run.searches else None,
        "metric": run.metric if run.choices or run.spec.head_kind is not None or run.metric != "accuracy" else None,
        "weights": _weights_key(run, seed, resources, upstream),
        "seed": seed if _draws(run) else None,
        "device": resources.device.split(":")[0],
        **taught,
    }
    bands = resources.bands(run.data)
    if bands is not None:
        payload["bands"] = bands.facts()
    return Task(run, seed, content_key(payload), _is_deterministic(run, seed, resources), content_key(taught))


def _taught(
    run: Run, seed: int, resources: Resources, upstream: Mapping[tuple[str, int], str]
) -> dict[str, list[str] | str]:
    """Return what the fit of a run with a teacher depends on besides; nothing for the others."""
    teacher = run.spec.teacher
    if run.spec.strategy != DISTIL or teacher is None:
        return {}
    keys = [upstream[each.name, seed] for each in run.teachers]
    saved = [] if teacher.path is None else [resources.saved_teacher(teacher.path).identity]
    images = resources.unlabelled(run.data)
    return {"teacher": [*keys, *saved], "unlabelled": "" if images is None else images.fingerprint}


def _draws(run: Run) -> bool:
    """Return whether fitting the run draws anything: first weights, an order of images, episodes."""
    kind = run.spec.head_kind
    return kind is None or HEADS[kind].seeded or run.spec.episodes is not None


def _is_deterministic(run: Run, seed: int, resources: Resources) -> bool:
    """Return whether nothing is random in fitting the run and another seed learns from the same images.

    Where a head is refitted, these are train and validation together: another seed may still choose another penalty,
    which shows in the scores. Of episodes: whether another seed would answer the same on the same episodes.
    """
    spec = run.spec
    if spec.weights.run is not None:
        return False
    if spec.episodes is not None:
        return spec.strategy not in EPISODIC and spec.episodes.method != FINETUNE
    if _draws(run):
        return False
    own, other = (resources.split(run.data, each, run.subset) for each in (seed, seed + 1))
    if split_hash(own) == split_hash(other):
        return True
    same = np.array_equal(own.test, other.test) and np.array_equal(_learned(own), _learned(other))
    return run.refits and same


def _learned(split: Split) -> np.ndarray:
    return np.union1d(split.train, split.validation)


def origin_of(run: Run, seed: int, resources: Resources) -> Origin:
    """Return how the run's backbone is built, for the bundle it leaves."""
    spec, weights = run.spec, resources.loaded(run.network, seed).weights
    if spec.backbone == PIXELS or weights is None:
        return Origin(PIXELS, input_size=spec.input_size)
    source = resources.source(spec.weights, seed)
    return Origin(
        spec.backbone,
        spec.truncate_at,
        spec.input_size,
        None if source is None else str(source),
        run.network.random_seed(seed),
        weights.sha256,
    )


def split_hash(split: Split) -> str:
    """Return a hash of the rows of train, validation and test."""
    digest = hashlib.blake2b(digest_size=16)
    for rows in (split.train, split.validation, split.test):
        digest.update(len(rows).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(rows, dtype=np.int64).tobytes())
    return digest.hexdigest()


def class_counts(dataset: Dataset, rows: np.ndarray) -> list[int]:
    """Return the number of these rows in each class."""
    if dataset.multi_label:
        return [int(count) for count in dataset.labels[rows].sum(0)]
    return [int(count) for count in np.bincount(dataset.labels[rows], minlength=len(dataset.classes))]


def _weights_key(run: Run, seed: int, resources: Resources, upstream: Mapping[tuple[str, int], str]) -> Any:
    weights = run.spec.weights
    if weights.run is not None:
        first = next((key for (name, _), key in upstream.items() if name == weights.run), None)
        return ["run", upstream.get((weights.run, seed), first)]
    return ["is", resources.loaded(run.network, seed).identity]
