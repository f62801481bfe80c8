"""Whether images are like those that a model was checked on, what has changed, and how accurate it may be there."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.data.dataset import Dataset
from headstart.data.decoding.image_store import ImageArray
from headstart.data.decoding.thumbnail import thumbnail
from headstart.deploy.classifier import Classifier
from headstart.errors import ModelError
from headstart.evaluate.metrics.intervals import Estimate
from headstart.evaluate.uncertainty.appearance import appearance
from headstart.evaluate.uncertainty.drift import DriftTest, Sketch, compare, projected
from headstart.evaluate.uncertainty.familiarity import MOST_REJECTED
from headstart.evaluate.uncertainty.selective import exact
from headstart.evaluate.uncertainty.unlabelled_accuracy import Guess, guess_accuracy
from headstart.models.refitted import refitted_of
from headstart.threads import one_blas_thread

DRIFT = "drift.json"  # in the folder of an evaluation
MOST_SHOWN = 24  # least familiar images
THUMBNAIL = 96  # px, longest side
TOGETHER = 128  # images whose familiarity is computed at once: for few, products cost mostly the reading of matrices


@dataclass
class Observed:
    """What a model sees of images, batch by batch; nothing that grows with the embeddings is kept.

    Args:
        classifier: of which `why_not` is None.
        confidence, predicted, shares: of each image: the largest probability, its class, how familiar it is (of fewer
            than 128 only once `all_shares` is asked for).
        embeddings, looks: float32 [b, k] and [b, 6] of each batch.
        waiting: embeddings and logits of batches whose familiarity has yet to be computed.
    """

    classifier: Classifier
    confidence: list[float] = field(default_factory=list)
    predicted: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    embeddings: list[npt.NDArray[np.float32]] = field(default_factory=list)
    looks: list[npt.NDArray[np.float32]] = field(default_factory=list)
    waiting: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]] = field(default_factory=list)

    def add(
        self,
        pixels: npt.NDArray[np.uint8],
        probabilities: npt.NDArray[np.float32],
        embeddings: npt.NDArray[np.float32],
        logits: npt.NDArray[np.float32],
    ) -> None:
        """Note a batch: pixels [b, s, s, 3], embeddings and logits as the first network has them."""
        assert self.classifier.judge is not None
        own = self.classifier.judge.uncertainty
        assert own.sketch is not None
        self.confidence += probabilities.max(1).tolist()
        self.predicted += probabilities.argmax(1).tolist()
        bands = self.classifier.ensemble.members[0].preprocessing.bands
        with one_blas_thread():
            self.embeddings.append(projected(own.sketch, embeddings))
            self.looks.append(appearance(pixels if bands is None else bands.picture(pixels)))
        self.waiting.append((embeddings, logits))
        if sum(len(each) for each, _ in self.waiting) >= TOGETHER:
            self._judge()

    def all_shares(self) -> npt.NDArray[np.float64]:
        """Return how familiar each image is."""
        self._judge()
        return np.array(self.shares)

    def _judge(self) -> None:
        assert self.classifier.judge is not None
        if self.waiting:
            embeddings, logits = (np.concatenate(each) for each in zip(*self.waiting, strict=True))
            with one_blas_thread():
                self.shares += self.classifier.judge.uncertainty.shares(embeddings, logits).tolist()
            self.waiting.clear()


@dataclass(frozen=True)
class Drift:
    """How images without labels differ from those that a model was checked on.

    Args:
        compared: the test: its p, what has changed, classes that are more or less frequent.
        accuracy: what the accuracy may be on them.
        unfamiliar: the share of unfamiliar images, with its exact interval; 5 % or less of images of the same kind.
        least: the places of the least familiar images and how familiar they are, the least familiar first.
        classes: the class names.
    """

    compared: DriftTest
    accuracy: Guess
    unfamiliar: Estimate
    least: tuple[tuple[int, float], ...]
    classes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON holds it."""
        compared, accuracy = self.compared, self.accuracy
        changes: list[Mapping[str, Any]] = [
            {
                "what": each.what,
                "p": each.p,
                "found": each.found,
                "before": _number(each.before),
                "now": _number(each.now),
            }
            for each in compared.changes
        ]
        classes = [
            {"class": self.classes[each.number], "before": each.before, "now": each.now, "p": each.p}
            for each in compared.classes
        ]
        guess = {
            "value": accuracy.value,
            "low": accuracy.low,
            "high": accuracy.high,
            "before": accuracy.before,
            "estimates": dict(accuracy.estimates),
            "not_knowable": accuracy.why or None,
        }
        return {
            "p": compared.p,
            "found": compared.found,
            "held_out": compared.held_out,
            "compared": compared.new,
            "changes": changes,
            "classes": classes,
            "accuracy": guess,
            "unfamiliar": dict(self.unfamiliar),
        }


def why_not(classifier: Classifier) -> str | None:
    """Return why drift cannot be measured with a model, or None where it can."""
    first, judge = classifier.ensemble.members[0], classifier.judge
    if judge is not None and judge.uncertainty.sketch is not None:
        return None
    if first.multi_label:
        return "drift is measured for models of one label an image, and this one gives several"
    if refitted_of(first.provenance) is not None:
        return "the model was refitted on all images, and none is left to compare new ones with"
    if judge is None:
        return (
            "the model's file holds no images to compare new ones with; a study with validation images leaves it in its"
            " own folder: give that, and run the study again if an older headstart wrote it"
        )
    return (
        "the model's file lacks what drift is measured with: an older headstart wrote it (then run its study again), it"
        " works on raw pixels, or its network learned from the validation images"
    )


def drift_of(observed: Observed, seed: int = 0) -> Drift:
    """Return how the images differ.

    Raises:
        ModelError: drift cannot be measured with this model.
        DataError: the images are too few.
    """
    classifier = observed.classifier
    if (why := why_not(classifier)) is not None:
        raise ModelError(why)
    assert classifier.judge is not None
    own = classifier.judge.uncertainty
    sketch: Sketch | None = own.sketch
    assert sketch is not None
    predicted, shares = np.array(observed.predicted, dtype=np.int64), observed.all_shares()
    embeddings, looks = np.concatenate(observed.embeddings), np.concatenate(observed.looks)
    unfamiliar = exact(int((shares <= MOST_REJECTED).sum()), len(shares))
    confidence = np.array(observed.confidence, dtype=np.float32)
    held, least = own.held_out, unfamiliar["low"] or 0.0
    with one_blas_thread():
        guess = guess_accuracy(sketch, held.confidence, held.correct, confidence, predicted, embeddings, least)
        compared = compare(sketch, embeddings, looks, predicted, seed=seed)
    order = np.argsort(shares, kind="stable")[:MOST_SHOWN]
    return Drift(
        compared,
        guess,
        unfamiliar,
        tuple((int(place), float(shares[place])) for place in order),
        classifier.classes,
    )


def drift_facts(
    model: str, drift: Drift | None, why: str, images: ImageArray, rows: npt.NDArray[np.int64], dataset: Dataset
) -> dict[str, Any]:
    """Return what a report shows of a model's drift on some images, with small pictures of the least familiar ones.

    Args:
        model: its name.
        drift: measured on `rows` of `images`, or None.
        why: it was not measured, or "".
        dataset: of these images, which has their names.
    """
    found = {"model": model, "why_not": why or None, "drift": None if drift is None else drift.to_dict()}
    least = []
    for place, share in () if drift is None else drift.least:
        row = int(rows[place])
        small = base64.b64encode(thumbnail(Image.fromarray(images[row]), THUMBNAIL, 72)).decode()
        least.append({"name": dataset.reader.name(row), "familiarity": share, "src": small})
    return {**found, "least": least}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
