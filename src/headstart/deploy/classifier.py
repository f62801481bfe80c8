"""The classifier that a study leaves behind: images in, class names and calibrated probabilities out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headstart.data.decoding.decode import SUFFIXES, UndecodableError, View, content_of, decode, quiet_pillow
from headstart.data.decoding.pictures import Picture, name_of, pictures_of
from headstart.devices import resolve_device
from headstart.errors import DataError
from headstart.evaluate.metrics.calibration import apply_temperature
from headstart.models.bundle import Bundle, Ensemble, model_bytes, read_ensemble, shared_backbones
from headstart.models.preprocessing import as_tensor, normalise
from headstart.models.test_time_augmentation import TTA, mean_probabilities
from headstart.progress import progress
from headstart.storage.files import write_atomic
from headstart.transfer.frozen.views import view_of

BATCH = 32
URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True)
class Prediction:
    """What the classifier says of one image.

    Args:
        name: the file, or the image's number in the batch.
        label: the most probable class (of multi-label models: the classes above the threshold, joined by "|").
        probability: of that class.
        probabilities: float32 [C], in the order of the classifier's classes.
        error: why the image could not be read, or None.
    """

    name: str
    label: str
    probability: float
    probabilities: npt.NDArray[np.float32]
    error: str | None = None


class Classifier:
    """A network with its preprocessing, class names and calibration; or several, whose probabilities are averaged.

    Args:
        model: what was read from a file or left by a run.
        device: "cpu", "cuda", …
    """

    def __init__(self, model: Bundle | Ensemble, device: str = "cpu") -> None:
        self.ensemble = model if isinstance(model, Ensemble) else Ensemble((model,))
        self.device = torch.device(resolve_device(device))
        self._backbones = shared_backbones(self.ensemble.members)  # networks that differ only by their head share one
        for bundle in self.ensemble.members:
            bundle.network.to(self.device).eval()

    @classmethod
    def load(cls, place: str | Path, device: str = "cpu") -> Classifier:
        """Read a classifier from a model file, a run folder or a study folder.

        Raises:
            WeightsError: there is none, or it is damaged.
        """
        return cls(read_ensemble(place), device)

    def save(self, place: str | Path) -> Path:
        """Write the whole classifier as one file; return its path."""
        path = Path(place)
        write_atomic(path, model_bytes(self.ensemble))
        return path

    @property
    def bundle(self) -> Bundle:
        """The network and all that is needed to use it.

        Raises:
            ModelError: there are several.
        """
        return self.ensemble.single()

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the probabilities."""
        return self.ensemble.members[0].classes

    def predict(self, images: Picture | Iterable[Picture]) -> list[Prediction]:
        """Classify one image or a batch: paths, folders, bytes, open files, PIL images, arrays or tensors.

        An image that cannot be read gives a Prediction with its error; the others are not lost.

        Raises:
            ImageTypeError: something is no image; the message says what is taken.
            DataError: a path does not exist, or a folder holds no image.
        """
        pictures = list(_named(images))
        found: list[Prediction] = []
        with quiet_pillow(), progress("predict", len(pictures)) as ticker:
            for start in range(0, len(pictures), BATCH):
                found.extend(self._batch(pictures[start : start + BATCH]))
                ticker.advance(min(BATCH, len(pictures) - start))
        return found

    def probabilities(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return calibrated probabilities [n, C] of images already at the network's size, uint8 [n, size, size, 3].

        Raises:
            ModelError: there are several networks, which may want several sizes; `predict` serves them.
        """
        return self._scores(self.bundle, self._features(self.bundle, pixels))

    def _features(self, bundle: Bundle, pixels: npt.NDArray[np.uint8]) -> list[torch.Tensor]:
        """Return the features [n, d] of each view that the network's test-time augmentation asks for."""
        images = normalise(as_tensor(pixels).to(self.device), bundle.preprocessing)
        with torch.inference_mode():
            return [bundle.network.backbone(view) for view in TTA[bundle.tta](images)]

    @staticmethod
    def _scores(bundle: Bundle, features: Sequence[torch.Tensor]) -> npt.NDArray[np.float32]:
        """Return calibrated probabilities [n, C] from the features of each view."""
        with torch.inference_mode():
            logits = [bundle.network.head(each) for each in features]
            scores = mean_probabilities(logits, multi_label=bundle.multi_label)
        return _calibrated(scores.cpu().numpy(), bundle.temperature)

    def _batch(self, pictures: Sequence[tuple[str, Any]]) -> list[Prediction]:
        views = [view_of(bundle.preprocessing) for bundle in self.ensemble.members]
        decoded: dict[int, dict[View, npt.NDArray[np.uint8]]] = {}
        errors: dict[int, str] = {}
        for position, (_, picture) in enumerate(pictures):
            try:
                content = content_of(picture)
                decoded[position] = {view: decode(content, view) for view in dict.fromkeys(views)}
            except UndecodableError as error:
                errors[position] = str(error)
        scores = np.zeros((0, len(self.classes)), np.float32)
        if decoded:
            scores = self.probabilities_of([np.stack([found[view] for found in decoded.values()]) for view in views])
        rows = dict(zip(decoded, scores, strict=True))
        return [
            self._said(name, rows[position]) if position in rows else self._failed(name, errors[position])
            for position, (name, _) in enumerate(pictures)
        ]

    def probabilities_of(self, pixels: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Return the networks' mean probabilities [n, C] of images at each one's size; each pass is made once."""
        members = self.ensemble.members
        passes: dict[tuple[int, str], list[torch.Tensor]] = {}
        scores = []
        for bundle, first, own in zip(members, self._backbones, pixels, strict=True):
            if (first, bundle.tta) not in passes:
                passes[first, bundle.tta] = self._features(bundle, own)
            scores.append(self._scores(bundle, passes[first, bundle.tta]))
        mean: npt.NDArray[np.float32] = np.mean(scores, axis=0)
        return _calibrated(mean, self.ensemble.temperature)

    def _said(self, name: str, scores: npt.NDArray[np.float32]) -> Prediction:
        best = int(scores.argmax())
        label, rule = self.classes[best], self.ensemble.members[0]
        if rule.multi_label:
            label = "|".join(c for c, score in zip(self.classes, scores, strict=True) if score > rule.threshold)
        return Prediction(name, label, float(scores[best]), scores)

    def _failed(self, name: str, error: str) -> Prediction:
        nothing = np.full(len(self.classes), np.nan, np.float32)
        return Prediction(name, "", float("nan"), nothing, error)


def _calibrated(scores: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float32]:
    return scores if temperature == 1.0 else apply_temperature(scores, temperature).astype(np.float32)


def _named(images: Any) -> Iterator[tuple[str, Picture]]:
    """Yield name and picture of each image; of a folder, those of its image files in order."""
    batch = images if isinstance(images, list | tuple) else [images]
    names = [name_of(image, number) for number, image in enumerate(batch)]
    pictures = pictures_of(images)
    if len(names) != len(pictures):  # an array, or an iterator, which can be gone through only once
        names = [name_of(picture, number) for number, picture in enumerate(pictures)]
    for name, picture in zip(names, pictures, strict=True):
        if isinstance(picture, str | Path):
            yield from _files(picture)
        else:
            yield name, picture


def _files(place: str | Path) -> Iterator[tuple[str, Picture]]:
    if URL.match(str(place)):
        raise DataError(f"{place} is an address; download the image and give the file's path, or its bytes")
    path = Path(place).expanduser()
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        if not files:
            raise DataError(f"{path}: no image in this folder")
        yield from ((str(file), file) for file in files)
    elif path.exists():
        yield str(path), path
    else:
        raise DataError(f"{path}: no such file or folder")
