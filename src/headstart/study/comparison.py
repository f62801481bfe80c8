"""The study that `compare` runs: baselines, and networks with classifier heads, on images of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from headstart.bands import BandsAsked, as_list
from headstart.data.dataset import Dataset
from headstart.data.sources.load import list_dataset, title_of
from headstart.data.sources.written import written
from headstart.data.splits import FEW_TEST_IMAGES
from headstart.errors import MissingExtra, SpecError, choose, require
from headstart.models.line_ups.choose import NamedNetwork
from headstart.models.line_ups.table import STRONG
from headstart.progress import say
from headstart.storage.names import readable
from headstart.study.planning.networks import networks_for
from headstart.study.spec.networks import PROXY_IMAGES, is_line_up
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.heads.catalogue import HEADS
from headstart.units import parse_duration

FOLDS = 5  # of cross-validation
TEST_SHARE = 0.2  # of the images, where they are not cross-validated
Data: TypeAlias = str | Path | Mapping[str, Any] | Dataset
BASELINES: dict[str, dict[str, Any]] = {
    "majority class": {"backbone": "pixels", "strategy": "majority", "input_size": 16},
    "raw pixels": {
        "backbone": "pixels",
        "strategy": "logistic",
        "input_size": 16,  # 768 numbers an image: at 32 px this baseline costs more than everything else
        "head": {"penalty": [3.0, 1.0, 0.3], "tolerance": 1e-3},  # weaker penalties overfit pixels, slowly
    },
}
TAILS = {"efficientnet_lite": "stage6", "resnet": "stage3"}  # what a budget leaves frozen of a network it tunes
TUNING: dict[str, Any] = {  # from the fitted probe; two stored views of each image in place of a pass every epoch
    "strategy": "lp_ft",
    "views": 2,
    "recipe": {"epochs": 6, "augment": ["horizontal_flip"]},
    "refit": "none",
}
TOGETHER = "networks together"
AVERAGED = ("logistic", "ridge")  # the heads whose probabilities are averaged, of all networks
COPIES = {"exact": True, "near": "near"}  # what drop_duplicates is called in a study file
DEFAULT_HEADS = ("logistic", "ridge", "prototypes", "knn")


def compare_spec(
    data: Data,
    *,
    label: str | None = None,
    backbones: Sequence[str] | None = None,
    networks: str | Sequence[str] | None = None,
    licence: str | None = None,
    heads: Sequence[str] = DEFAULT_HEADS,
    seeds: int = 3,
    budget: str | None = None,
    drop_duplicates: str | None = None,
    name: str | None = None,
    random_features: bool = False,
    training_images: int = 0,
    refit: str | None = None,
    corrections: str | Path | None = None,
    bands: BandsAsked | None = None,
    show: BandsAsked | None = None,
) -> dict[str, Any]:
    """Return the study that `compare` runs: baselines, backbones × heads, an ensemble of the backbones, several seeds.

    Args:
        data: anything `load_dataset` takes, or a dataset that it returned.
        label: the label to use, if the dataset has several.
        backbones: used with ImageNet weights; by default the line-up "auto" of what is on this machine.
        networks: in place of backbones: "auto" (with what can be fetched), "embedded", "fast", "strong", or names.
        licence: "open" leaves out networks whose weights have a restricted or unknown licence.
        heads: fitted to the cached features; those for one label an image are left out if images have several.
        seeds: number of seeds, or of repeats of five-fold cross-validation if a class has too few test images.
        budget: a time limit such as "5min"; the remaining time tunes the last stages of networks, the best first.
        drop_duplicates: "exact" leaves out copies of images, "near" also those that were saved again or resized.
        name: of the study; by default derived from the dataset's name.
        random_features: add a third baseline, the first backbone with random weights; it costs a pass over the images.
        training_images: bootstrap samples that every head is fitted on again, for wider intervals (folds have them).
        refit: "all" trains the saved model on every image, test images included; the tested model stays in its run.
        corrections: a CSV of images to leave out and labels to change, as written by `headstart review`.
        bands, show: "all" or which bands of each file are read, by index or name, and the three that people see.
    """
    tuning = budget is not None and _is_budget(budget) and _can_tune()  # refused before anything is advised
    listed = list_dataset(place := source_of(data), label=label)
    chosen = networks_for(len(listed), backbones, networks, licence=licence, budget=budget)
    heads = [head for head in heads if not listed.multi_label or HEADS[head].multi_label]
    runs = _runs(chosen, heads, _tuned_for(listed) if tuning else None, random_features=random_features)
    averaged = [f"{each.name} {head}" for each in chosen for head in AVERAGED if head in heads]
    read = bands_asked(data, bands, show)
    title, folded = title_of(place), _is_small(listed) and not read
    if folded and training_images:
        say("cross-validation already varies the training images; no bootstrap samples are drawn")
    return {
        "name": name or readable(f"compare {title}{' ' + label if label else ''}"),
        "question": f"Which frozen network and head classify {title} best, and how much better than no network?",
        "data": {**_data_of(place, label, drop_duplicates, corrections, folded=folded), **read},
        "seeds": seeds * FOLDS if folded else seeds,
        "runs": runs,
        "ensembles": {TOGETHER: averaged} if len(chosen) > 1 and averaged else {},
        "compare": {"baseline": "raw pixels", **({} if folded else {"training_images": training_images})},
        "budget": budget,
        "refit": refit,
    } | ({"proxy": PROXY_IMAGES} if budget is not None and is_line_up(networks, STRONG) else {})


def _runs(
    chosen: Sequence[NamedNetwork], heads: Sequence[str], tuned: Mapping[str, Any] | None, *, random_features: bool
) -> dict[str, dict[str, Any]]:
    """Return the baselines, then the runs of each network."""
    runs = {baseline: dict(settings) for baseline, settings in BASELINES.items()}
    if random_features and chosen:
        runs["random features"] = {"backbone": chosen[0].name, "weights": "none", "strategy": "logistic"}
    for network in chosen:
        runs |= _runs_of(network, heads, tuned)
    return runs


def _data_of(
    place: str, label: str | None, drop_duplicates: str | None, corrections: str | Path | None, *, folded: bool
) -> dict[str, Any]:
    copies = drop_duplicates and choose("kind of duplicates", drop_duplicates, COPIES)
    corrected = corrections and str(Path(corrections).expanduser().absolute())
    given = {"source": place, "label": label, "drop_duplicates": copies, "corrections": corrected}
    source = {key: value for key, value in given.items() if value is not None}
    return {**source, "split": {"folds": FOLDS, "fold": "seed"}} if folded else source


def bands_asked(data: Data, bands: BandsAsked | None, show: BandsAsked | None) -> dict[str, Any]:
    """Return the settings `bands` and `show` of a study: as given, else those in which a dataset was read."""
    read = dict(data.bands.asked) if bands is None and isinstance(data, Dataset) and data.bands is not None else {}
    given = {"bands": bands if bands in (None, "all") else as_list(bands), "show": show and as_list(show)}
    return {**read, **{key: value for key, value in given.items() if value is not None}}


def _runs_of(network: NamedNetwork, heads: Sequence[str], tuned: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Return the runs of one network: each head, and its last stages tuned, where there are settings for that."""
    backbone, base = network.name, {"backbone": network.name, "weights": network.weights}
    runs: dict[str, dict[str, Any]] = {f"{backbone} {head}": {**base, "strategy": head} for head in heads}
    tail = next((stage for family, stage in TAILS.items() if backbone.startswith(family)), None)
    if tuned is not None and tail is not None:
        runs[f"{backbone} tuned"] = {**base, "freeze_until": tail, **tuned}
    return runs


def _tuned_for(dataset: Dataset) -> dict[str, Any]:
    """Return the settings of a tuned run: a loss for several labels, and batches that few training images fill."""
    learned = len(dataset) if dataset.given_split is None else int((dataset.given_split == "train").sum())
    batch = 2 ** max(1, int(learned * (1 - TEST_SHARE) ** 2 / 2).bit_length() - 1)  # at least two batches an epoch
    recipe = {**TUNING["recipe"], **({"loss": "bce"} if dataset.multi_label else {})}
    return {**TUNING, "recipe": recipe if batch >= Recipe.batch_size else {**recipe, "batch_size": batch}}


def _is_small(dataset: Dataset) -> bool:
    """Return whether a class has too few images for a test part, and folds can be made."""
    if dataset.given_split is not None and bool((dataset.given_split == "test").any()):
        return False
    if dataset.groups is not None and len(set(dataset.groups.tolist())) < FOLDS:
        return False
    counts = dataset.labels.sum(0) if dataset.multi_label else np.bincount(dataset.labels)
    return bool(min(count for count in counts.tolist() if count) * TEST_SHARE < FEW_TEST_IMAGES)


def source_of(data: Data) -> str:
    """Return the name or path of these images for a study; images from Python are written to the cache.

    Raises:
        SpecError: it does not contain images and labels.
        DataError: the images and the labels do not match.
    """
    if isinstance(data, str | Path):
        return str(data)
    if isinstance(data, Mapping | Dataset):
        return str(written(data))
    raise SpecError(
        f"data is a path, the name of a dataset, {{'images': …, 'labels': …}} or what load_dataset returns,"
        f" not {type(data).__name__}"
    )


def _is_budget(budget: str) -> bool:
    try:
        return parse_duration(budget) > 0
    except ValueError as error:
        raise SpecError(f"budget: {error}") from error


def _can_tune() -> bool:
    """Return whether networks can be trained here; if not, tell the user which extra to install."""
    try:
        require("lightning", "tuned networks are left out of this comparison: training", "tune")
    except MissingExtra as error:
        say(str(error))
        return False
    return True
