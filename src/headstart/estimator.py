"""A scikit-learn classifier on a frozen network: clones, pickles, cross-validates, grid-searches.

It takes the way of a study: the same decoding, features, split into training and validation part, classifier heads and
temperature, so that a study and a script that use the same images get the same probabilities.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import assert_all_finite, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from headstart.data.dataset import Dataset
from headstart.data.decoding.digests import examine
from headstart.data.decoding.pictures import batch_of
from headstart.data.sources.flattened import Flattening, flattening_of, is_table
from headstart.data.sources.in_memory import PictureReader
from headstart.data.splits import make_split
from headstart.deploy.classifier import Classifier
from headstart.devices import resolve_device
from headstart.errors import ArgumentError, DataError, choose
from headstart.evaluate.metrics.calibration import apply_temperature, fit_temperature
from headstart.models.backbone import Backbone
from headstart.models.bundle import Bundle, Origin
from headstart.models.bundle_file import licence_entry
from headstart.models.create import create_backbone
from headstart.models.first_layer import with_bands
from headstart.models.network import Network
from headstart.models.pixels import NAME as PIXELS
from headstart.models.pixels import pixels_backbone
from headstart.storage.checksums import sha256_of
from headstart.storage.opening import default_store_in_use
from headstart.transfer.frozen.feature_index import features_of
from headstart.transfer.heads.catalogue import HEADS, check_options
from headstart.transfer.heads.fit import HeadJob, fit_heads

_HEAD_OF = {"linear_probe": "logistic", **{kind: kind for kind in HEADS}}  # by the name of the strategy


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier head fitted on the features of a frozen network; images in, class labels out.

    Images are paths, encoded bytes, open files, PIL images, arrays or tensors, in a list or as one array
    [n, height, width(, channels)]. A table of numbers [n, d] is taken for flattened images.

    The features are stored, so that cross-validation and grid search run the network once per image.

    Args:
        backbone: an architecture's name, or "pixels".
        weights: "imagenet", "none", or a local file.
        strategy: "linear_probe", "ridge", "prototypes", "knn", "sgd" or "majority".
        penalty: the head's penalty, if it has one; of several values, the best on the validation part is used.
        options: further settings of the head, such as {"k": [1, 5]}, as `head` of a study file takes them.
        validation: the share of the training images on which such choices are made and probabilities are
            calibrated; the head is then fitted again on all training images with the choice.
        truncate_at: cut the network short after this stage.
        input_size: side of the images that the network sees, where it is not the network's own.
        image_shape: of flattened images, such as (28, 28) or (3, 32, 32); by default they are grey squares.
        device: "auto", "cpu", "cuda", …
        random_state: draws the validation part, and the order of training of "sgd".

    Attributes:
        classes_: the labels, sorted.
        backbone_: the frozen network.
        licence_: the licence of its weights, if it is known.
        head_: the fitted head.
        chosen_: the settings of the head that were best on the validation part.
        tried_: every configuration with its validation accuracy and log loss.
        temperature_: divides the logits so that probabilities are calibrated; 1 without a validation part.
        n_features_in_: the numbers in a row, if fitted on flattened images.
    """

    def __init__(
        self,
        backbone: str = "efficientnet_lite0",
        weights: str = "imagenet",
        strategy: str = "linear_probe",
        penalty: float | Sequence[float] | None = None,
        options: Mapping[str, Any] | None = None,
        validation: float = 0.2,
        truncate_at: str | None = None,
        input_size: int | None = None,
        image_shape: tuple[int, ...] | None = None,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.strategy = strategy
        self.penalty = penalty
        self.options = options
        self.validation = validation
        self.truncate_at = truncate_at
        self.input_size = input_size
        self.image_shape = image_shape
        self.device = device
        self.random_state = random_state

    @default_store_in_use()
    def fit(self, X: Any, y: Any) -> ImageClassifier:
        """Fit the head.

        Args:
            X: n images.
            y: n labels, text or whole numbers.

        Raises:
            ImageTypeError: an element of X is not an image.
            DataError: an image cannot be decoded, or the labels cannot be used.
            SpecError: a setting that the head does not have.
        """
        kind, options = choose("strategy", self.strategy, _HEAD_OF), self._options()
        check_options(kind, options)
        self.flattening_: Flattening | None = None
        if is_table(X):
            X = validate_data(self, X)
            self.flattening_ = flattening_of(X, self.image_shape)
        labels = _labels(y)
        pictures = self._pictures(X, len(labels))
        check_consistent_length(pictures, labels)
        if not pictures:
            raise ArgumentError("there are no images")
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ArgumentError(
                f"all labels are of one class, {str(self.classes_[0])!r}; a classifier needs at least two"
            )
        dataset = _dataset(pictures, codes.astype(np.int64), tuple(str(label) for label in self.classes_))
        seed = self._seed()
        split = make_split(dataset, validation=self.validation, test=0.0, given=False, seed=seed)
        self.origin_, self.backbone_, self.licence_ = self._backbone()
        features = features_of(dataset, self.backbone_, self._device())
        refit = len(split.validation) > 0
        job = HeadJob(kind, split.train, split.validation, len(self.classes_), options, seed, refit)
        fitted = fit_heads(features, dataset.labels, [job], self._device())[0]
        self.head_, self.chosen_, self.tried_ = fitted.head.eval(), fitted.chosen, fitted.tried
        self.temperature_ = 1.0
        if fitted.validation_probabilities is not None:
            self.temperature_ = fit_temperature(dataset.labels[split.validation], fitted.validation_probabilities)
        return self

    @default_store_in_use()
    def predict_proba(self, X: Any) -> npt.NDArray[np.float32]:
        """Return calibrated probabilities float32 [n, classes], in the order of `classes_`.

        Raises:
            NotFittedError: call `fit` first.
            ImageTypeError: an element of X is not an image.
            DataError: an image cannot be decoded.
        """
        check_is_fitted(self, "head_")
        if is_table(X):
            if self.flattening_ is None:
                raise ArgumentError("fitted on images, not on a table of numbers; one grey image is [1, height, width]")
            X = validate_data(self, X, reset=False)
        pictures = self._pictures(X)
        dataset = _dataset(pictures, np.zeros(len(pictures), np.int64), tuple(str(label) for label in self.classes_))
        features = torch.from_numpy(features_of(dataset, self.backbone_, self._device()))
        with torch.inference_mode():
            scores = self.head_.probabilities(features).float().numpy()  # type: ignore[operator]
        return apply_temperature(scores, self.temperature_).astype(np.float32)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable label of each image."""
        best = self.predict_proba(X).argmax(1)
        found: npt.NDArray[Any] = self.classes_[best]
        return found

    def to_classifier(self, device: str = "cpu") -> Classifier:
        """Return the same as a `Classifier`, which saves to one file and serves; class names are text."""
        check_is_fitted(self, "head_")
        names = tuple(str(label) for label in self.classes_)
        network = Network(copy.deepcopy(self.backbone_), copy.deepcopy(self.head_)).eval()
        provenance = licence_entry(self.licence_)
        bundle = Bundle(network, self.origin_, names, temperature=self.temperature_, provenance=provenance)
        return Classifier(bundle, device)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags

    def _options(self) -> dict[str, Any]:
        given = {} if self.penalty is None else {"penalty": self.penalty}
        return {**(self.options or {}), **given}

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        drawn: int = check_random_state(self.random_state).randint(2**31 - 1)
        return drawn

    def _device(self) -> str:
        return resolve_device(self.device)

    def _backbone(self) -> tuple[Origin, Backbone, str | None]:
        if self.backbone == PIXELS:
            return Origin(PIXELS, input_size=self.input_size), pixels_backbone(self.input_size or 32), None
        source = None if self.weights == "none" else str(self.weights)
        file = Path(source or "")
        content = sha256_of(file) if file.is_file() else ""
        return _frozen(self.backbone, source, content, self.truncate_at, self.input_size)

    def _pictures(self, X: Any, count: int | None = None) -> list[Any]:
        if self.flattening_ is not None and is_table(X):
            return list(self.flattening_.images(X))
        return batch_of(X, count)


@lru_cache(maxsize=4)
def _frozen(
    name: str, weights: str | None, content: str, truncate_at: str | None, input_size: int | None
) -> tuple[Origin, Backbone, str | None]:
    """Return a backbone and the licence of its weights, loaded once for all fits of a grid search; it is never changed.

    Args:
        name, weights, truncate_at, input_size: of the network.
        content: the sha256 of a local file of weights.
    """
    backbone, filled = create_backbone(name, weights, seed=0, input_size=input_size)
    with_bands(backbone, None)  # refuses weights for other pictures
    if truncate_at:
        backbone = backbone.truncate(truncate_at)
    return Origin(name, truncate_at, input_size, weights, 0, filled.sha256), backbone.eval(), filled.licence


def _labels(y: Any) -> npt.NDArray[Any]:
    """Return the labels [n].

    Raises:
        ValueError: there are none, one is missing, or they are no classes.
    """
    if y is None:
        raise ArgumentError("ImageClassifier requires y to be passed, but the target y is None")
    labels: npt.NDArray[Any] = column_or_1d(y, warn=True)
    missing = [row for row, label in enumerate(labels.tolist()) if label is None or label != label]
    if missing:
        raise ArgumentError(f"label {missing[0]} is missing (NaN or None); leave such images out")
    assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    return labels


def _dataset(pictures: Sequence[Any], codes: npt.NDArray[np.int64], classes: tuple[str, ...]) -> Dataset:
    """Return the images as a data set whose images have all been looked at.

    Raises:
        DataError: one of them cannot be used as an image.
    """
    if not pictures:
        raise ArgumentError("there are no images")
    reader = PictureReader(pictures)
    seen = examine(reader)
    if seen.problems:
        row, why = min(seen.problems.items())
        raise DataError(f"image {reader.name(row)}: {why}")
    return Dataset("images", reader, codes, classes, digests=seen.digests)
