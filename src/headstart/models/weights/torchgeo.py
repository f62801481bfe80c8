"""Weights for satellite bands, as torchgeo's table lists them: their bands, and what their transforms do."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headstart.errors import MissingExtra, WeightsError
from headstart.models.architectures.catalogue import Architecture
from headstart.models.preprocessing import Preprocessing
from headstart.models.weights.download import hash_in

TORCHGEO = EXTRA = PACKAGE = "torchgeo"
NETWORKS = {  # of which torchgeo has weights, by the library that builds them; torchgeo uses the libraries' own names
    "timm": (
        "resnet18",
        "resnet50",
        "resnet152",
        "vit_small_patch16_224",
        "vit_base_patch16_224",
        "vit_large_patch16_224",
        "vit_huge_patch14_224",
        "vit_small_patch14_dinov2",
        "vit_base_patch14_dinov2",
    ),
    "torchvision": ("swin_t", "swin_s", "swin_b", "swin_v2_t", "swin_v2_b"),
}
_RGB = ("R", "G", "B")  # of weights that take three channels and do not name them
_SIZE = 224  # of images, where the transform neither resizes nor crops
_TOP = 255  # our statistics are of numbers divided by it


@dataclass(frozen=True)
class Listed:
    """Weights in torchgeo's table.

    Args:
        origin: torchgeo's name for them, in words.
        url: of the file, whose name ends with the beginning of its sha256 for most of them.
        bands: the names of the bands that they take, in order.
        licence: what the table says, or None.
        transform: torchgeo's module that normalises a batch of images.
    """

    origin: str
    url: str
    bands: tuple[str, ...]
    licence: str | None
    transform: Any

    @property
    def preprocessing(self) -> Preprocessing:
        """What the transform does to numbers as they are in the files.

        Raises:
            WeightsError: it does something else than resizing, cropping and normalising.
        """
        resize, size, interpolation = None, None, "bilinear"
        mean, std = [0.0] * len(self.bands), [1.0] * len(self.bands)
        for step in _steps(self.transform):
            kind = type(step).__name__
            if kind == "Resize":
                resize = min(step.size)
                interpolation = str(getattr(step.interpolation, "value", step.interpolation))  # a word or an enum
            elif kind == "CenterCrop":
                size = min(step.size)
            elif kind == "Normalize":
                # (x - mean) / std, then (that - m) / s, is (x - mean - std · m) / (std · s)
                mean = [a + b * m for a, b, m in zip(mean, std, _each(step.mean, mean), strict=True)]
                std = [b * s for b, s in zip(std, _each(step.std, std), strict=True)]
            elif kind != "Identity":
                raise WeightsError(f"{self.origin} cannot be used: its transform has a {kind}, which is not known")
        size = size or resize or _SIZE
        means, stds = (tuple(value / _TOP for value in each) for each in (mean, std))
        return Preprocessing(size, max(size, resize or size), interpolation, means, stds)


def is_known(architecture: Architecture) -> bool:
    """Return whether torchgeo has weights of this architecture."""
    return architecture.name in NETWORKS.get(architecture.library, ())


def torchgeo_weights(architecture: Architecture) -> dict[str, Listed]:
    """Return torchgeo's weights of an architecture, by tag; none if torchgeo is not installed or has none."""
    if not is_known(architecture) or not _is_installed():
        return {}
    return {entry.name: _listed(entry) for entry in table(architecture.name)}


def named_weights(architecture: Architecture, tag: str) -> Listed:
    """Return torchgeo's weights `tag` of an architecture.

    Raises:
        MissingExtra: torchgeo is not installed.
        WeightsError: it has no such weights.
    """
    if not is_known(architecture):
        known = ", ".join(name for names in NETWORKS.values() for name in names)
        raise WeightsError(f"torchgeo has no weights of {architecture.name} (it has some of {known})")
    if not _is_installed():
        raise MissingExtra(f"a network with weights {TORCHGEO}:{tag}", EXTRA)
    listed = torchgeo_weights(architecture)
    if tag not in listed:
        raise WeightsError(f"torchgeo has no weights {tag!r} for {architecture.name} (known: {', '.join(listed)})")
    return listed[tag]


def listed_file(name: str, sha256: str) -> Listed | None:
    """Return torchgeo's weights of which this is the file, told by its name and the hash in it; None of other files."""
    if not name.endswith(".pth") or not sha256.startswith(hash_in(name) or "") or not _is_installed():
        return None
    found = (entry for names in NETWORKS.values() for each in names for entry in table(each))
    return next((_listed(entry) for entry in found if entry.url.endswith(f"/{name}")), None)


def table(name: str) -> list[Any]:
    """Return torchgeo's own entries for a network."""
    from torchgeo.models import get_model_weights

    return list(get_model_weights(name))


def _is_installed() -> bool:
    return importlib.util.find_spec(PACKAGE) is not None


def _listed(entry: Any) -> Listed:
    meta = entry.meta
    bands = tuple(meta.get("bands") or (_RGB if meta["in_chans"] == len(_RGB) else map(str, range(meta["in_chans"]))))
    return Listed(f"torchgeo {entry}", entry.url, bands, meta.get("license"), entry.transforms)


def _steps(transform: Any) -> Iterator[Any]:
    """Yield the modules of a transform in the order in which they are applied."""
    if type(transform).__name__ == "Sequential":
        for inner in transform:
            yield from _steps(inner)
    else:
        yield transform


def _each(values: Any, like: list[float]) -> list[float]:
    """Return one value for each band; torchgeo gives one for all where they are equal."""
    found = [float(value) for value in values]
    return found * len(like) if len(found) == 1 else found
