"""A strategy says where a network is cut and what is learned; resolving it names every stage's part."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from headstart.errors import ModelError, SpecError, first_line, lacks_memory, unknown_name
from headstart.models.backbone import INPUT, Backbone

KINDS = ("scratch", "linear_probe", "fine_tune", "gradual", "lora", "norm_only", "lp_ft")
HEAD = "head"


@dataclass(frozen=True)
class Strategy:
    """What is kept from the source and what is learned on the target.

    Args:
        kind: one of KINDS.
        freeze_until: the last stage of the frozen prefix; None or "input" freezes nothing.
        train_only: exactly these stages are learned (with the new head); the others stay as they are.
        truncate_at: the network ends after this stage.
        layer_decay: each stage learns at this factor times the rate of the stage after it (Clark et al.
            2020, ELECTRA; Bao et al. 2022, BEiT); 1 is one rate for all.
        lora_rank, lora_alpha: size and scale of the low-rank additions (Hu et al. 2022).
        thaw_every: `gradual`: one more stage is learned each time so many epochs have passed.
        probe_epochs: `lp_ft`: epochs in which only the head is learned; None takes a quarter of all,
            and 0 is right where the head that comes in has been fitted already (in a study it has).
        views: how many augmented views of each image are stored in front of a frozen prefix;
            0 runs the prefix in every epoch, on pixels that are augmented afresh.
    """

    kind: str = "fine_tune"
    freeze_until: str | None = None
    train_only: tuple[str, ...] | None = None
    truncate_at: str | None = None
    layer_decay: float = 1.0
    lora_rank: int = 8
    lora_alpha: float = 16.0
    thaw_every: int = 1
    probe_epochs: int | None = None
    views: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SpecError(unknown_name("strategy", self.kind, KINDS))
        object.__setattr__(self, "layer_decay", float(self.layer_decay))
        object.__setattr__(self, "lora_alpha", float(self.lora_alpha))
        if self.train_only is not None:
            object.__setattr__(self, "train_only", tuple(self.train_only))
        _check(self)


@dataclass(frozen=True)
class Unit:
    """A stage, or one of the two parts of a stage that is cut inside; `name` is the cut point at its end."""

    name: str
    module: nn.Module
    parameters: tuple[nn.Parameter, ...]


@dataclass(frozen=True)
class Phase:
    """From epoch `start` (counted from 0) on these stages are learned; `cut` is where the frozen prefix ends."""

    start: int
    trainable: tuple[str, ...]
    cut: str


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate multiplier."""

    name: str
    parameters: tuple[nn.Parameter, ...]
    multiplier: float


@dataclass(frozen=True)
class Resolved:
    """A strategy applied to a backbone.

    Args:
        strategy: the strategy.
        backbone: the network, cut short if the strategy says so.
        units: the network's stages in order, the one that is cut inside in two parts.
        cut: the end of the prefix that stays frozen in every epoch, or "input".
        trainable: stages of which something is learned, in order.
        frozen: the other stages, in order.
        groups: what is learned in the stages, with learning rate multipliers; the head is not among them.
        phases: which stages are learned when; one phase except for `gradual` and `lp_ft`.
        additions: nothing of the stages' own is learned, only what is added to them (`lora`).
    """

    strategy: Strategy
    backbone: Backbone
    units: tuple[Unit, ...]
    cut: str
    trainable: tuple[str, ...]
    frozen: tuple[str, ...]
    groups: tuple[Group, ...]
    phases: tuple[Phase, ...]
    additions: bool = False


def resolve(strategy: Strategy, backbone: Backbone, epochs: int = 1) -> Resolved:
    """Return what each stage of the backbone does under this strategy.

    The backbone is not changed, except by `truncate_at`, which copies the stages that are kept.

    Args:
        strategy: the strategy.
        backbone: the network.
        epochs: how long the training lasts; it decides the phases of `gradual` and `lp_ft`.

    Raises:
        ModelError: a stage that the network lacks, or a cut that leaves nothing to learn.
    """
    if strategy.truncate_at is not None:
        backbone = truncated(backbone, strategy.truncate_at)
    units = _units(backbone, strategy.freeze_until)
    trainable = _trainable(strategy, backbone, units)
    cut = _cut_before(units, trainable)
    return Resolved(
        strategy=strategy,
        backbone=backbone,
        units=units,
        cut=cut,
        trainable=trainable,
        frozen=tuple(unit.name for unit in units if unit.name not in trainable),
        groups=_groups(strategy, trainable, units),
        phases=_phases(strategy, units, Phase(0, trainable, cut), epochs),
        additions=strategy.kind == "lora",
    )


def truncated(backbone: Backbone, point: str) -> Backbone:
    """Return a copy of the backbone that ends after `point`.

    Raises:
        ModelError: no such stage, or the shorter network cannot take images of this size.
    """
    try:
        return backbone.truncate(point)
    except RuntimeError as error:
        size = backbone.preprocessing.size
        raise ModelError(
            f"{backbone.name} cut short at {point!r} cannot take {size} px images ({first_line(error).rstrip('.')});"
            " choose an earlier stage or a larger input_size"
        ) from error


def check_size(backbone: Backbone, size: int) -> None:
    """Run one empty image through the network.

    Raises:
        ModelError: images of `size` × `size` px do not fit; the message names the stage that fails.
    """
    modes = [module.training for module in backbone.modules()]
    backbone.eval()
    try:
        device = next((p.device for p in backbone.parameters()), torch.device("cpu"))
        with torch.no_grad():
            images = torch.zeros(1, backbone.preprocessing.channels, size, size, device=device)
            for stage, module in backbone.stages.named_children():
                try:
                    images = module(images)
                except (RuntimeError, ValueError, AssertionError) as error:
                    if lacks_memory(error):  # which says nothing about the network
                        raise
                    raise ModelError(
                        f"{backbone.name} cannot take {size} × {size} px images: stage {stage!r} fails"
                        f" ({first_line(error).rstrip('.')}); choose a larger input_size or truncate_at an earlier"
                        " stage"
                    ) from error
    finally:
        for module, mode in zip(backbone.modules(), modes, strict=True):
            module.training = mode


def _check(strategy: Strategy) -> None:
    kind = strategy.kind
    if strategy.freeze_until is not None and strategy.train_only is not None:
        raise SpecError("freeze_until and train_only exclude each other: train_only names all that is learned")
    if kind == "scratch" and strategy.freeze_until not in (None, INPUT):
        raise SpecError("strategy 'scratch' starts from random weights: freezing them makes no sense; use fine_tune")
    if kind == "linear_probe" and (strategy.freeze_until is not None or strategy.train_only is not None):
        raise SpecError("strategy 'linear_probe' freezes every stage; drop freeze_until and train_only")
    if kind in ("gradual", "lora", "norm_only") and strategy.train_only is not None:
        raise SpecError(f"strategy {kind!r} takes freeze_until, not train_only")
    if strategy.train_only is not None and not [name for name in strategy.train_only if name != HEAD]:
        raise SpecError("train_only names no stage; use strategy linear_probe to learn only the head")
    if not 0 < strategy.layer_decay <= 1:
        raise SpecError(f"layer_decay must be over 0 and at most 1, not {strategy.layer_decay}")
    if strategy.lora_rank < 1 or strategy.lora_alpha <= 0:
        raise SpecError("lora_rank must be at least 1 and lora_alpha over 0")
    if strategy.thaw_every < 1:
        raise SpecError(f"thaw_every must be at least 1 epoch, not {strategy.thaw_every}")
    if strategy.views < 0 or (strategy.probe_epochs or 0) < 0:
        raise SpecError("views and probe_epochs cannot be negative")


def _units(backbone: Backbone, freeze_until: str | None) -> tuple[Unit, ...]:
    """Return the stages as units; a stage in which the cut falls becomes two."""
    pieces: list[tuple[str, nn.Module]] = list(backbone.stages.named_children())
    if freeze_until is not None and "." in freeze_until:
        whole, inside = backbone.position(freeze_until)
        if inside:
            name, stage = pieces[whole]
            assert isinstance(stage, nn.Sequential)
            pieces[whole : whole + 1] = [(freeze_until, stage[:inside]), (name, stage[inside:])]
    seen: set[int] = set()
    units = []
    for name, module in pieces:
        fresh = tuple(p for p in module.parameters() if id(p) not in seen)
        seen.update(id(p) for p in fresh)
        units.append(Unit(name, module, fresh))
    return tuple(units)


def _trainable(strategy: Strategy, backbone: Backbone, units: tuple[Unit, ...]) -> tuple[str, ...]:
    if strategy.kind == "linear_probe":
        return ()
    names = [unit.name for unit in units]
    if strategy.train_only is not None:
        wanted = {name for name in strategy.train_only if name != HEAD}
        for name in wanted:
            if backbone.index(name) < 0:
                raise ModelError(f"train_only: 'input' is not a stage of {backbone.name} that can be learned")
        return tuple(name for name in names if name in wanted)
    whole, inside = backbone.position(strategy.freeze_until or INPUT)
    rest = units[whole + (inside > 0) :]
    if strategy.freeze_until not in (None, INPUT) and not any(unit.parameters for unit in rest):
        weighty = [unit.name for unit in units if unit.parameters]
        earlier = weighty[-2] if len(weighty) > 1 else INPUT
        raise ModelError(
            f"freeze_until {strategy.freeze_until!r} leaves no stage of {backbone.name} to learn;"
            f" choose {earlier!r} or an earlier one ({', '.join(names)}), or use strategy linear_probe"
        )
    return tuple(unit.name for unit in rest)


def _cut_before(units: tuple[Unit, ...], trainable: tuple[str, ...]) -> str:
    """Return the end of the longest prefix in which nothing is learned."""
    cut = INPUT
    for unit in units:
        if unit.name in trainable and unit.parameters:
            return cut
        cut = unit.name
    return cut


def _groups(strategy: Strategy, trainable: tuple[str, ...], units: tuple[Unit, ...]) -> tuple[Group, ...]:
    """Return what is learned in the stages; the multiplier falls with each stage between it and the head."""
    weighty = [unit for unit in units if unit.parameters]
    return tuple(
        Group(unit.name, unit.parameters, strategy.layer_decay ** (len(weighty) - position))
        for position, unit in enumerate(weighty)
        if unit.name in trainable
    )


def _phases(strategy: Strategy, units: tuple[Unit, ...], full: Phase, epochs: int) -> tuple[Phase, ...]:
    end = units[-1].name
    if strategy.kind == "lp_ft":
        probe = max(1, epochs // 4) if strategy.probe_epochs is None else strategy.probe_epochs
        probed = (Phase(0, (), end), replace(full, start=probe))
        return probed if 0 < probe < epochs else (full,)
    if strategy.kind != "gradual":
        return (full,)
    weighty = [unit.name for unit in units if unit.parameters and unit.name in full.trainable]
    names = [unit.name for unit in units]
    phases = [Phase(0, (), end)]
    for count in range(1, len(weighty) + 1):
        stages = tuple(names[names.index(weighty[-count]) :])
        phases.append(Phase(count * strategy.thaw_every, stages, _cut_before(units, stages)))
    return tuple(phase for phase in phases if phase.start < epochs)
