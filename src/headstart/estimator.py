"""A scikit-learn classifier on a frozen network: clones, cross-validates, grid-searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from headstart.data.sources.arrays import from_arrays
from headstart.errors import DataError, SpecError, choose
from headstart.models.backbone import Backbone
from headstart.models.create import create_backbone
from headstart.models.pixels import NAME as PIXELS
from headstart.models.pixels import pixels_backbone
from headstart.storage.opening import default_store
from headstart.study.resources import images_key
from headstart.transfer.frozen.engine import default_device
from headstart.transfer.frozen.features import extract, features_key
from headstart.transfer.frozen.views import view_of
from headstart.transfer.heads.fit import HeadJob, fit_heads

_HEADS = {"linear_probe": "logistic", **{k: k for k in ("logistic", "ridge", "prototypes", "knn", "sgd", "majority")}}


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A head fitted on the features of a frozen network; images in, class labels out.

    Features are kept in headstart's store, so cross-validation and grid search run the network once per image.

    Args:
        backbone: an architecture's name, or "pixels".
        weights: "imagenet", "none", or a local file.
        strategy: "linear_probe", "ridge", "prototypes", "knn", "sgd" or "majority".
        options: settings of the head, such as {"penalty": 1e-3}; a list of values is chosen from on the
            validation part.
        validation: share of the training images on which such choices are made; the head is fitted
            again on all of them with the choice.
        truncate_at: cut the network short after this stage.
        device: "auto", "cpu", "cuda", …
        random_state: seed of the validation part and of random weights.
    """

    def __init__(
        self,
        backbone: str = "efficientnet_lite0",
        weights: str = "imagenet",
        strategy: str = "linear_probe",
        options: dict[str, Any] | None = None,
        validation: float = 0.2,
        truncate_at: str | None = None,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.strategy = strategy
        self.options = options
        self.validation = validation
        self.truncate_at = truncate_at
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> ImageClassifier:
        """Fit the head.

        Args:
            X: n images: file paths, or uint8 arrays [h, w, 3].
            y: n labels of any kind that scikit-learn takes for classes.

        Raises:
            DataError: an image cannot be read, or there are fewer than two classes.
        """
        kind = choose("strategy", self.strategy, _HEADS)
        labels = np.asarray(y)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"one class only ({self.classes_[0]!r}); a classifier needs two")
        self.backbone_ = self._backbone()
        features = self._features(X)
        if len(features) != len(codes):
            raise DataError(f"{len(features)} images but {len(codes)} labels")
        train, held = self._parts(codes)
        job = HeadJob(kind, train, held, len(self.classes_), dict(self.options or {}), self.random_state, True)
        self.fit_ = fit_heads(features, codes.astype(np.int64), [job], self._device())[0]
        self.head_ = self.fit_.head.eval()
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float32]:
        """Return float32 [n, classes], in the order of `classes_`."""
        check_is_fitted(self, "head_")
        with torch.inference_mode():
            found = self.head_.probabilities(torch.from_numpy(self._features(X)))  # type: ignore[operator]
            scores: npt.NDArray[np.float32] = found.numpy()
        return scores

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable label of each image."""
        found: npt.NDArray[Any] = self.classes_[self.predict_proba(X).argmax(1)]
        return found

    def _device(self) -> str:
        return default_device() if self.device == "auto" else self.device

    def _backbone(self) -> Backbone:
        if self.backbone == PIXELS:
            return pixels_backbone()
        backbone, _ = create_backbone(self.backbone, self.weights, seed=self.random_state)
        return (backbone.truncate(self.truncate_at) if self.truncate_at else backbone).eval()

    def _features(self, X: Sequence[Any]) -> npt.NDArray[np.float32]:
        from headstart.data.decoding.image_store import decode_images

        dataset = from_arrays(list(X), None)
        needs = self.backbone_.preprocessing
        images = decode_images(dataset, view_of(needs))
        if images.bad:
            row, why = next(iter(images.bad.items()))
            raise DataError(f"image {row} ({dataset.reader.name(row)}): {why}")
        device = self._device()
        key = features_key(images_key(dataset, view_of(needs)), self.backbone_.stages, needs, device)
        stored = extract(images, self.backbone_.stages, needs, key=key, store=default_store(), device=device)
        return np.array(stored.reshape(len(stored), -1))

    def _parts(self, codes: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        rows = np.arange(len(codes))
        if self.validation == 0:
            return rows, rows[:0]
        if not 0 < self.validation < 1:
            raise SpecError(f"validation is a share from 0 to below 1, not {self.validation}")
        from sklearn.model_selection import train_test_split

        counts = np.bincount(codes)
        whole = int(np.ceil(self.validation * len(rows))) >= len(counts) and counts.min() >= 2
        train, held = train_test_split(
            rows, test_size=self.validation, random_state=self.random_state, stratify=codes if whole else None
        )
        return np.sort(train), np.sort(held)
