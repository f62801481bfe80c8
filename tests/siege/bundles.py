"""Altered bundles: refused, or the same answers; and bundles that are sealed well but say anything.

An answer is the probabilities and all that a calibrated model adds to them: its prediction set, how familiar the image
is, whether it is left to a person, the decision of least cost, and what it says of the drift of a handful of images.
"""

from __future__ import annotations

import copy
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save

from headstart.deploy.classifier import Classifier
from headstart.deploy.drift import Observed, drift_of, why_not
from headstart.evaluate.uncertainty.answers import AnswerOptions, Uncertainty, held_out_of
from headstart.evaluate.uncertainty.costs import costs_of
from headstart.evaluate.uncertainty.drift import FEWEST, sketch_of
from headstart.evaluate.uncertainty.familiarity import SourceHead, familiarity, fit_reference
from headstart.evaluate.uncertainty.stored import rounded, to_part
from headstart.models.bundle import Bundle, Ensemble, Origin, bundle_bytes, ensemble_bytes, model_bytes
from headstart.models.bundle_file import ENTRY, file_content
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead, NearestNeighbourHead, select_classes
from headstart.models.network import Network
from headstart.models.uncertainty import KEY, UncertaintyPart
from tests.siege.guarded import Guarded
from tests.siege.images import picture
from tests.siege.mutators import damaged
from tests.siege.siege import Attack, Broken

CLASSES = ("cat", "dog", "cow")
VALUES: tuple[Any, ...] = (None, True, 0, -1, 2, 10**12, 0.5, float("nan"), float("inf"), "", "x", "linear", [], {})
VALUES += (["cat", "dog"], ["dog", "cat", "cow"], [1, 2, 3], {"kind": "linear"}, "imagenet", "/etc/passwd", "flip")
VALUES += ("energy", "vim", "two\nlines", 10**400, -0.5, [[]], {"a": {"b": 1}})
SURE = {  # the models that say how sure they are, by name: what is asked of them
    "sure": AnswerOptions(0.9, at_least=0.5),
    "sure by class": AnswerOptions(0.8, "raps", by_class=True),
    "sure of distances": AnswerOptions(0.9, "aps", at_least=0.5),
    "sure of its source": AnswerOptions(0.9),
    "sure ensemble": AnswerOptions(0.9),
}


def models() -> dict[str, bytes]:
    """Return small bundles of each kind."""
    backbone, _ = create_backbone("lenet5", None, seed=3)
    origin = Origin("lenet5", seed=3)
    linear, neighbours = LinearHead(84, 3, centred=True, scaled=True), NearestNeighbourHead(84, 3, 9)
    torch.nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(0))
    neighbours.bank.normal_(generator=torch.Generator().manual_seed(1))
    neighbours.bank_labels.copy_(torch.arange(9) % 3)
    one = Bundle(Network(backbone, linear).eval(), origin, CLASSES, temperature=1.5, tta="flip")
    other = Bundle(Network(backbone, neighbours).eval(), origin, CLASSES)
    picked = Bundle(Network(backbone, select_classes(linear, [2, 0])).eval(), origin, CLASSES[:2])
    return {
        "linear": bundle_bytes(one, whole=True),
        "neighbours": bundle_bytes(other, whole=True),
        "selected": bundle_bytes(picked, whole=True),
        "head alone": bundle_bytes(one, whole=False),
        "ensemble": ensemble_bytes(Ensemble((one, other), 0.8)),
        "sure": model_bytes(Ensemble((one,), uncertainty=_uncertainty("distances+energy", costs=True))),
        "sure by class": model_bytes(Ensemble((other,), uncertainty=_uncertainty("", costs=False))),
        "sure of distances": model_bytes(Ensemble((one,), uncertainty=_uncertainty("mahalanobis", costs=False))),
        "sure of its source": model_bytes(
            Ensemble((one,), uncertainty=_uncertainty("distances+energy+source", costs=False))
        ),
        "sure ensemble": model_bytes(Ensemble((one, other), 0.8, _uncertainty("vim", costs=True))),
    }


def _uncertainty(score: str, *, costs: bool) -> UncertaintyPart:
    """Return what a model of three classes and 84 features knows about its answers."""
    rng = np.random.default_rng(0)
    labels, embeddings = rng.integers(0, 3, 90), rng.normal(size=(90, 84)).astype(np.float32)
    logits = rng.normal(size=(90, 3)).astype(np.float32)
    logits[np.arange(90), labels] += 3
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    known = Uncertainty(3, held_out_of(probabilities[30:], labels[30:]), notes=("a note",))
    if costs:
        looks = rng.normal(size=(60, 6)).astype(np.float32)
        sketch = sketch_of(embeddings[:30], labels[:30], embeddings[30:], looks, probabilities[30:].argmax(1))
        known = replace(known, costs=costs_of(CLASSES, {"cat": {"dog": 7}}, ask=0.3), sketch=sketch)
    if score:
        source = SourceHead(rng.normal(size=(7, 84)), rng.normal(size=7))
        reference = rounded(fit_reference(embeddings, labels, logits, score=score, source=source), score)
        familiar = familiarity(score, reference, embeddings[30:], logits[30:])
        known = replace(known, score=score, reference=reference, familiar=familiar, selection={score: 0.9})
    return to_part(known)


def prepare(scratch: Path) -> Attack:
    """Return the attack on the readers of bundles."""
    torch.set_num_threads(1)
    path = scratch / "model.safetensors"
    sound = models()
    images = [picture(number) for number in range(FEWEST)]

    def said(kind: str, content: bytes) -> list[Any]:
        path.write_bytes(content)
        classifier = Classifier.load(path, asked=SURE.get(kind))
        (found,) = classifier.predict(images[0])
        added = [found.answer, found.set, found.familiarity, found.withheld, found.decision]
        return [found.label, *(float(each) for each in found.probabilities), *added, _drift(classifier, images)]

    expected = {kind: said(kind, content) for kind, content in sound.items()}

    def work(given: tuple[str, bytes, bool]) -> str:
        kind, content, sealed = given
        found = said(kind, content)
        if sealed:
            return "sealed anew: read"
        if found != expected[kind]:
            raise Broken(f"a silently different answer: {found}, not {expected[kind]}")
        return "the same answer"

    guarded = Guarded(work)

    def attack(seed: int) -> str:
        rng = random.Random(seed)
        kind = rng.choice(list(sound))
        how = rng.random()
        if how < 0.4:
            return guarded((kind, damaged(sound[kind], rng), False))
        content = _rewritten(sound[kind], rng, seal=how < 0.7)
        return guarded((kind, content, how < 0.7))

    return attack


def _drift(classifier: Classifier, images: list[Image.Image]) -> str:
    """Return what the model says of the drift of the images, as a report has it."""
    if why_not(classifier) is not None:
        return ""
    sides = [bundle.preprocessing.size for bundle in classifier.ensemble.members]
    pixels = [np.stack([np.asarray(image.resize((side, side))) for image in images]) for side in sides]
    observed = Observed(classifier)
    observed.add(pixels[0], *classifier.seen(pixels))
    return json.dumps(drift_of(observed).to_dict(), allow_nan=False)


def _rewritten(content: bytes, rng: random.Random, *, seal: bool) -> bytes:
    """Return a bundle with another value at one place of its description, or another tensor."""
    described, tensors = _parts(content)
    newer = KEY in described and rng.random() < 0.7  # aimed at the part that says how sure it is
    if rng.random() < (0.6 if newer else 0.3):
        part = rng.choice((KEY, f"{KEY}.sketch")) if f"{KEY}.sketch.basis" in tensors else KEY
        _alter_tensor(tensors, rng, [name for name in tensors if name.startswith(part)] if newer else list(tensors))
    else:
        places = _places(described)
        at = rng.choice([place for place in places if place[0] == KEY] if newer else places)
        described = _with_value(described, at, rng.choice(VALUES), gone=rng.random() < 0.2)
    if seal:
        return file_content(tensors, described)
    written: bytes = save(tensors, metadata={ENTRY: json.dumps(described)})
    return written


def _parts(content: bytes) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(content)
        file.flush()
        with safe_open(file.name, framework="pt") as opened:
            described = json.loads(opened.metadata()[ENTRY])
            return described, {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118


def _alter_tensor(tensors: dict[str, torch.Tensor], rng: random.Random, names: list[str]) -> None:
    name = rng.choice(sorted(names))
    tensor = tensors[name]
    how = rng.choice(("gone", "zeros", "nan", "type", "shape", "name", "large", "negative", "other", "deeper", "empty"))
    if how == "gone" or tensor.numel() == 0:
        del tensors[name]
    elif how == "zeros":
        tensors[name] = torch.zeros_like(tensor)
    elif how == "nan":
        tensors[name] = torch.full(tensor.shape, float("nan"))
    elif how == "large":
        tensors[name] = (tensor.double() * rng.choice((1e3, 1e30, 1e300))).clamp(-1e308, 1e308).to(tensor.dtype)
    elif how == "negative":
        tensors[name] = -tensor if tensor.dtype != torch.bool else ~tensor
    elif how == "other":
        tensors[name] = tensors[rng.choice(sorted(names))].clone()
    elif how == "deeper":
        tensors[name] = tensor[..., None].clone()
    elif how == "empty":
        tensors[name] = tensor.new_zeros((0, *tensor.shape[1:]))
    elif how == "type":
        tensors[name] = tensor.to(rng.choice((torch.float64, torch.float16, torch.int32, torch.bool)))
    elif how == "shape":
        tensors[name] = tensor.reshape(-1)[: max(1, tensor.numel() // 2)].clone()
    else:
        tensors[name + "x"] = tensors.pop(name)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [at] if at else []
    return [*found, *(place for key, each in inner for place in _places(each, (*at, key)))]


def _with_value(described: Any, at: tuple[Any, ...], value: Any, *, gone: bool) -> Any:
    changed = copy.deepcopy(described)
    inner = changed
    for key in at[:-1]:
        inner = inner[key]
    if gone:
        del inner[at[-1]]
    else:
        inner[at[-1]] = value
    return changed
