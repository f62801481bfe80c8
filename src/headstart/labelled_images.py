"""The Python API of labelled images: audit them, and classify few-shot episodes drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.audit import audit as auditing
from headstart.audit.audit import Audit
from headstart.bands import BandsAsked
from headstart.data.dataset import Dataset
from headstart.data.overview import given_by, overview
from headstart.errors import choose
from headstart.fewshot import evaluation as fewshot
from headstart.fewshot.embedding import ChosenImages
from headstart.fewshot.episodes import Episodes
from headstart.fewshot.evaluation import FewShotResult, FewShotSpec, LabelledFeatures
from headstart.fewshot.finetune_episode import NAME as FINETUNE
from headstart.fewshot.finetune_episode import finetune_episodes
from headstart.fewshot.methods import METHODS
from headstart.fewshot.scores import EpisodeScores
from headstart.storage.opening import default_store, default_store_in_use
from headstart.study.comparison import Data, bands_asked, source_of
from headstart.study.execution.session import Listener, Silent
from headstart.study.measured_bands import bands_without_a_rule
from headstart.study.resources import Resources
from headstart.study.spec.network import NetworkSpec
from headstart.study.spec.schema import DataSpec, WeightsSpec
from headstart.study.spec.validation import validate

EPISODES = 10_000
TUNED_EPISODES = 5  # each of them trains a network


@default_store_in_use()
def audit_images(
    data: Data,
    others: Sequence[Data] = (),
    *,
    backbone: str = "efficientnet_lite0",
    label: str | None = None,
    corrections: str | Path | None = None,
    bands: BandsAsked | None = None,
    show: BandsAsked | None = None,
    device: str = "auto",
    listener: Listener | None = None,
) -> Audit:
    """Audit images and labels for damaged files, duplicates, leaks and label errors.

    Args:
        data: what `compare` takes.
        others: datasets that should share no image with this one, such as the test images of a model.
        backbone: the pretrained network whose features find cut-outs and labels that look wrong.
        label: the label to use if the data have several.
        corrections: a CSV of images to leave out and labels to change, as written by `headstart review`.
        bands: which bands of each file are read: "all", or their indices or names; the same of the others.
        show: the three bands that people see.
        device: "auto", "cpu", "cuda", "mps".
        listener: is told what the images are.

    Raises:
        SpecError: the network or the device is unknown.
        DataError: a dataset is unreadable.
    """
    resources = Resources(default_store(), device)
    given = None if corrections is None else str(corrections)
    told = {"source": source_of(data), "label": label, "corrections": given, **bands_asked(data, bands, show)}
    spec = validate(DataSpec, told, name="audit", at=("data",), lines={})
    dataset = _named(data, resources.dataset(spec))
    read: dict[str, Any] = {} if dataset.bands is None else dict(dataset.bands.asked)
    network = NetworkSpec(backbone, bands=bands_without_a_rule(dataset))
    (listener or Silent()).overview(overview(dataset, given_by(dataset)))
    features = resources.features(spec, network, 0)
    images = resources.images(spec, resources.loaded(network, 0).backbone.preprocessing)
    beside = [
        auditing.Other(_named(each, resources.dataset(other)), resources.features(other, network, 0))
        for each, other in ((each, DataSpec(source=source_of(each), **read)) for each in others)
    ]
    bad = None if images is None else images.bad
    return auditing.audit_dataset(dataset, bad=bad, features=features, others=beside, store=resources.store)


@default_store_in_use()
def evaluate_fewshot(
    data: Data,
    *,
    backbone: str = "efficientnet_lite0",
    weights: str = "imagenet",
    label: str | None = None,
    bands: BandsAsked | None = None,
    show: BandsAsked | None = None,
    ways: int = 5,
    shots: Sequence[int] = (1, 5),
    queries: int = 15,
    episodes: int | None = None,
    methods: Sequence[str] = ("prototypes",),
    seed: int = 0,
    device: str = "auto",
    listener: Listener | None = None,
) -> FewShotResult:
    """Evaluate few-shot classifiers over many episodes drawn from labelled images.

    Args:
        data: what `compare` takes.
        backbone: the frozen network.
        weights: "imagenet", "none" (random), another published name or a file.
        label: the label to use if the data have several.
        bands: which bands of each file are read: "all", or their indices or names.
        show: the three bands that people see.
        ways: classes in an episode.
        queries: images of each class that are classified.
        shots: labelled images of each class; each number has episodes of its own.
        episodes: how many for each number of shots; by default 10,000, or 5 where the network is tuned.
        methods: names of episodic classifiers, "finetune", or ["all"].
        seed: of the episodes.
        device: "auto", "cpu", "cuda", "mps".
        listener: is told what the images are.

    Raises:
        SpecError: an invalid number or name.
        DataError: too few images for the episodes, or several labels an image; nothing has been computed yet.
    """
    chosen = list(METHODS) if list(methods) == ["all"] else list(methods)
    for method in chosen:
        choose("few-shot method", method, {**METHODS, FINETUNE: None})
    many = episodes if episodes is not None else TUNED_EPISODES if FINETUNE in chosen else EPISODES
    asked = FewShotSpec(ways, tuple(shots), queries, many, tuple(chosen), seed)
    told = {"source": source_of(data), "label": label, **bands_asked(data, bands, show)}
    spec = validate(DataSpec, told, name="fewshot", at=("data",), lines={})
    resources = Resources(default_store(), device)
    dataset = _named(data, resources.dataset(spec))
    network = NetworkSpec(backbone, WeightsSpec(name=weights), bands=bands_without_a_rule(dataset))
    (listener or Silent()).overview(overview(dataset, f"none; episodes are drawn from all {len(dataset):,} images"))
    fewshot.check_one_label(dataset)
    fewshot.draw_episodes(LabelledFeatures(dataset.labels, dataset.classes), asked)  # refuse before the network runs
    return _classified(resources, spec, network, asked, dataset)


def _named(data: Data, loaded: Dataset) -> Dataset:
    """Return the dataset under its own name: one that was given as an object was loaded from a file of the cache."""
    return replace(loaded, name=data.name) if isinstance(data, Dataset) else loaded


def _classified(
    resources: Resources, spec: DataSpec, network: NetworkSpec, asked: FewShotSpec, dataset: Dataset
) -> FewShotResult:
    features = resources.features(spec, network, asked.seed) if set(asked.methods) != {FINETUNE} else None
    backbone = resources.loaded(network, asked.seed).backbone
    images = resources.images(spec, backbone.preprocessing)
    keep = np.setdiff1d(np.arange(len(dataset)), np.array(sorted(resources.bad_rows(dataset)), dtype=np.int64))

    def tuned(drawn: Episodes) -> EpisodeScores:
        chosen: Any = ChosenImages(images, keep)
        return finetune_episodes(backbone, chosen, drawn, seed=asked.seed, device=resources.device)

    used = None if features is None else np.asarray(features).reshape(len(features), -1)[keep]
    usable = LabelledFeatures(dataset.labels[keep], dataset.classes, used, name=dataset.name)
    return fewshot.run_fewshot(usable, asked, judges={FINETUNE: tuned}, device=resources.device)
