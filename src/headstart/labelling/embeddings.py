"""One vector per image by a pretrained network, with the image's name, and its label and part where they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.bands import Bands, BandsAsked
from headstart.data.dataset import Dataset
from headstart.data.decoding.decode import decode, quiet_pillow
from headstart.data.decoding.pictures import Picture
from headstart.data.sources.load import load_dataset
from headstart.data.sources.without_labels import load_without_labels
from headstart.errors import DataError, first_line
from headstart.models.backbone import Backbone
from headstart.models.weights.registry import NAMED
from headstart.progress import say
from headstart.storage.opening import default_store
from headstart.storage.store import Store
from headstart.study.measured_bands import bands_without_a_rule
from headstart.study.resources import Resources
from headstart.study.spec.network import NetworkSpec
from headstart.study.spec.schema import WeightsSpec
from headstart.transfer.frozen.engine import Engine
from headstart.transfer.frozen.views import view_of

BACKBONE = "efficientnet_lite0"
Source = str | Path | Mapping[str, Any] | Dataset


@dataclass(frozen=True)
class Embeddings:
    """Images and their vectors.

    Args:
        dataset: the images; rows that do not decode are left out.
        vectors: float32 [n, d], read-only; may be memory-mapped.
        network: the name of the backbone.
        weights: where its weights come from, with their SHA-256; "none" for raw pixels.
        resources, spec: what ran it; they embed further images.
    """

    dataset: Dataset
    vectors: npt.NDArray[np.float32]
    network: str
    weights: str
    resources: Resources
    spec: NetworkSpec

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def names(self) -> list[str]:
        """The name of each image, in the order of the vectors."""
        return [self.dataset.reader.name(row) for row in range(len(self.dataset))]

    @property
    def labels(self) -> list[str] | None:
        """The label of each image ("a|b" where there are several), or None without labels."""
        dataset = self.dataset
        if not dataset.classes:
            return None
        if dataset.multi_label:
            return ["|".join(dataset.classes[code] for code in np.flatnonzero(row)) for row in dataset.labels]
        return [dataset.classes[code] for code in dataset.labels]

    def of(self, picture: Picture) -> npt.NDArray[np.float32]:
        """Return the vector [d] of another image: a path, bytes, an open file, a PIL image, an array or a tensor.

        Raises:
            UndecodableError: it cannot be read.
        """
        with quiet_pillow():
            pixels = decode(picture, view_of(self._backbone.preprocessing))
        (vector,) = flat(self._engine(pixels[None]))
        return np.asarray(vector, dtype=np.float32)

    @property
    def bands(self) -> Bands | None:
        """The bands in which the images are read, with what was measured of each; None: they are ordinary pictures."""
        return self.spec.bands

    @property
    def _backbone(self) -> Backbone:
        return self.resources.loaded(self.spec, 0).backbone

    @cached_property
    def _engine(self) -> Engine:
        """What runs the network; it takes seconds to prepare."""
        return Engine(self._backbone.stages, self._backbone.preprocessing, self.resources.device)


def embed(
    data: Source,
    *,
    backbone: str = BACKBONE,
    weights: str = "imagenet",
    label: str | None = None,
    bands: BandsAsked | None = None,
    show: BandsAsked | None = None,
    device: str = "auto",
    store: Store | None = None,
) -> Embeddings:
    """Return the vectors of all images of a dataset, or of a folder, glob, table or archive without labels.

    They are cached: a second call for the same images and network computes nothing.

    Args:
        data: what `compare` takes, or images without labels.
        backbone: the network; its features are taken before the classifier.
        weights: "imagenet", "aerial", "none" (random) or a file.
        label: the label to use if the data have several.
        bands: which bands of each file are read: "all", or their indices or names.
        show: the three bands that people see.
        device: "auto", "cpu", "cuda", "mps".
        store: the cache.

    Raises:
        DataError: there is no usable image.
        ModelError, WeightsError: the network is unknown, or its weights are unavailable.
        MissingExtra: they come in a package that is not installed.
    """
    resources = Resources(store or default_store(), device)
    named = weights in NAMED
    spec = NetworkSpec(backbone, WeightsSpec(name=weights) if named else WeightsSpec(path=weights))
    with resources.store.in_use():
        resources.loaded(spec, 0)  # refused before an image is read
        dataset = images_of(data, label, bands, show)
        spec = replace(spec, bands=bands_without_a_rule(dataset))
        loaded = resources.loaded(spec, 0)
        features = resources.features_of(dataset, spec, 0)
        bad = sorted(resources.bad_rows(dataset))
        if bad:
            keep = np.setdiff1d(np.arange(len(dataset)), np.array(bad, dtype=np.int64))
            dataset, features = dataset.select(keep), features[keep]
    origin = "none" if loaded.weights is None else f"{loaded.weights.origin} {loaded.weights.sha256 or ''}".strip()
    return Embeddings(dataset, flat(features), loaded.backbone.name, origin, resources, spec)


def read_already(data: Source, bands: BandsAsked | None, show: BandsAsked | None) -> Dataset | None:
    """Return a dataset that was given as such; None where the source is yet to be read.

    Raises:
        DataError: bands are asked for, which were chosen when it was read.
    """
    if not isinstance(data, Dataset):
        return None
    if bands is not None or show is not None:
        raise DataError(f"{data.name}: is read already; give the bands to load_dataset")
    return data


def images_of(
    data: Source, label: str | None = None, bands: BandsAsked | None = None, show: BandsAsked | None = None
) -> Dataset:
    """Return the images with their labels, or without where the source gives none, which is said.

    Args:
        data, label, bands, show: see `embed`; a dataset has its bands already.

    Raises:
        DataError: there is no usable image, or no such band.
    """
    if (dataset := read_already(data, bands, show)) is not None:
        return dataset
    assert not isinstance(data, Dataset)
    try:
        return load_dataset(data, label=label, bands=bands, show=show)
    except DataError as error:
        if isinstance(data, Mapping) or label is not None:
            raise
        exists = Path(data).expanduser().exists()
        if not exists and not any(mark in str(data) for mark in "*?["):
            raise
        found = load_without_labels(data, bands=bands, show=show)
        if exists:
            say(f"read without labels: {first_line(error).partition('; ')[0]}")
        return found


def flat(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return features [n, …] as vectors [n, d]."""
    return features.reshape(len(features), -1)
