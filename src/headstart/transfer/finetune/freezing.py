"""What is learned in a network: its parameters by group, which modules train, and proof that the rest did not move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from headstart.errors import RunFailed
from headstart.models.adapt import add_lora, norm_parameters
from headstart.models.freeze import bits_of
from headstart.storage.store import array_digest
from headstart.transfer.augment.counter_rng import number
from headstart.transfer.strategy import Group, Phase, Resolved, Unit

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def prepare(resolved: Resolved, seed: int) -> tuple[Resolved, tuple[Group, ...]]:
    """Return the strategy and what is learned in the stages; for `lora` the additions are put in here."""
    kind = resolved.strategy.kind
    if kind not in ("norm_only", "lora"):
        return resolved, resolved.groups
    units = {unit.name: unit for unit in resolved.units}
    draw = torch.Generator().manual_seed(number(seed, "lora"))
    groups = []
    for group in resolved.groups:
        unit = units[group.name]
        if kind == "lora":
            units[group.name], parameters = _with_additions(resolved, unit, draw)
        else:
            parameters = tuple(norm_parameters(unit.module))
        if parameters:
            groups.append(Group(group.name, parameters, group.multiplier))
    return replace(resolved, units=tuple(units.values())), tuple(groups)


def set_modes(resolved: Resolved, groups: tuple[Group, ...], phase: Phase, *, statistics: str = "batch") -> None:
    """Put what is learned in this phase into training mode and everything else into evaluation mode.

    `lora` trains no stage as such, so its batch norm and dropout stay in evaluation mode; `norm_only` trains
    the norms, whose running statistics follow the target, and nothing else. With `statistics` "frozen" every
    batch norm stays in evaluation mode: its scale and shift may learn, its running statistics are the source's.
    """
    for unit in resolved.units:
        unit.module.train(unit.name in phase.trainable and not resolved.additions)
    if resolved.strategy.kind == "norm_only":
        learned = {id(p) for group in groups for p in group.parameters}
        for module in resolved.backbone.stages.modules():
            own = list(module.parameters(recurse=False))
            module.training = bool(own) and all(id(p) in learned for p in own)
    if statistics == "frozen":
        for module in resolved.backbone.stages.modules():
            if isinstance(module, BATCH_NORMS):
                module.training = False


def kept_digests(resolved: Resolved, groups: tuple[Group, ...], *, statistics: str = "batch") -> dict[str, str]:
    """Return a digest of every parameter and buffer that must not change, by name."""
    return {name: array_digest(bits_of(tensor)) for name, tensor in _kept(resolved, groups, statistics)}


def check_kept(
    resolved: Resolved, groups: tuple[Group, ...], before: dict[str, str], *, statistics: str = "batch"
) -> None:
    """Compare with the digests from before.

    Raises:
        RunFailed: a frozen tensor changed; the message names it.
    """
    after = kept_digests(resolved, groups, statistics=statistics)
    moved = [name for name in before if after.get(name) != before[name]]
    if moved or before.keys() != after.keys():
        shown = ", ".join(moved[:3]) or "the set of frozen tensors"
        raise RunFailed(f"{resolved.backbone.name}: {shown} changed although frozen; this run cannot be trusted")


def _kept(resolved: Resolved, groups: tuple[Group, ...], statistics: str) -> Iterator[tuple[str, Tensor]]:
    stages = resolved.backbone.stages
    learned = {id(p) for group in groups for p in group.parameters}
    for name, parameter in stages.named_parameters():
        if id(parameter) not in learned:
            yield name, parameter
    moving = {
        id(module)
        for module in _moving_modules(resolved, groups, learned)
        if statistics == "batch" or not isinstance(module, BATCH_NORMS)
    }
    for path, module in stages.named_modules():
        if id(module) not in moving:
            for name, buffer in module.named_buffers(recurse=False):
                yield f"{path}.{name}", buffer


def _moving_modules(resolved: Resolved, groups: tuple[Group, ...], learned: set[int]) -> Iterator[nn.Module]:
    if resolved.additions:
        return
    for unit in resolved.units:
        if unit.name in resolved.trainable:
            for module in unit.module.modules():
                own = [id(p) for p in module.parameters(recurse=False)]
                if resolved.strategy.kind != "norm_only" or (own and all(p in learned for p in own)):
                    yield module


def _with_additions(resolved: Resolved, unit: Unit, draw: torch.Generator) -> tuple[Unit, tuple[nn.Parameter, ...]]:
    if not any(isinstance(module, (nn.Linear, nn.Conv2d)) for module in unit.module.modules()):
        return unit, ()
    shell = nn.Sequential(unit.module)  # a stage that is itself one layer is replaced inside its parent
    added = add_lora(shell, resolved.strategy.lora_rank, resolved.strategy.lora_alpha, draw)
    if shell[0] is not unit.module:
        resolved.backbone.stages._modules[unit.name] = shell[0]
    return Unit(unit.name, shell[0], unit.parameters), tuple(added)
