"""Several networks and explainers on the same pictures, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from headstart.data.decoding.decode import decode
from headstart.errors import DataError
from headstart.evaluate.metrics.calibration import calibrated
from headstart.explain.explainers import EXPLAINERS, explain
from headstart.explain.picture import Column
from headstart.explain.scope import device_of, probabilities_of, undisturbed
from headstart.models.bundle import Bundle
from headstart.models.network import Network
from headstart.models.preprocessing import as_tensor, normalise
from headstart.models.test_time_augmentation import TTA
from headstart.notebook import Shown
from headstart.transfer.frozen.views import view_of


@dataclass(frozen=True)
class Subject:
    """A network to explain.

    Args:
        title: its display name, such as "pretrained on DTD".
        network: its backbone knows how pictures become its input.
        classes: the class names, in the order of its logits.
        temperature: that calibrates its probabilities; 1 changes nothing.
        tta: its test-time augmentation, a name in TTA.
    """

    title: str
    network: Network
    classes: Sequence[str]
    temperature: float = 1.0
    tta: str = "none"

    @classmethod
    def of(cls, title: str, bundle: Bundle) -> Subject:
        """Return the network of a bundle, with what makes its probabilities those that the bundle predicts."""
        return cls(title, bundle.network, bundle.classes, bundle.temperature, bundle.tta)


@dataclass(frozen=True)
class Explained(Shown):
    """One network's predictions for the pictures, with their explanations.

    Args:
        subject: the network.
        pixels: uint8 [n, size, size, 3], the pictures as the network sees them.
        images: the same, normalised: float [n, 3, size, size], on the CPU.
        targets: int64 [n], the class that is explained.
        probabilities: float [n, C], calibrated: those that the model predicts.
        maps: for each method float [n, size, size].
    """

    subject: Subject
    pixels: np.ndarray
    images: torch.Tensor
    targets: torch.Tensor
    probabilities: np.ndarray
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)


def explain_pictures(
    subjects: Sequence[Subject],
    pictures: Sequence[UInt8[np.ndarray, "_ _ 3"] | bytes],
    methods: Sequence[str],
    *,
    targets: Sequence[str] | None = None,
    seed: int = 0,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Explained]:
    """Explain the same pictures through each network, each in its own preprocessing.

    Args:
        pictures: whole images, as RGB pixels or as the bytes of a file.
        methods: names in EXPLAINERS.
        targets: for each picture the name of the class to explain; default: what each network predicts.
        options: for each method, what `explain` takes.

    Raises:
        SpecError: unknown method or option.
        DataError: a class that a network does not have.
        ModelError: a method that cannot explain a network.
    """
    results = []
    for subject in subjects:
        preprocessing = subject.network.backbone.preprocessing
        view = view_of(preprocessing)
        pixels = np.stack([decode(picture, view) for picture in pictures])
        images = normalise(as_tensor(pixels), preprocessing)
        probabilities = _probabilities(subject, images)
        chosen = _targets(subject, targets, probabilities)
        maps = {
            method: explain(subject.network, images, chosen, method, seed=seed, **(options or {}).get(method, {}))
            for method in methods
        }
        results.append(Explained(subject, pixels, images, chosen, probabilities, maps))
    return results


def _shown(result: Explained) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Return the pictures as people see them."""
    bands = result.subject.network.backbone.preprocessing.bands
    return list(result.pixels if bands is None else bands.picture(result.pixels))


def columns_of(results: Sequence[Explained]) -> list[Column]:
    """Return the columns of a gallery: the pictures, then each method with the networks side by side."""
    first = results[0]
    columns = [Column("Image\n" + ("" if len(results) > 1 else first.subject.title), _shown(first))]
    for method in first.maps:
        explainer = EXPLAINERS[method]
        for result in results:
            notes = [verdict(result, row) for row in range(len(result.pixels))]
            columns.append(
                Column(
                    f"{explainer.title}\n{result.subject.title}",
                    _shown(result),
                    list(result.maps[method]),
                    explainer.signed,
                    notes,
                    explainer.outlined,
                )
            )
    return columns


def verdict(result: Explained, row: int) -> str:
    """Return the class that is explained, with its probability."""
    target = int(result.targets[row])
    return f"{result.subject.classes[target]} {result.probabilities[row, target]:.2f}"


def _probabilities(subject: Subject, images: torch.Tensor, batch: int = 64) -> np.ndarray:
    network = subject.network
    parts = []
    with undisturbed(network), torch.inference_mode():
        for part in torch.split(images, batch):
            views = TTA[subject.tta](part.to(device_of(network)))
            parts.append(torch.stack([probabilities_of(network, network(view).float()) for view in views]).mean(0))
    return calibrated(torch.cat(parts).cpu().numpy(), subject.temperature)


def _targets(subject: Subject, names: Sequence[str] | None, probabilities: np.ndarray) -> torch.Tensor:
    if names is None:
        return torch.from_numpy(probabilities.argmax(1).astype(np.int64))
    if len(names) != len(probabilities):
        raise DataError(f"{len(probabilities)} pictures and {len(names)} classes to explain: give one for each")
    place = {name: i for i, name in enumerate(subject.classes)}
    unknown = [name for name in names if name not in place]
    if unknown:
        raise DataError(f"{subject.title} does not know the class {unknown[0]!r}; it knows {len(place)} classes")
    return torch.tensor([place[name] for name in names], dtype=torch.int64)
