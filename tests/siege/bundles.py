"""Altered bundles: refused, or the same predictions; and bundles that are sealed well but say anything."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save

from headstart.deploy.classifier import Classifier
from headstart.models.bundle import Bundle, Ensemble, Origin, bundle_bytes, ensemble_bytes
from headstart.models.bundle_file import ENTRY, file_content
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead, NearestNeighbourHead, select_classes
from headstart.models.network import Network
from tests.siege.guarded import Guarded
from tests.siege.images import picture
from tests.siege.mutators import damaged
from tests.siege.siege import Attack, Broken

CLASSES = ("cat", "dog", "cow")
VALUES: tuple[Any, ...] = (None, True, 0, -1, 2, 10**12, 0.5, float("nan"), float("inf"), "", "x", "linear", [], {})
VALUES += (["cat", "dog"], ["dog", "cat", "cow"], [1, 2, 3], {"kind": "linear"}, "imagenet", "/etc/passwd", "flip")


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
    }


def prepare(scratch: Path) -> Attack:
    """Return the attack on the readers of bundles."""
    torch.set_num_threads(1)
    path = scratch / "model.safetensors"
    sound = models()
    image = picture(0)

    def said(content: bytes) -> list[float]:
        path.write_bytes(content)
        (found,) = Classifier.load(path).predict(image)
        return [float(each) for each in found.probabilities]

    expected = {kind: said(content) for kind, content in sound.items()}

    def work(given: tuple[str, bytes, bool]) -> str:
        kind, content, sealed = given
        found = said(content)
        if sealed:
            return "sealed anew: read"
        if found != expected[kind]:
            raise Broken(f"a silently different prediction: {found}, not {expected[kind]}")
        return "the same prediction"

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


def _rewritten(content: bytes, rng: random.Random, *, seal: bool) -> bytes:
    """Return a bundle with another value at one place of its description, or another tensor."""
    described, tensors = _parts(content)
    if rng.random() < 0.3:
        _alter_tensor(tensors, rng)
    else:
        at = rng.choice(_places(described))
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


def _alter_tensor(tensors: dict[str, torch.Tensor], rng: random.Random) -> None:
    name = rng.choice(sorted(tensors))
    tensor = tensors[name]
    how = rng.choice(("gone", "zeros", "nan", "type", "shape", "name"))
    if how == "gone" or tensor.numel() == 0:
        del tensors[name]
    elif how == "zeros":
        tensors[name] = torch.zeros_like(tensor)
    elif how == "nan":
        tensors[name] = torch.full(tensor.shape, float("nan"))
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
