"""How each phase of a training gets its inputs, decided before anything is computed."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from headstart.models.backbone import INPUT, Backbone
from headstart.storage.opening import default_store
from headstart.storage.store import Store
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.strategy import Phase, Resolved, Strategy, resolve


@dataclass(frozen=True)
class Route:
    """How the inputs of one phase are made.

    Args:
        phase: the phase.
        mode: "pixels" (nothing is frozen in front), "stored", "views" or "on the fly".
        reason: why, for people.
        stores_validation: "on the fly" for training; validation images are never augmented and are stored.
    """

    phase: Phase
    mode: str
    reason: str
    stores_validation: bool = False


def plan_routes(resolved: Resolved, recipe: Recipe, available: float, bytes_at: dict[str, int]) -> list[Route]:
    """Return how each phase gets its inputs.

    Args:
        resolved: the strategy on its network.
        recipe: epochs and augmentation.
        available: bytes that stored activations may take.
        bytes_at: for each phase's cut, bytes of all activations there (one view).
    """
    starts = [phase.start for phase in resolved.phases[1:]] + [recipe.epochs]
    return [
        _route(resolved, recipe, phase, end - phase.start, available, bytes_at.get(phase.cut, 0))
        for phase, end in zip(resolved.phases, starts, strict=True)
    ]


def _route(resolved: Resolved, recipe: Recipe, phase: Phase, epochs: int, available: float, size: int) -> Route:
    views = resolved.strategy.views
    if phase.cut == INPUT:
        return Route(phase, "pixels", "nothing in front of the learned part is frozen")
    until = f"the network up to {phase.cut!r} is frozen"
    copies = views if recipe.pixel_augment else 1
    again = epochs > 1 and size <= available

    def on_the_fly(why: str) -> Route:
        return Route(phase, "on the fly", f"{until}, but {why}", again)

    if recipe.mixes:
        return on_the_fly(f"{' and '.join(recipe.mixes)} blends the pixels of changing pairs")
    if recipe.pixel_augment and views == 0:
        return on_the_fly(f"{', '.join(recipe.pixel_augment)} changes the pixels in every epoch (views: 0)")
    if epochs <= copies and phase.cut != resolved.units[-1].name:
        return on_the_fly(f"for {epochs} epoch{'s' * (epochs > 1)} only: storing would save nothing")
    if copies * size > available:
        return on_the_fly(f"its activations take {copies * size / 1e9:.1f} GB of {available / 1e9:.1f} GB available")
    if recipe.pixel_augment:
        return Route(phase, "views", f"{until}; {views} augmented views of each image are stored and taken in turn")
    return Route(phase, "stored", f"{until} and no augmentation changes the pixels: computed once and stored")


def activation_bytes(resolved: Resolved, count: int) -> dict[str, int]:
    """Return the bytes that `count` float32 activations take at each phase's cut."""
    wanted = {phase.cut for phase in resolved.phases} - {INPUT}
    sizes: dict[str, int] = {}
    backbone, side = resolved.backbone, resolved.backbone.preprocessing.size
    modes = [module.training for module in backbone.modules()]
    backbone.eval()
    with torch.no_grad():
        device = next((p.device for p in backbone.parameters()), torch.device("cpu"))
        values = torch.zeros(1, backbone.preprocessing.channels, side, side, device=device)
        for unit in resolved.units:
            values = unit.module(values)
            if unit.name in wanted:
                sizes[unit.name] = 4 * count * math.prod(values.shape[1:])
    for module, mode in zip(backbone.modules(), modes, strict=True):
        module.training = mode
    return sizes


def free_bytes(store: Store | None = None) -> float:
    """Return half of the free space where activations would be stored."""
    place = (store or default_store()).root
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(Path(place)).free / 2


def describe_plan(strategy: Strategy, recipe: Recipe, backbone: Backbone, images: int) -> str:
    """Return one line for each phase: what is learned, and whether the frozen prefix is stored and why."""
    resolved = resolve(strategy, backbone, recipe.epochs)
    routes = plan_routes(resolved, recipe, free_bytes(), activation_bytes(resolved, images))
    lines = []
    for route in routes:
        names = ", ".join(name for name in route.phase.trainable if name in {g.name for g in resolved.groups})
        what = f"additions to {names} and the head" if resolved.additions else (names + ", head" if names else "head")
        lines.append(f"from epoch {route.phase.start + 1}: learns {what}; {route.mode}: {route.reason}")
    return "\n".join(lines)
