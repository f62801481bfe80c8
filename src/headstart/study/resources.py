"""The resources that the runs of a study share, each loaded or computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from headstart.addresses import is_address
from headstart.bands import Bands
from headstart.data.dataset import Dataset, IntArray, Split
from headstart.data.decoding.decode import View
from headstart.data.decoding.image_store import KIND as IMAGES
from headstart.data.decoding.image_store import ImageArray, OnChunk, decode_images, images_key, stored_key
from headstart.data.sources.load import load_dataset
from headstart.data.splits import subsample
from headstart.devices import resolve_device
from headstart.errors import DataError, SpecError, unknown_name
from headstart.models.backbone import Backbone
from headstart.models.bundle_file import find_bundle
from headstart.models.create import create_backbone
from headstart.models.first_layer import with_bands
from headstart.models.pixels import NAME as PIXELS
from headstart.models.pixels import pixels_backbone
from headstart.models.preprocessing import Preprocessing
from headstart.models.weights.checkpoint import read_checkpoint
from headstart.models.weights.registry import Weights
from headstart.storage.store import Store, content_key
from headstart.study.measured_bands import measured_bands, split_by
from headstart.study.parts import part_of, rows_of_parts
from headstart.study.spec.network import NetworkSpec, Subset
from headstart.study.spec.schema import DataSpec, WeightsSpec
from headstart.study.teachers import SavedTeacher, read_teacher, read_unlabelled, with_unlabelled
from headstart.transfer.frozen.features import KIND as FEATURES
from headstart.transfer.frozen.features import Source, extract, features_key, network_facts
from headstart.transfer.frozen.views import view_of

ALL = Subset()  # of the training part


@dataclass(frozen=True)
class Loaded:
    """A backbone with its weights in it.

    Args:
        backbone: shortened already, where the run says so.
        weights: their origin; None for raw pixels.
        identity: what its outputs depend on: the hash of its weights, or the seed of random ones.
        not_finite: the first tensor that holds NaN or an infinite value, or "".
    """

    backbone: Backbone
    weights: Weights | None
    identity: str
    not_finite: str = ""


def nothing() -> None:
    """Do nothing: no stage is stopped."""


def ignore(start: int, stop: int, pixels: npt.NDArray[np.uint8]) -> None:
    """Do nothing with images that are handed over."""


@dataclass
class Resources:
    """Everything that runs share.

    Args:
        store: the cache of decoded images, features and fits.
        device: "auto", "cpu", "cuda", …
        upstream: the folder of each finished run's network, by run and seed.
        watch: called repeatedly during long stages; it may raise to stop them. Finished work is kept.
        remote: networks run on other machines, so that the device need not be available on this one.
    """

    store: Store
    device: str = "auto"
    upstream: dict[tuple[str, int], Path] = field(default_factory=dict)
    watch: Callable[[], None] = nothing
    remote: bool = False
    _datasets: dict[str, Dataset] = field(default_factory=dict)
    decoded: dict[tuple[str, View], ImageArray] = field(default_factory=dict)
    _backbones: dict[str, Loaded] = field(default_factory=dict)
    _facts: WeakKeyDictionary[Backbone, dict[str, str]] = field(default_factory=WeakKeyDictionary)
    _bands: dict[str, Bands | None] = field(default_factory=dict)
    _features: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    _unlabelled: dict[str, Dataset] = field(default_factory=dict)
    _teachers: dict[str, SavedTeacher] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.device = resolve_device(self.device, remote=self.remote)

    def dataset(self, spec: DataSpec) -> Dataset:
        """Return the images and labels that a study file names.

        Raises:
            DataError: they are unavailable, or unsuitable for a classifier.
        """
        key = content_key(spec.model_dump(exclude={"split", "unlabelled"}) | {"lists": spec.split.given})
        if key not in self._datasets:
            lists = spec.split.given if isinstance(spec.split.given, list) else None
            found = load_dataset(
                spec.source,
                label=spec.label,
                lists=lists,
                limit=spec.limit,
                drop_duplicates=bool(spec.drop_duplicates),
                strict=spec.strict,
                name=spec.name,
                corrections=spec.corrections,
                bands=spec.bands,
                show=spec.show,
            )
            if spec.drop_duplicates == "near":
                from headstart.audit.audit import without_near_duplicates

                found = without_near_duplicates(found, self.store)
            self._datasets[key] = found if spec.classes is None else only_classes(found, spec.classes)
        return self._datasets[key]

    def bands(self, data: DataSpec) -> Bands | None:
        """Return the chosen bands, measured on all images but the test images; None of ordinary pictures.

        Raises:
            DataError: there is nothing to measure.
        """
        key = content_key(data.model_dump())
        if key not in self._bands:
            self._bands[key] = measured_bands(self.dataset(data), data.split)
        return self._bands[key]

    def unlabelled(self, spec: DataSpec) -> Dataset | None:
        """Return the images without labels that a study file names, without copies of labelled ones; None: no such.

        They are read in the bands of the labelled ones.

        Raises:
            DataError: none can be used, or each is a copy of a labelled one.
        """
        if spec.unlabelled is None:
            return None
        labelled = self.dataset(spec)
        read = None if labelled.bands is None else asdict(labelled.bands)
        key = content_key([spec.unlabelled, labelled.fingerprint, read, spec.drop_duplicates == "near"])
        if key not in self._unlabelled:
            self._unlabelled[key] = read_unlabelled(spec, labelled, self.store)
        return self._unlabelled[key]

    def pictures(self, spec: DataSpec) -> Dataset:
        """Return the labelled images that a study file names, then those without labels, whose label is -1."""
        labelled, more = self.dataset(spec), self.unlabelled(spec)
        return labelled if more is None else with_unlabelled(labelled, more)

    def saved_teacher(self, path: str) -> SavedTeacher:
        """Return a saved model, read once."""
        if path not in self._teachers:
            self._teachers[path] = read_teacher(path)
        return self._teachers[path]

    def split(self, data: DataSpec, seed: int, subset: Subset = ALL) -> Split:
        """Return the rows of train, validation and test for one seed.

        Args:
            data: which images, and the rule that divides them.
            seed: of the run.
            subset: how much of the training part is used.

        Raises:
            DataError: nothing is left for testing.
        """
        dataset = self.dataset(data)
        split = split_by(data.split, dataset, seed)
        if subset.fraction is not None and subset.fraction < 1:
            split = subsample(split, dataset, fraction=subset.fraction, seed=seed)
        elif subset.shots is not None:
            split = subsample(split, dataset, shots=subset.shots, seed=seed)
        if len(split.test) == 0:
            raise DataError(f"{dataset.name}: no image is left for testing; set split.test above 0")
        return split

    def images(self, data: DataSpec, preprocessing: Preprocessing, *, whole: bool = False) -> ImageArray:
        """Return the decoded images of one view, from the cache or decoded now.

        Args:
            data: which images.
            preprocessing: how large.
            whole: keep all of each image (for random crops) instead of its centre.
        """
        return self.images_of(self.dataset(data), preprocessing, whole=whole)

    def images_of(self, dataset: Dataset, preprocessing: Preprocessing, *, whole: bool = False) -> ImageArray:
        """Return the decoded images of a dataset that is at hand; see `images`."""
        view = view_of(preprocessing, whole=whole)
        key = (dataset.fingerprint, view)
        if key not in self.decoded:
            self.decoded[key] = decode_images(dataset, view, store=self.store)
        return self.decoded[key]

    def loaded(self, network: NetworkSpec, seed: int) -> Loaded:
        """Return a backbone with its weights.

        Raises:
            ModelError, WeightsError: the network is unknown, or the weights do not fit.
        """
        origin = self._origin(network, seed)
        bands = network.bands if network.data is None else self.bands(network.data)
        own = [] if bands is None else [bands.facts()]
        key = content_key([network.backbone, origin, network.truncate_at, network.input_size, network.resize, *own])
        if key not in self._backbones:
            self._backbones[key] = self._load(network, seed, bands)
        return self._backbones[key]

    def _origin(self, network: NetworkSpec, seed: int) -> Any:
        weights = network.weights
        if weights.run is not None:
            return ["run", str(self._run_weights(weights.run, seed))]
        if weights.name == "none":
            return ["random", network.random_seed(seed)]
        return [weights.name, weights.path, weights.sha256]

    def _run_weights(self, run: str, seed: int) -> Path:
        """Return the file of the network that an earlier run left."""
        found = self.left_by(run, seed)
        if found is None:
            raise SpecError(f"run {run!r} left no network to start from (it failed, or has not run yet)")
        return find_bundle(found)

    def left_by(self, run: str, seed: int) -> Path | None:
        """Return the folder of an earlier run's network: of the same seed, or of any if that seed has none."""
        return self.upstream.get((run, seed)) or next((p for (r, _), p in self.upstream.items() if r == run), None)

    def _load(self, spec: NetworkSpec, seed: int, bands: Bands | None) -> Loaded:
        if spec.backbone == PIXELS:
            backbone = pixels_backbone(spec.input_size or 32)
            backbone.preprocessing = _resized(backbone.preprocessing, spec.resize)
            return Loaded(with_bands(backbone, bands), None, f"pixels {backbone.preprocessing.size}")
        source = self.source(spec.weights, seed)
        start = spec.random_seed(seed)
        own = spec.weights.run is not None  # a run of this study, whose weights the study names
        backbone, weights = create_backbone(spec.backbone, source, seed=start, input_size=spec.input_size, agreed=own)
        identity: str = f"random {start}" if source is None else str(weights.sha256)
        backbone.preprocessing = _resized(backbone.preprocessing, spec.resize)
        if spec.truncate_at:
            backbone = backbone.truncate(spec.truncate_at)
        backbone = with_bands(backbone, bands)
        parts = [identity, *(str(part or "") for part in (spec.truncate_at, spec.input_size, spec.resize))]
        return Loaded(backbone.eval(), weights, " ".join(parts), _not_finite(backbone))

    def source(self, weights: WeightsSpec, seed: int) -> str | Path | None:
        """Return the weights as create_backbone takes them: a name, a file, an earlier run's folder, or None."""
        if weights.run is not None:
            return self._run_weights(weights.run, seed)
        if weights.path is not None:
            if weights.sha256 is not None:
                read_checkpoint(weights.path, weights.sha256)
            return weights.path if is_address(weights.path) else Path(weights.path).expanduser()
        return None if weights.name == "none" else weights.name

    def features_key(self, data: DataSpec, network: NetworkSpec, seed: int) -> str:
        """Return the content key of these images' features by this network."""
        return self.features_key_of(self.dataset(data), self.loaded(network, seed).backbone)

    def features_key_of(self, dataset: Dataset, backbone: Backbone) -> str:
        """Return the content key of the features of images at hand by a network at hand."""
        needs = backbone.preprocessing
        if backbone not in self._facts:  # what is frozen does not change, and every fit on its features asks again
            self._facts[backbone] = network_facts(backbone.stages)
        images = images_key(dataset, view_of(needs))
        return features_key(images, backbone.stages, needs, self.device, self._facts[backbone])

    def features(self, data: DataSpec, network: NetworkSpec, seed: int) -> npt.NDArray[np.float32]:
        """Return frozen features float32 [n, d], from the cache or computed while images decode."""
        return self.features_of(self.dataset(data), network, seed)

    def features_of(self, dataset: Dataset, network: NetworkSpec, seed: int) -> npt.NDArray[np.float32]:
        """Return the frozen features of a dataset that is at hand, labelled or not; see `features`."""
        return self.features_by(dataset, self.loaded(network, seed).backbone)

    def features_by(
        self, dataset: Dataset, backbone: Backbone, source: Source | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the frozen features that a network at hand computes of a dataset at hand; see `features`.

        Args:
            dataset, backbone: of the pass. What the cache has of its parts, which several workers left, is copied.
            source: hands over decoded images; None: they are decoded, or read from the cache.
        """
        key = self.features_key_of(dataset, backbone)
        if key not in self._features:
            view = view_of(backbone.preprocessing)
            parts = self._parts(dataset, backbone) if source is None and not self.store.has(FEATURES, key) else []
            give = source or (lambda take: self._decode(dataset, view, take, parts))
            self._features[key] = extract(
                PendingImages(len(dataset)),
                backbone.stages,
                backbone.preprocessing,
                key=key,
                store=self.store,
                device=self.device,
                title=f"{dataset.name}: features of {backbone.name}",
                source=lambda take: give(self._watched(take)),
                parts=[self.features_key_of(part, backbone) for part in parts],
            )
            if parts and not self.store.has(IMAGES, stored_key(dataset, view)):  # all features were copied
                self._decode(dataset, view, self._watched(ignore), parts)
        if source is None:
            self.images_of(dataset, backbone.preprocessing)
        return self._features[key]

    def _parts(self, dataset: Dataset, backbone: Backbone) -> list[Dataset]:
        """Return the parts of a pass, if the cache has the features of the first."""
        parts = (part_of(dataset, rows) for rows in rows_of_parts(len(dataset)))
        first = next(parts, None)
        if first is None or not self.store.has(FEATURES, self.features_key_of(first, backbone)):
            return []
        return [first, *parts]

    def _decode(self, dataset: Dataset, view: View, take: OnChunk, parts: Sequence[Dataset] = ()) -> None:
        images = decode_images(dataset, view, store=self.store, on_chunk=take, parts=parts)
        self.decoded[(dataset.fingerprint, view)] = images

    def _watched(self, take: OnChunk) -> OnChunk:
        def watched(start: int, stop: int, pixels: npt.NDArray[np.uint8]) -> None:
            self.watch()
            take(start, stop, pixels)

        return watched

    def features_facts(self, data: DataSpec, network: NetworkSpec, seed: int) -> dict[str, Any]:
        """Return what the pass over the images cost: seconds, images_per_second, engine."""
        return self.store.manifest(FEATURES, self.features_key(data, network, seed))

    def bad_rows(self, dataset: Dataset) -> dict[int, str]:
        """Return the rows whose images could not be decoded, and why; only views decoded so far are considered."""
        bad: dict[int, str] = {}
        for (fingerprint, _), images in self.decoded.items():
            if fingerprint == dataset.fingerprint:
                bad.update(images.bad)
        return bad


@dataclass(frozen=True)
class PendingImages:
    """Images that are passed on as they are decoded; only their number is known in advance."""

    n: int

    def __len__(self) -> int:
        return self.n

    def batch(self, rows: IntArray) -> npt.NDArray[np.uint8]:
        """Refuse: these images are not read but passed on as they are decoded."""
        raise DataError("these images are passed on as they are decoded; they cannot be read")


def _not_finite(backbone: Backbone) -> str:
    """Return the name of the first tensor that holds a value which is not a finite number, or ""."""
    tensors = backbone.state_dict().items()
    return next((name for name, value in tensors if value.is_floating_point() and not value.isfinite().all()), "")


def _resized(preprocessing: Preprocessing, resize: int | None) -> Preprocessing:
    """Return the same with another length of the shorter side before the crop.

    Raises:
        SpecError: the crop does not fit.
    """
    if resize is None:
        return preprocessing
    if resize < preprocessing.size:
        raise SpecError(f"resize: {resize} px is less than the network's {preprocessing.size} px; set input_size too")
    return replace(preprocessing, resize=resize)


def only_classes(dataset: Dataset, wanted: list[str] | int) -> Dataset:
    """Return the dataset with some of its classes: those named, or the first `wanted` in order.

    Raises:
        DataError: the class is unknown, or the dataset has fewer classes.
    """
    if dataset.multi_label:
        raise DataError(f"{dataset.name}: data.classes needs one label per image; this dataset has several")
    if isinstance(wanted, int):
        if wanted > len(dataset.classes):
            raise DataError(f"{dataset.name}: has {len(dataset.classes)} classes, not {wanted}")
        wanted = list(dataset.classes[:wanted])
    for name in wanted:
        if name not in dataset.classes:
            raise DataError(f"{dataset.name}: {unknown_name('class', name, dataset.classes)}")
    part = dataset.with_classes(tuple(sorted(set(wanted))))
    return part.select(np.flatnonzero(part.labels >= 0))
