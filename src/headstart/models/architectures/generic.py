"""Any of timm's networks as stages: the chain of its children where that is what it computes, else body and pool."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import ModelError, lacks_memory
from headstart.models.architectures.parts import Apply, Reduce, Staged, part_of, sequence
from headstart.models.architectures.undrawn import need_weights

_REFUSALS = (TypeError, RuntimeError, ValueError, AttributeError, AssertionError, IndexError)


def stage_any(model: Any, size: int) -> Staged:
    """Take any timm classifier apart as far as can be proved by running it.

    Args:
        model: it has `forward_features`, `forward_head(pre_logits=True)` and `get_classifier`.
        size: side of an image it can take, in pixels.

    Raises:
        ModelError: it cannot take images of this size.
    """
    need_weights()
    classifier = model.get_classifier()
    take_out(model, classifier)
    body, head = _children_called(model, size)
    stages = _chain(model, body, size)
    if stages is None:
        inside = set(model._modules) - (set(head) - set(body))
        stages = OrderedDict(body=Apply(part_of(model, inside, own=True), _forward_features))
    end = Apply(part_of(model, head), forward_pre_logits)
    stages["pool"] = sequence(("head", end), ("reduce", Reduce()))
    return Staged(stages, classifier if isinstance(classifier, nn.Linear) else None)


def take_out(model: nn.Module, classifier: object) -> None:
    """Put a module that does nothing in the place of the classifier."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if child is classifier:
                parent._modules[name] = nn.Identity()


def _forward_features(part: Any, images: Tensor) -> Tensor:
    activations: Tensor = part.forward_features(images)
    return activations


def forward_pre_logits(part: Any, activations: Tensor) -> Tensor:
    """Return what the head makes of activations, without the classifier."""
    features: Tensor = part.forward_head(activations, pre_logits=True)
    return features


def _children_called(model: Any, size: int) -> tuple[list[str], list[str]]:
    """Return which children `forward_features` and `forward_head` call, each in the order of first calls."""
    called: list[str] = []
    owner = {inner: name for name, child in model.named_children() for inner in child.modules()}

    def note(module: nn.Module, _: object) -> None:
        if owner[module] not in called:
            called.append(owner[module])

    handles = [module.register_forward_pre_hook(note) for module in owner]
    training = model.training
    try:
        model.eval()
        with torch.no_grad():
            activations = model.forward_features(torch.zeros(1, 3, size, size))
            body = list(called)
            called.clear()
            model.forward_head(activations, pre_logits=True)
    except _REFUSALS as error:
        if lacks_memory(error):  # which says nothing about the network
            raise
        raise ModelError(f"{type(model).__name__} cannot take images of {size} × {size} px ({error})") from error
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return body, list(called)


def _chain(model: nn.Module, names: list[str], size: int) -> OrderedDict[str, nn.Module] | None:
    """Return the children one after another, containers opened, if that computes `forward_features`; else None."""
    if model._parameters or model._buffers:
        return None
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for name in names:
        child = model._modules[name]
        assert child is not None
        if isinstance(child, nn.Sequential | nn.ModuleList) and name in ("blocks", "stages", "layers"):
            single = name.removesuffix("s")
            stages.update({f"{single}{i}": inner for i, inner in enumerate(child, 1)})
        elif not isinstance(child, nn.Identity):
            stages[name] = child
    stages = _keep_inputs(stages, size)
    return stages if _same(nn.Sequential(stages), model, size) else None


def _keep_inputs(stages: OrderedDict[str, nn.Module], size: int) -> OrderedDict[str, nn.Module]:
    """Join each stage that overwrites its input to the one before it, so that what is stored at a cut stays."""
    joined: OrderedDict[str, nn.Module] = OrderedDict()
    activations = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, stage in stages.items():
            before = activations.clone()
            try:
                outputs = copy.deepcopy(stage).eval()(activations)
            except _REFUSALS:
                return stages
            if not isinstance(outputs, Tensor):  # no chain: a stage hands on more than its activations
                return stages
            if joined and not torch.equal(before, activations):
                last, previous = joined.popitem()
                joined[last] = sequence(("first", previous), (name, stage))
            else:
                joined[name] = stage
            activations = outputs
    return joined


def _same(chain: nn.Sequential, model: nn.Module, size: int) -> bool:
    """Return whether both compute the same, with parameters that hide nothing behind zeros."""
    shaken: Any
    chain, shaken = copy.deepcopy((chain, model))
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, 3, size, size, generator=generator)
    with torch.no_grad():
        for parameter in shaken.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
        try:
            return torch.equal(chain.eval()(images), shaken.eval().forward_features(images))
        except _REFUSALS:
            return False
