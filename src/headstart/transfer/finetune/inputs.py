"""The inputs of each epoch: pixels, or stored activations of the frozen prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headstart.models.backbone import INPUT
from headstart.models.preprocessing import Preprocessing, as_tensor
from headstart.storage.store import Store, array_digest, content_key
from headstart.transfer.augment.augment import Augmenter
from headstart.transfer.augment.framing import Pixels
from headstart.transfer.finetune.routes import Route
from headstart.transfer.frozen.features import extract, features_key
from headstart.transfer.frozen.predict import batch_of
from headstart.transfer.strategy import Phase, Resolved

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PixelFetch:
    """Reads pixels, augmented as in the epoch."""

    images: Any
    augmenter: Augmenter | None
    size: int

    def __call__(self, rows: Rows, epoch: int) -> Tensor:
        """Return uint8 [b, 3, size, size]."""
        return as_tensor(read_pixels(self.images, rows, self.size, self.augmenter, epoch))

    def view(self, epoch: int) -> int | None:
        """Return the epoch as in which pixels are augmented, or None if they are not."""
        return None if self.augmenter is None else epoch


@dataclass(frozen=True)
class StoredFetch:
    """Reads stored activations, one view an epoch in turn; `places` is the position of each row in them."""

    matrices: list[npt.NDArray[np.float32]]
    places: Rows
    augmented: bool = False

    def __call__(self, rows: Rows, epoch: int) -> Tensor:
        """Return float32 [b, ...]."""
        matrix = self.matrices[epoch % len(self.matrices)]
        return torch.from_numpy(np.ascontiguousarray(matrix[self.places[rows]]))

    def view(self, epoch: int) -> int | None:
        """Return the epoch as in which the pixels of these activations were augmented, or None if they were not."""
        return epoch % len(self.matrices) if self.augmented else None


@dataclass(frozen=True)
class Inlet:
    """Inputs, and the frozen prefix that is still to be run on them (None: they are activations at the cut)."""

    fetch: PixelFetch | StoredFetch
    prefix: nn.Module | None


@dataclass(frozen=True)
class Leg:
    """One phase's inputs, which enter the network at the phase's cut."""

    phase: Phase
    train: Inlet
    validation: Inlet


class Frames:
    """Decoded images (or some rows of them) at one size, perhaps augmented: what feature extraction reads.

    Args:
        images: gives uint8 [h, w, 3] by row.
        size: side of the frames.
        rows: which rows; None takes all.
        augmenter: applied as in epoch `view`.
    """

    def __init__(
        self,
        images: Any,
        size: int,
        rows: Rows | None = None,
        augmenter: Augmenter | None = None,
        view: int = 0,
    ) -> None:
        self.images, self.size, self.augmenter, self.view = images, size, augmenter, view
        self.rows = np.arange(len(images)) if rows is None else rows
        changed = None
        if augmenter is not None:
            changed = [list(augmenter.names), dict(augmenter.options), augmenter.seed, view]
        own = key_of_images(images)
        plain = rows is None and augmenter is None
        self.key = own if plain else content_key([own, size, array_digest(self.rows), changed])

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, positions: Rows) -> Pixels:
        """Return uint8 [b, size, size, 3]."""
        return read_pixels(self.images, self.rows[positions], self.size, self.augmenter, self.view)


def read_pixels(images: Any, rows: Rows, size: int, augmenter: Augmenter | None, epoch: int) -> Pixels:
    """Return uint8 [b, size, size, 3] of these rows, augmented as in this epoch."""
    if augmenter is None:
        return batch_of(images, rows, size)
    whole: Sequence[Pixels] | Pixels
    whole = images.batch(rows) if hasattr(images, "batch") else [images[int(row)] for row in rows]
    return augmenter(whole, rows, epoch)


def key_of_images(images: Any) -> str:
    """Return the images' content key, made from their pixels if they do not carry one."""
    if hasattr(images, "key"):
        return str(images.key)
    return content_key([array_digest(np.asarray(images[row])) for row in range(len(images))])


@dataclass(frozen=True)
class Sources:
    """What legs are built from.

    Args:
        images: for validation, and for training unless `train_images` is given.
        train_images: perhaps larger, for random crops.
        train, validation: rows.
        preprocessing: size, mean and std.
        augmenter: or None.
        store: where activations are kept.
        device: where the prefix runs.
        view_rows: rows whose augmented views are stored, `train` among them; None: `train`.
    """

    images: Any
    train_images: Any
    train: Rows
    validation: Rows
    preprocessing: Preprocessing
    augmenter: Augmenter | None
    store: Store
    device: str
    view_rows: Rows | None = None

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.preprocessing.size


@dataclass(frozen=True)
class LegFetch:
    """Reads from the leg of the epoch that training is in."""

    legs: list[Leg]
    training: bool

    def __call__(self, rows: Rows, epoch: int) -> Tensor:
        """Return what enters the network."""
        return self._inlet(epoch).fetch(rows, epoch)

    def view(self, epoch: int) -> int | None:
        """Return the epoch as in which the images of this epoch are augmented, or None if they are not."""
        return self._inlet(epoch).fetch.view(epoch)

    def _inlet(self, epoch: int) -> Inlet:
        leg = [leg for leg in self.legs if leg.phase.start <= epoch][-1]
        return leg.train if self.training else leg.validation


def build_leg(route: Route, resolved: Resolved, sources: Sources) -> Leg:
    """Compute and store what the route stores; return where the phase's inputs come from."""
    phase = route.phase
    prefix = resolved.backbone.cut(phase.cut)[0] if phase.cut != INPUT else None
    if prefix is None or route.mode == "on the fly":
        direct = Inlet(_pixels(sources.images, None, sources), prefix)
        keep = prefix is not None and route.stores_validation and len(sources.validation) > 0
        validation = _stored_validation(prefix, phase.cut, sources) if keep and prefix is not None else direct
        return Leg(phase, Inlet(_pixels(sources.train_images, sources.augmenter, sources), prefix), validation)
    title = f"activations at {phase.cut}"
    if route.mode == "stored":
        matrix = _extract(Frames(sources.images, sources.size), prefix, sources, title)
        inlet = _stored([matrix], np.arange(len(sources.images)))
        return Leg(phase, inlet, inlet)
    matrices, rows = [], sources.train if sources.view_rows is None else sources.view_rows
    for view in range(resolved.strategy.views):
        frames = Frames(sources.train_images, sources.size, rows, sources.augmenter, view)
        matrices.append(_extract(frames, prefix, sources, f"{title}, view {view + 1}"))
    train = _stored(matrices, _places(rows, len(sources.images)), augmented=sources.augmenter is not None)
    return Leg(phase, train, _stored_validation(prefix, phase.cut, sources) if len(sources.validation) else train)


def _stored_validation(prefix: nn.Module, cut: str, sources: Sources) -> Inlet:
    frames = Frames(sources.images, sources.size, sources.validation)
    matrix = _extract(frames, prefix, sources, f"activations at {cut}, validation")
    return _stored([matrix], _places(sources.validation, len(sources.images)))


def _pixels(images: Any, augmenter: Augmenter | None, sources: Sources) -> PixelFetch:
    return PixelFetch(images, augmenter, sources.size)


def _stored(matrices: list[npt.NDArray[np.float32]], places: Rows, *, augmented: bool = False) -> Inlet:
    return Inlet(StoredFetch(matrices, places, augmented), None)


def _places(rows: Rows, count: int) -> Rows:
    places = np.full(count, -1, np.int64)
    places[rows] = np.arange(len(rows))
    return places


def _extract(frames: Frames, prefix: nn.Module, sources: Sources, title: str) -> npt.NDArray[np.float32]:
    key = features_key(frames.key, prefix, sources.preprocessing, sources.device)
    return extract(
        frames, prefix, sources.preprocessing, key=key, store=sources.store, device=sources.device, title=title
    )
