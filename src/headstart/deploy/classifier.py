"""The classifier that a study leaves behind: images in, class names and calibrated probabilities out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headstart.data.decoding.decode import UndecodableError, View, content_of, decode, quiet_pillow
from headstart.data.decoding.pictures import Picture, name_of, pictures_of
from headstart.data.sources.unlabelled import Unlabelled, find_images
from headstart.devices import resolve_device
from headstart.errors import SpecError
from headstart.evaluate.metrics.calibration import calibrated
from headstart.evaluate.uncertainty.answers import Answer, AnswerOptions, Judge
from headstart.evaluate.uncertainty.costs import ASK
from headstart.evaluate.uncertainty.stored import from_part
from headstart.models.bundle import Bundle, Ensemble, model_bytes, read_ensemble, shared_backbones
from headstart.models.label_rule import labels_of
from headstart.models.preprocessing import as_tensor, normalise
from headstart.models.refitted import refitted_of
from headstart.models.test_time_augmentation import TTA, mean_probabilities
from headstart.notebook import Shown
from headstart.progress import progress
from headstart.storage.files import write_atomic
from headstart.transfer.frozen.engine import Engine
from headstart.transfer.frozen.views import view_of

BATCH = 32


@dataclass(frozen=True)
class Prediction(Shown):
    """What the classifier says of one image.

    Args:
        name: the file, or the image's number in the batch.
        label: the most probable class (of multi-label models: the classes above the threshold, joined by "|").
        probability: of that class.
        probabilities: float32 [C], in the order of the classifier's classes.
        error: why the image could not be read, or None.
        labels: the classes of `label` one by one.
        answer: "sure", "one of" or "don't know"; empty where the model is not calibrated to say so.
        set: the classes that may be right, the most probable first: the right one is among them as often as the
            classifier's `level` says.
        familiarity: which share of familiar images is no more familiar than this one; 0.05 and less is "don't know".
        withheld: left for review, since its class is not certain enough for the accuracy asked for.
        decision: the class of least expected cost, or "ask"; empty without costs.
        classes: the classifier's classes.
        image: what was classified, to be shown again; None where it was given as pixels of the network's size.
    """

    name: str
    label: str
    probability: float
    probabilities: npt.NDArray[np.float32]
    error: str | None = None
    labels: tuple[str, ...] = ()
    answer: str = ""
    set: tuple[str, ...] = ()
    familiarity: float | None = None
    withheld: bool = False
    decision: str = ""
    classes: tuple[str, ...] = field(default=(), repr=False, compare=False)
    image: Unlabelled | None = field(default=None, repr=False, compare=False)


class Predictions(Shown, list[Prediction]):
    """The predictions of a batch, in its order."""


class Classifier:
    """A network with its preprocessing, class names and calibration; or several, whose probabilities are averaged.

    Args:
        model: what was read from a file or left by a run.
        device: "cpu", "cuda", …
        engine: run the networks as a study computes features: on the CPU by ONNX Runtime, which takes seconds to
            prepare and is then faster; probabilities agree within 1e-3. It suits a model that stays in memory.
        asked: the level and kind of the prediction sets, and the accuracy below which answers are withheld.
        threads: the number that one call uses with an engine; None: all that this process may use.

    Raises:
        SpecError: the requested accuracy or coverage cannot be guaranteed.
    """

    def __init__(
        self,
        model: Bundle | Ensemble,
        device: str = "cpu",
        *,
        engine: bool = False,
        asked: AnswerOptions | None = None,
        threads: int | None = None,
    ) -> None:
        self.ensemble = model if isinstance(model, Ensemble) else Ensemble((model,))
        self.judge = _judge(self.ensemble, asked)
        self.device = torch.device(resolve_device(device))
        self._backbones = shared_backbones(self.ensemble.members)  # networks that differ only by their head share one
        for bundle in self.ensemble.members:
            bundle.network.to(self.device).eval()
        self._engines: dict[int, Engine] = {}
        if engine:
            bodies = {first: self.ensemble.members[first] for first in self._backbones}
            self._engines = {
                first: Engine(bundle.network.backbone, bundle.preprocessing, str(self.device), threads=threads)
                for first, bundle in bodies.items()
            }

    @classmethod
    def load(
        cls,
        place: str | Path,
        device: str = "cpu",
        *,
        engine: bool = False,
        asked: AnswerOptions | None = None,
        threads: int | None = None,
    ) -> Classifier:
        """Read a classifier from a model file, a run folder or a study folder.

        Raises:
            WeightsError: there is none, or it is damaged.
            SpecError: the requested accuracy or coverage cannot be guaranteed.
        """
        return cls(read_ensemble(place), device, engine=engine, asked=asked, threads=threads)

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

    def predict(self, images: Picture | Iterable[Picture]) -> Predictions:
        """Classify one image or a batch: bytes, open files, PIL images, arrays, tensors, or paths.

        A path is a file, a folder, a glob, a table with a column of paths, or an archive; see `unlabelled`. An input
        that cannot be read produces a Prediction with its error; the others are not affected.

        Raises:
            ImageTypeError: an input is not an image; the message lists what is accepted.
        """
        return Predictions(self.stream(images))

    def stream(self, images: Picture | Iterable[Picture] | Sequence[Unlabelled]) -> Iterator[Prediction]:
        """Yield what `predict` returns, in batches: memory does not grow with the number of images."""
        inputs = _inputs(images)
        with progress("predict", len(inputs)) as ticker:
            for start in range(0, len(inputs), BATCH):
                batch = inputs[start : start + BATCH]
                with quiet_pillow():
                    predictions = self._batch(batch)
                yield from predictions
                ticker.advance(len(batch))

    def probabilities(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return calibrated probabilities [n, C] of images already at the network's size, uint8 [n, size, size, 3].

        Raises:
            ModelError: there are several networks, which may want several sizes; `predict` serves them.
        """
        return self._scores(self.bundle, self._features(0, pixels))

    def averaged(self, pixels: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Return calibrated probabilities [n, C] of images decoded for each network: one uint8 [n, s, s, 3] a network.

        Networks that share their backbone and preprocessing share its pass over the images.
        """
        return self._answered(pixels)[0]

    def answered(self, names: Sequence[str], pixels: Sequence[npt.NDArray[np.uint8]]) -> list[Prediction]:
        """Return the prediction of each image, decoded as for `averaged`."""
        if self.judge is None:
            return [self.said(name, row) for name, row in zip(names, self.averaged(pixels), strict=True)]
        scores, embeddings, logits = self.seen(pixels)
        plain = [self.said(name, row) for name, row in zip(names, scores, strict=True)]
        answers = self.judge.answers(scores, embeddings, logits)
        return [self._with_answer(each, answer) for each, answer in zip(plain, answers, strict=True)]

    def seen(
        self, pixels: Sequence[npt.NDArray[np.uint8]]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return calibrated probabilities [n, C], and the first network's embeddings [n, d] and logits [n, C].

        Images are decoded as for `averaged`.
        """
        scores, features = self._answered(pixels)
        with torch.inference_mode():
            logits = self.ensemble.members[0].network.head(features)
        return scores, features.cpu().numpy(), logits.cpu().numpy()

    def _with_answer(self, said: Prediction, answer: Answer) -> Prediction:
        decision = answer.decision
        return replace(
            said,
            answer=answer.kind,
            set=tuple(self.classes[each] for each in answer.inside),
            familiarity=answer.familiarity,
            withheld=answer.withheld,
            decision="" if decision is None else "ask" if decision == ASK else self.classes[decision],
        )

    def _answered(self, pixels: Sequence[npt.NDArray[np.uint8]]) -> tuple[npt.NDArray[np.float32], torch.Tensor]:
        """Return calibrated probabilities, and the first network's features [n, d] of the images as they are."""
        members = self.ensemble.members
        passes: dict[tuple[int, str], list[torch.Tensor]] = {}
        scores = []
        for number, (first, own) in enumerate(zip(self._backbones, pixels, strict=True)):
            bundle = members[number]
            if (first, bundle.tta) not in passes:
                passes[first, bundle.tta] = self._features(number, own)
            scores.append(self._scores(bundle, passes[first, bundle.tta]))
        mean: npt.NDArray[np.float32] = np.mean(scores, axis=0)
        return calibrated(mean, self.ensemble.temperature), passes[self._backbones[0], members[0].tta][0]

    def _features(self, number: int, pixels: npt.NDArray[np.uint8]) -> list[torch.Tensor]:
        """Return the features [n, d] of each view that the test-time augmentation of a network asks for."""
        bundle, engine = self.ensemble.members[number], self._engines.get(self._backbones[number])
        if engine is not None:  # which takes whole numbers; the views only move them
            found = [engine(view.permute(0, 2, 3, 1).numpy()) for view in TTA[bundle.tta](as_tensor(pixels))]
            return [torch.from_numpy(each).to(self.device) for each in found]
        images = normalise(as_tensor(pixels).to(self.device), bundle.preprocessing)
        with torch.inference_mode():
            return [bundle.network.backbone(view) for view in TTA[bundle.tta](images)]

    @staticmethod
    def _scores(bundle: Bundle, features: Sequence[torch.Tensor]) -> npt.NDArray[np.float32]:
        """Return calibrated probabilities [n, C] from the features of each view."""
        with torch.inference_mode():
            logits = [bundle.network.head(each) for each in features]
            scores = mean_probabilities(logits, multi_label=bundle.multi_label)
        return calibrated(scores.cpu().numpy(), bundle.temperature)

    def _batch(self, inputs: Sequence[Unlabelled]) -> list[Prediction]:
        views = [view_of(bundle.preprocessing) for bundle in self.ensemble.members]
        decoded: dict[int, dict[View, npt.NDArray[np.uint8]]] = {}
        errors: dict[int, str] = {}
        for position, image in enumerate(inputs):
            try:
                content = content_of(image.read())
                decoded[position] = {view: decode(content, view) for view in dict.fromkeys(views)}
            except UndecodableError as error:
                errors[position] = str(error)
        read: dict[int, Prediction] = {}
        if decoded:
            pixels = [np.stack([found[view] for found in decoded.values()]) for view in views]
            read = dict(zip(decoded, self.answered([inputs[k].name for k in decoded], pixels), strict=True))
        return [
            replace(read[k] if k in read else self.unread(image.name, errors[k]), image=image)
            for k, image in enumerate(inputs)
        ]

    def said(self, name: str, scores: npt.NDArray[np.float32]) -> Prediction:
        """Return the prediction for probabilities [C] of an image."""
        first = self.ensemble.members[0]
        (found,) = labels_of(scores[None], multi_label=first.multi_label, threshold=first.threshold)
        labels = tuple(self.classes[k] for k in (np.flatnonzero(found) if found.ndim else [found]))
        return Prediction(name, "|".join(labels), float(scores.max()), scores, labels=labels, classes=self.classes)

    def unread(self, name: str, error: str) -> Prediction:
        """Return the prediction of an image that cannot be read."""
        nothing = np.full(len(self.classes), np.nan, np.float32)
        return Prediction(name, "", float("nan"), nothing, error)


def _judge(ensemble: Ensemble, asked: AnswerOptions | None) -> Judge | None:
    if ensemble.uncertainty is not None:
        first = ensemble.members[0]
        known = from_part(ensemble.uncertainty, len(first.classes), first.network.backbone.feature_dim)
        return Judge(known, asked or AnswerOptions())
    if asked is None or asked == AnswerOptions():
        return None
    lacks = "has no prediction sets" if asked.at_least is None else "guarantees no accuracy"
    if refitted_of(ensemble.members[0].provenance) is not None:
        raise SpecError(
            f"this model {lacks}: it was refitted on every labelled image, so none is left to calibrate it on; give the"
            " tested model, whose run its study keeps"
        )
    raise SpecError(
        f"this model {lacks}: its file holds no calibration; a study with validation images leaves it in its own"
        " model.safetensors"
    )


def _inputs(images: Any) -> list[Unlabelled]:
    """Return each image of a batch with its name, paths replaced by the images that they stand for."""
    batch = images if isinstance(images, list | tuple) else [images]
    if batch and all(isinstance(image, Unlabelled) for image in batch):
        return list(batch)
    names = [name_of(image, number) for number, image in enumerate(batch)]
    pictures = pictures_of(images)
    if len(names) != len(pictures):  # an array, or an iterator, which can be gone through only once
        names = [name_of(picture, number) for number, picture in enumerate(pictures)]
    inputs: list[Unlabelled] = []
    for name, picture in zip(names, pictures, strict=True):
        inputs += find_images([picture]).images if isinstance(picture, str | Path) else [Unlabelled(name, picture)]
    return inputs
