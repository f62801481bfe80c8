"""The bundle: a classifier in one safetensors file, tensors and a description, no code.

Its description holds backbone, head, classes, preprocessing, test-time augmentation, temperature, threshold and
provenance: all that decides which probabilities and labels an image gets. Names of tensors begin with `backbone.` or
`head.`; a bundle without backbone tensors names the weights it was fitted on, by hash, and is completed from them.
What a file says is checked before anything is made of it, and a seal shows whether it was altered (`bundle_file`).

An ensemble, whose networks' probabilities are averaged, is a file with all of them ("members" in its description,
their keys numbered), or a run folder whose `members.json` names their run folders.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from headstart.bands import Bands
from headstart.disclosure import disclosable
from headstart.errors import HeadstartError, MissingExtra, ModelError, WeightsError, unknown_name
from headstart.models.backbone import Backbone, output_shape
from headstart.models.bundle_checks import check_description, check_features, check_finite, check_head
from headstart.models.bundle_file import HEAD as HEAD
from headstart.models.bundle_file import MODEL as MODEL
from headstart.models.bundle_file import copy_with_temperature as copy_with_temperature
from headstart.models.bundle_file import file_content, find_bundle, read_file
from headstart.models.create import TRUST, check_at_hand, create_backbone, undrawn_backbone
from headstart.models.first_layer import with_bands
from headstart.models.heads import Head, build_head, head_config
from headstart.models.network import Network
from headstart.models.pixels import NAME as PIXELS
from headstart.models.pixels import pixels_backbone
from headstart.models.preprocessing import Preprocessing, preprocessing_from
from headstart.models.test_time_augmentation import TTA
from headstart.models.uncertainty import UncertaintyPart, part_facts, part_tensors, read_part
from headstart.models.weights.state_dict import load_state
from headstart.storage.files import read_json

T = TypeVar("T")

MEMBERS = "members.json"


@dataclass(frozen=True)
class Origin:
    """How to build the backbone again.

    Args:
        name: the architecture, as create_backbone takes it.
        truncate_at: where it was cut short, or None.
        input_size: side of its input where that is not the default, or None.
        weights: what create_backbone took to fill it, or None for random weights.
        seed: of random weights.
        sha256: of the weights file, or None.
    """

    name: str
    truncate_at: str | None = None
    input_size: int | None = None
    weights: str | None = None
    seed: int = 0
    sha256: str | None = None


@dataclass(frozen=True)
class Bundle:
    """A network and all that is needed to use it as it was scored.

    Args:
        network: backbone and head, in evaluation mode.
        origin: how its backbone is built.
        classes: the class names, in the order of the head's outputs.
        multi_label: an image may have several classes.
        temperature: divides the logits so that probabilities are calibrated; 1 changes nothing.
        provenance: facts for people: study, run, seed, dataset, versions, date.
        tta: test-time augmentation, a name in TTA.
        threshold: of multi-label models: a class is predicted where its probability is above this.

    Raises:
        ModelError: the values contradict each other or the network.
    """

    network: Network
    origin: Origin
    classes: tuple[str, ...]
    multi_label: bool = False
    temperature: float = 1.0
    provenance: Mapping[str, Any] = field(default_factory=dict)
    tta: str = "none"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        outputs = getattr(self.network.head, "classes", len(self.classes))
        if outputs != len(self.classes):
            raise ModelError(f"a model of {len(self.classes)} classes has a head of {outputs} outputs")
        if self.tta not in TTA:
            raise ModelError(unknown_name("test-time augmentation", self.tta, TTA))
        if not 0 < self.temperature < math.inf:
            raise ModelError(f"temperature = {self.temperature} must be a finite number above 0")
        if self.multi_label and self.temperature != 1.0:
            raise ModelError(
                f"temperature = {self.temperature} would change the labels of a multi-label model; it must be 1"
            )
        if not 0 < self.threshold < 1:
            raise ModelError(f"threshold = {self.threshold} must be between 0 and 1")

    @property
    def preprocessing(self) -> Preprocessing:
        """What the network needs of an image."""
        return self.network.backbone.preprocessing


@dataclass(frozen=True)
class Ensemble:
    """Networks whose calibrated probabilities are averaged.

    Args:
        members: at least one, all of the same classes and the same label rule.
        temperature: that calibrates the average; 1 changes nothing.
        uncertainty: what says how sure its answers are, or None.

    Raises:
        ModelError: the members do not belong together.
    """

    members: tuple[Bundle, ...]
    temperature: float = 1.0
    uncertainty: UncertaintyPart | None = None

    def __post_init__(self) -> None:
        if not self.members:
            raise ModelError("an ensemble needs at least one network")
        first = self.members[0]
        for each in self.members[1:]:
            if each.classes != first.classes:
                raise ModelError(
                    "the networks of an ensemble must have the same classes in the same order, not"
                    f" {', '.join(first.classes[:3])} … and {', '.join(each.classes[:3])} …"
                )
            if (each.multi_label, each.threshold) != (first.multi_label, first.threshold):
                raise ModelError("the networks of an ensemble must agree on how many labels an image has, and when")
        if not 0 < self.temperature < math.inf:
            raise ModelError(f"temperature = {self.temperature} must be a finite number above 0")

    def single(self, name: str = "this model") -> Bundle:
        """Return the only member.

        Raises:
            ModelError: there are several.
        """
        if len(self.members) > 1:
            raise ModelError(
                f"{name} averages {len(self.members)} networks, and only one can be inspected; give the run folder of"
                " one of them"
            )
        return self.members[0]


def shared_backbones(members: Sequence[Bundle]) -> list[int]:
    """Return for each network the number of the first with the same backbone: its features serve them all."""
    found: list[int] = []
    for number, bundle in enumerate(members):
        found.append(next((n for n in dict.fromkeys(found) if _same_backbone(members[n], bundle)), number))
    return found


def _same_backbone(first: Bundle, second: Bundle) -> bool:
    built = [(each.origin.name, each.origin.truncate_at, each.origin.input_size) for each in (first, second)]
    if built[0] != built[1] or first.preprocessing != second.preprocessing:
        return False
    mine, its = (each.network.backbone.state_dict() for each in (first, second))
    return mine.keys() == its.keys() and all(torch.equal(mine[key], its[key]) for key in mine)


def bundle_bytes(bundle: Bundle, *, whole: bool) -> bytes:
    """Return the bundle as the content of one file; with `whole`, the backbone's tensors are in it."""
    return file_content(_tensors(bundle, whole=whole), _described(bundle))


def ensemble_bytes(ensemble: Ensemble) -> bytes:
    """Return the ensemble as one file's content: every tensor of its members, a shared backbone once."""
    tensors: dict[str, Tensor] = {}
    members = []
    for number, (bundle, body) in enumerate(zip(ensemble.members, shared_backbones(ensemble.members), strict=True)):
        tensors |= {f"{number}.{key}": value for key, value in _tensors(bundle, whole=body == number).items()}
        members.append({**_described(bundle), "body": body})
    facts = {"temperature": ensemble.temperature, "members": members, **part_facts(ensemble.uncertainty)}
    return file_content(tensors | part_tensors(ensemble.uncertainty), facts)


def model_bytes(ensemble: Ensemble) -> bytes:
    """Return a model, of one network or several, as the content of one file that needs nothing else."""
    if len(ensemble.members) > 1:
        return ensemble_bytes(ensemble)
    bundle, part = ensemble.members[0], ensemble.uncertainty
    return file_content(_tensors(bundle, whole=True) | part_tensors(part), _described(bundle) | part_facts(part))


def _tensors(bundle: Bundle, *, whole: bool) -> dict[str, Tensor]:
    tensors = {f"head.{key}": value for key, value in bundle.network.head.state_dict().items()}
    if whole:
        tensors |= {f"backbone.{key}": value for key, value in bundle.network.backbone.bare().state_dict().items()}
    return tensors


def _described(bundle: Bundle) -> dict[str, Any]:
    origin = asdict(bundle.origin)
    return {
        "origin": {key: disclosable(each) if isinstance(each, str) else each for key, each in origin.items()},
        "head": head_config(bundle.network.head),
        "preprocessing": bundle.preprocessing.facts(),
        "classes": list(bundle.classes),
        "multi_label": bundle.multi_label,
        "tta": bundle.tta,
        "temperature": bundle.temperature,
        "threshold": bundle.threshold,
        "provenance": {k: disclosable(v) if isinstance(v, str) else v for k, v in bundle.provenance.items()},
    }


def read_bundle(place: str | Path, *, agreed: bool = False) -> Bundle:
    """Read a bundle: a file, a run folder or a study folder (its best model); `agreed` as of `read_ensemble`.

    Raises:
        WeightsError: absent, cut short, altered, not a bundle, or the weights it needs are unavailable.
        ModelError: it is an ensemble of several.
    """
    return read_ensemble(place, agreed=agreed).single(f"{place}:")


def read_ensemble(place: str | Path, *, agreed: bool = False) -> Ensemble:
    """Read a model, whether it is one network or several: a file, a run folder or a study folder.

    Args:
        place: where it is.
        agreed: weights that it needs and only names may be downloaded, or opened wherever they are. Otherwise
            they are used if they are at hand under a published name; $HEADSTART_TRUST_MODELS=1 agrees, too.

    Raises:
        WeightsError: absent, cut short, altered, not a bundle, or the weights it needs are unavailable.
    """
    agreed = agreed or os.environ.get(TRUST) == "1"
    listed = Path(place).expanduser() / MEMBERS
    if not listed.is_file():
        return _read_one(find_bundle(place), agreed)
    folders, temperature = _members(listed)
    members = tuple(_read_one(find_bundle(folder), agreed).single(f"{folder}:") for folder in folders)
    return _made(listed, lambda: Ensemble(members, temperature))


def model_files(place: str | Path) -> tuple[Path, ...]:
    """Return the files that a model is read from: its own, or the list of an ensemble's networks and theirs.

    Raises:
        WeightsError: one is absent, or the list is damaged.
    """
    listed = Path(place).expanduser() / MEMBERS
    if not listed.is_file():
        return (find_bundle(place),)
    return (listed, *map(find_bundle, _members(listed)[0]))


def _members(listed: Path) -> tuple[list[Path], float]:
    """Return the folders of an ensemble's networks, which are beside its own, and its temperature."""
    facts = read_json(listed)
    try:
        names, temperature = list(facts["members"]), float(facts["temperature"])
        folders = [(listed.parent / str(name)).resolve() for name in names]
    except (TypeError, KeyError, ValueError) as error:
        raise WeightsError(f"{listed}: is damaged ({error})") from error
    root = listed.parent.resolve().parents[min(1, len(listed.parent.resolve().parents) - 1)]
    for folder in folders:
        if not folder.is_relative_to(root):
            raise WeightsError(f"{listed}: names {folder}, which is outside of the study's folder")
    return folders, temperature


def _read_one(path: Path, agreed: bool) -> Ensemble:
    """Read a model's file."""
    described, tensors = read_file(path)
    if "members" not in described:
        alone = (described, tensors, agreed)
        return _made(path, lambda: Ensemble((_assemble(path, *alone),), uncertainty=read_part(described, tensors)))

    def several() -> Ensemble:
        check_finite({"temperature": torch.tensor(float(described["temperature"]))})
        parts = [(each, _part(tensors, number, each)) for number, each in enumerate(described["members"])]
        members = tuple(_assemble(path, *each, agreed) for each in parts)
        return Ensemble(members, described["temperature"], read_part(described, tensors))

    return _made(path, several)


def _made(path: Path, make: Callable[[], T]) -> T:
    """Return what is made of a file that may say anything, or the reason why it cannot be made, in one line."""
    try:
        return make()
    except (WeightsError, MissingExtra):
        raise
    except HeadstartError as error:
        raise WeightsError(f"{path}: cannot be used ({_brief(error)})") from error
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        said = f"its description does not fit its tensors: {_brief(error)}"
        raise WeightsError(f"{path}: cannot be used ({said})") from error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__


def _part(tensors: Mapping[str, Tensor], number: int, described: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of one of several networks: its head's, and its backbone's, perhaps shared with another."""
    starts = (f"{number}.head.", f"{described.get('body', number)}.backbone.")
    return {key.split(".", 1)[1]: value for key, value in tensors.items() if key.startswith(starts)}


def read_head(path: Path) -> Head:
    """Read only the head of a bundle; the backbone is not built."""
    described, tensors = read_file(path)
    return _made(path, lambda: _head(described, tensors).eval())


def _head(described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Head:
    own = {key.removeprefix("head."): value for key, value in tensors.items() if key.startswith("head.")}
    check_head(described["head"], own, multi_label=described["multi_label"])
    head = build_head(described["head"])
    head.load_state_dict(own)
    return head


def _assemble(path: Path, described: Mapping[str, Any], tensors: Mapping[str, Tensor], agreed: bool) -> Bundle:
    check_description(described)
    origin = Origin(**described["origin"])
    head = _head(described, tensors)
    own = {key.removeprefix("backbone."): value for key, value in tensors.items() if key.startswith("backbone.")}
    check_finite(own)
    needs = preprocessing_from(described["preprocessing"])
    backbone = _backbone(path, origin, own, agreed, needs.bands)
    if needs.size != backbone.preprocessing.size and origin.name != PIXELS:
        check_features(output_shape(backbone, needs.size, origin.name, needs.channels)[1], described["head"])
    backbone.preprocessing = needs
    check_features(backbone.feature_dim, described["head"])
    return Bundle(
        Network(backbone, head).eval(),
        origin,
        tuple(described["classes"]),
        described["multi_label"],
        described["temperature"],
        described["provenance"],
        described["tta"],
        described["threshold"],
    )


def _backbone(path: Path, origin: Origin, own: Mapping[str, Tensor], agreed: bool, bands: Bands | None) -> Backbone:
    if origin.name == PIXELS:
        return with_bands(pixels_backbone(origin.input_size or 32), bands)
    backbone = undrawn_backbone(origin.name, origin.input_size) if own else _named(path, origin, agreed)
    if origin.truncate_at:
        backbone = backbone.truncate(origin.truncate_at)
    backbone = with_bands(backbone.bare(), bands)
    if own and (missing := load_state(backbone, own, str(path)).missing):
        raise WeightsError(f"{path}: lacks tensors of {origin.name}: {', '.join(missing[:3])}")
    with torch.no_grad():
        return backbone.eval()


def _named(path: Path, origin: Origin, agreed: bool) -> Backbone:
    """Return the backbone that a bundle only names."""
    if origin.weights is not None and not agreed:
        check_at_hand(path, origin.weights)
    backbone, weights = create_backbone(
        origin.name, origin.weights, seed=origin.seed, input_size=origin.input_size, download=agreed
    )
    if origin.sha256 is not None and weights.sha256 != origin.sha256:
        raise WeightsError(
            f"{path}: its head was fitted on weights with sha256 {origin.sha256}, but {origin.weights!r} now gives"
            f" {weights.sha256}"
        )
    return backbone
