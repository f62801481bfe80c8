"""Backbones by name, filled with weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headstart.addresses import is_address
from headstart.errors import MissingExtra, SpecError, WeightsAbsent, WeightsError
from headstart.models.architectures.build import build
from headstart.models.architectures.catalogue import ALIASES as ALIASES
from headstart.models.architectures.catalogue import Architecture, find_architecture, torchvision_names
from headstart.models.backbone import Backbone, output_shape
from headstart.models.bundle_file import ENTRY, MODEL, check_tensors, description_of
from headstart.models.first_layer import widen, with_bands
from headstart.models.weights.aerial import AERIAL, read_aerial
from headstart.models.weights.aerial import NAME as AERIAL_NETWORK
from headstart.models.weights.checkpoint import Checkpoint, read_checkpoint
from headstart.models.weights.download import fetch_timm, fetch_url, hash_in
from headstart.models.weights.huggingface_folder import folder_licence
from headstart.models.weights.registry import (
    EMBEDDED,
    NAMED,
    Embedded,
    Weights,
    WeightsFacts,
    aerial_facts,
    facts_of,
    preferred,
    timm_facts,
    timm_weights,
    torchgeo_facts,
    torchvision_facts,
    torchvision_weights,
)
from headstart.models.weights.state_dict import load_state
from headstart.models.weights.torchgeo import TORCHGEO, named_weights
from headstart.storage.opening import found_again
from headstart.storage.store import cache_root

TRUST = "HEADSTART_TRUST_MODELS"


@dataclass(frozen=True)
class Source:
    """A weights file at hand and what is known about it."""

    checkpoint: Checkpoint
    facts: WeightsFacts


def create_backbone(
    name: str,
    weights: str | Path | Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    input_size: int | None = None,
    download: bool = True,
    agreed: bool = False,
) -> tuple[Backbone, Weights]:
    """Build a backbone and fill it.

    Args:
        name: "resnet18", "vit", "small_cnn", any name of timm or torchvision, or "timm/NAME", "torchvision/NAME".
        weights: None or "none" (random, from `seed`); "imagenet" (the best known source); "aerial" (of
            aerial_resnet18); "timm:TAG", "torchvision:TAG" or "torchgeo:TAG"; a local file (safetensors or state dict)
            or run folder; or a mapping {"path": …, "sha256": …} of which the hash must agree.
        seed: of the random initialisation.
        input_size: side of the square images in pixels; None: what the weights were trained on.
        download: fetch published weights that are not here.
        agreed: the user trusts a model given as weights: a file that it names, which its head was fitted on, is opened.

    Returns:
        the backbone in training mode, and what is known about its weights.

    Raises:
        ModelError: no such architecture, or it cannot take images of this size.
        WeightsError: weights absent, altered, cut short, of another architecture, or unsafe to read.
        MissingExtra: they come in a package that is not installed.
    """
    architecture = find_architecture(name)
    source = find_weights(architecture, weights, download=download, agreed=agreed)
    if source is None:
        backbone = _without_classifier(architecture, seed, input_size, drawn=True)
        return backbone, Weights(f"random (seed {seed})", None, None, backbone.preprocessing)
    return _from_source(architecture, source, seed, input_size or architecture.size)


def undrawn_backbone(name: str, input_size: int | None = None) -> Backbone:
    """Build what `create_backbone` builds without weights, for a caller who fills every parameter: none is drawn.

    Raises:
        ModelError: no such architecture, or it cannot take images of this size.
    """
    return _without_classifier(find_architecture(name), 0, input_size, drawn=False)


def _without_classifier(architecture: Architecture, seed: int, input_size: int | None, *, drawn: bool) -> Backbone:
    input_size = input_size or architecture.size
    backbone = build(architecture, seed, input_size, drawn=drawn)
    backbone.classifier = None
    if input_size:
        backbone.preprocessing = replace(backbone.preprocessing, resize=input_size)  # no margin to respect
        _measure(backbone, input_size)
    return backbone


def _from_source(
    architecture: Architecture, source: Source, seed: int, input_size: int | None
) -> tuple[Backbone, Weights]:
    native = source.facts.preprocessing
    size = input_size or (native.size if native else None)
    backbone = build(architecture, seed, size, drawn=False)
    filled = _fill(backbone, source, input_size)
    if filled.report.missing:  # what the file lacks is random
        backbone = build(architecture, seed, size)
        filled = _fill(backbone, source, input_size)
    if input_size:
        _measure(backbone, input_size)
    return backbone, filled


def _measure(backbone: Backbone, input_size: int) -> None:
    channels = backbone.preprocessing.channels
    backbone.feature_dim = output_shape(backbone, input_size, backbone.name, channels)[1]


def _fill(backbone: Backbone, source: Source, input_size: int | None) -> Weights:
    facts, checkpoint = source.facts, source.checkpoint
    bands = None if facts.preprocessing is None else facts.preprocessing.bands
    with_bands(backbone, bands)
    if len(facts.bands) not in (0, backbone.preprocessing.channels):
        widen(backbone, len(facts.bands))
    report = load_state(backbone, checkpoint.state, str(checkpoint.path))
    backbone.input_bands = facts.bands
    preprocessing = facts.preprocessing or backbone.preprocessing
    backbone.preprocessing = preprocessing.at(input_size) if input_size else preprocessing
    if backbone.classifier is not None:
        outputs = next(p.shape[0] for p in backbone.classifier.parameters())
        backbone.source_classes = facts.classes if len(facts.classes) == outputs else ()
    return Weights(facts.origin, checkpoint.sha256, facts.licence, backbone.preprocessing, report)


def find_weights(
    architecture: Architecture,
    weights: str | Path | Mapping[str, Any] | None,
    *,
    download: bool = True,
    agreed: bool = False,
) -> Source | None:
    """Return the weights asked for, downloaded if need be (and allowed); None for random ones.

    Raises:
        WeightsError: they are unavailable.
        MissingExtra: they come in a package that is not installed.
        SpecError: a mapping with other keys than path and sha256.
    """
    if weights is None or weights == "none":
        return None
    if isinstance(weights, Mapping):
        if "path" not in weights or set(weights) - {"path", "sha256"}:
            raise SpecError(f"weights take 'path' and perhaps 'sha256', not {', '.join(map(str, weights))}")
        return _local(architecture, str(weights["path"]), weights.get("sha256"), agreed)
    if weights == AERIAL:
        return _aerial(architecture)
    if weights == "imagenet":
        return _imagenet(architecture, download)
    library, colon, tag = str(weights).partition(":")
    if colon and library in _LIBRARIES:
        return _LIBRARIES[library](architecture, tag, download)
    if is_address(str(weights)):
        return _local(architecture, str(weights), None, agreed)
    return _local(architecture, found_again(Path(weights).expanduser()), None, agreed)


def check_at_hand(path: Path, source: str) -> None:
    """Refuse to open a file only because the model in `path` names it, unless it is in headstart's own cache.

    Raises:
        WeightsError: it is none of the published weights, and not in the cache.
    """
    if _is_published(source):
        return
    if not found_again(Path(source).expanduser()).resolve().is_relative_to(cache_root().resolve()):
        raise WeightsError(
            f"{path}: holds only a head, for weights in {source!r}; a model may name any file, so this one is not"
            f" opened: give the study's {MODEL}, or set {TRUST}=1 if you trust the model"
        )


def _is_published(weights: object) -> bool:
    text = str(weights)
    return text in NAMED or text.startswith(tuple(f"{library}:" for library in _LIBRARIES))


def _imagenet(architecture: Architecture, download: bool) -> Source:
    choice = preferred(architecture)
    if choice is None:
        how = "use weights none (random)"
        if architecture.name == AERIAL_NETWORK:
            how = f"name it with --networks, or set weights: {AERIAL}, or none, in a study"
        raise WeightsError(f"there are no published ImageNet weights of {architecture.name}; {how}")
    if choice == "embedded":
        return _embedded(EMBEDDED[architecture.name])
    library, _, tag = choice.partition(":")
    return _LIBRARIES[library](architecture, tag, download)


def _embedded(embedded: Embedded) -> Source:
    path = embedded.path()
    if path is None and embedded.extra is not None:
        raise MissingExtra(f"a network with weights of {embedded.package}", embedded.extra)
    if path is None:
        raise WeightsAbsent(f"the weights come in the package {embedded.package}: {embedded.how}")
    return Source(_published(path, embedded.sha256), embedded.facts())


def _aerial(architecture: Architecture) -> Source:
    if architecture.name != AERIAL_NETWORK:
        raise WeightsError(f"the aerial weights are those of {AERIAL_NETWORK}, not of {architecture.name}")
    return Source(read_aerial(), aerial_facts())


def _timm(architecture: Architecture, tag: str, download: bool) -> Source:
    cfgs = timm_weights(architecture.name) if architecture.library == "timm" else {}
    tags = list(cfgs)
    if tag not in tags:
        known = f" (known: {', '.join(tags)})" if tags else ""
        raise WeightsError(f"timm has no weights {tag!r} for {architecture.name}{known}")
    cfg = cfgs[tag]
    path = fetch_timm(cfg, download=download)
    facts = timm_facts(cfg)
    licence = folder_licence(path)  # the weights' own card, where it was downloaded with them
    return Source(_published(path), replace(facts, licence=licence) if licence else facts)


def _published(path: Path, sha256: str | None = None) -> Checkpoint:
    """Read a file of published weights; one that is damaged is as good as absent.

    Raises:
        WeightsAbsent: it cannot be read.
    """
    try:
        return read_checkpoint(path, sha256)
    except WeightsError as error:
        raise WeightsAbsent(str(error)) from error


def _torchvision(architecture: Architecture, tag: str, download: bool) -> Source:
    known = torchvision_weights(architecture.name) if architecture.name in torchvision_names() else {}
    if tag not in known:
        names = f" (known: {', '.join(known)})" if known else ""
        raise WeightsError(f"torchvision has no weights {tag!r} for {architecture.name}{names}")
    path = fetch_url(known[tag].url, download=download)
    return Source(_published(path), torchvision_facts(architecture.name, tag))


def _torchgeo(architecture: Architecture, tag: str, download: bool) -> Source:
    listed = named_weights(architecture, tag)
    path = fetch_url(listed.url, download=download)
    checkpoint = _published(path)
    if (known := hash_in(path.name)) is not None and not checkpoint.sha256.startswith(known):
        raise WeightsError(f"{path}: its sha256 is {checkpoint.sha256}, but its name says {known}…: delete it")
    return Source(checkpoint, torchgeo_facts(listed))


_LIBRARIES: dict[str, Callable[[Architecture, str, bool], Source]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    TORCHGEO: _torchgeo,
}


def _local(architecture: Architecture, path: str | Path, sha256: str | None, agreed: bool) -> Source:
    checkpoint = read_checkpoint(path, sha256)
    facts = facts_of(checkpoint)
    if ENTRY not in checkpoint.metadata:
        return Source(checkpoint, facts)
    described = description_of(checkpoint.path, checkpoint.metadata[ENTRY])
    origin = described.get("origin")
    if not isinstance(origin, Mapping) or not isinstance(origin.get("name"), str):
        raise WeightsError(f"{checkpoint.path}: its description is damaged (no origin)")
    check_tensors(checkpoint.path, described, checkpoint.state)
    theirs = origin["name"]
    named = find_architecture(theirs)
    if (named.library, named.name) != (architecture.library, architecture.name):
        raise WeightsError(f"{checkpoint.path}: holds a {theirs}, not a {architecture.name}")
    if any(key.startswith("backbone.") for key in checkpoint.state):
        return Source(checkpoint, facts)
    return _behind_head(architecture, checkpoint, origin, agreed)


def _behind_head(architecture: Architecture, bundle: Checkpoint, origin: Mapping[str, Any], agreed: bool) -> Source:
    """Return the weights under a bundle that holds only a head, because its backbone was never changed."""
    named = origin.get("weights")
    if named is not None and not agreed and not _is_published(named):
        raise WeightsError(
            f"{bundle.path}: holds only a head, for weights in {named!r}; give these weights themselves, or a whole"
            " model"
        )
    source = find_weights(architecture, named, download=False)
    if source is None:
        raise WeightsError(f"{bundle.path}: holds a head on random weights; there is nothing in it to start from")
    if origin.get("sha256") not in (None, source.checkpoint.sha256):
        raise WeightsError(
            f"{bundle.path}: was fitted on weights of sha256 {origin['sha256']}, but {source.checkpoint.path}"
            f" has {source.checkpoint.sha256}"
        )
    return source
