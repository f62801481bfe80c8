"""Does a map depend on what was learned? The model-randomisation check of Adebayo et al. 2018."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headstart.errors import SpecError
from headstart.explain.explainers import explain
from headstart.models.network import Network

_CHANGED = 0.5  # mean rank correlation with the original maps, below which they count as changed


def randomisation_check(
    network: nn.Module,
    images: Float[Tensor, "n 3 h w"],
    targets: Int[Tensor, " m"],
    method: str,
    *,
    maps: Float[np.ndarray, "n h w"] | None = None,
    mode: str = "whole",
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Explain again with learned weights shuffled, and compare the maps by rank correlation.

    A map that stays as it was shows the image's edges or the network's wiring, not what was learned.
    Weights are shuffled inside each tensor, which keeps their scale, in a copy of the network.

    Args:
        maps: of the network as it is, if they are at hand.
        mode: "whole": all weights at once; "cascade": the head, then the last stage with it, and so on
            down to the first (a plain module has no stages and is shuffled whole).
        options: of the method.

    Returns:
        A dict that JSON can hold: "levels" (the names shuffled, one after another), "correlation" (the mean over
        images of Spearman's ρ at each level, 0 where a map became constant), "per_image" [levels][n],
        "changed" (the last mean is below 0.5).

    Raises:
        SpecError: unknown method, mode or option.
        DataError, ModelError: as explain.
    """
    if mode not in ("whole", "cascade"):
        raise SpecError(f"unknown mode {mode!r} of the randomisation check (known: cascade, whole)")
    original = explain(network, images, targets, method, seed=seed, **options) if maps is None else maps
    shuffled = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    levels, per_image = [], []
    for level, parts in _levels(shuffled, mode):
        for part in parts:
            shuffle_weights(part, generator)
        again = explain(shuffled, images, targets, method, seed=seed, **options)
        levels.append(level)
        per_image.append([rank_correlation(a, b) for a, b in zip(original, again, strict=True)])
    means = [float(np.mean(values)) for values in per_image]
    return {
        "levels": levels,
        "correlation": means,
        "per_image": per_image,
        "changed": means[-1] < _CHANGED,
    }


def shuffle_weights(module: nn.Module, generator: torch.Generator) -> None:
    """Permute the entries of each of a module's parameters in place."""
    with torch.no_grad():
        for parameter in module.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))


def rank_correlation(a: Float[np.ndarray, "h w"], b: Float[np.ndarray, "h w"]) -> float:
    """Return Spearman's ρ of two maps, pixel by pixel; 0 where one is constant."""
    from scipy.stats import spearmanr

    if np.ptp(a) == 0 or np.ptp(b) == 0 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return 0.0
    return float(spearmanr(a.ravel(), b.ravel()).statistic)


def _levels(network: nn.Module, mode: str) -> Iterator[tuple[str, list[nn.Module]]]:
    """Yield (name, modules to shuffle next): from the head down, stages without weights passed over."""
    if mode == "whole" or not isinstance(network, Network):
        yield "whole", [network]
        return
    yield "head", [network.head]
    for name, stage in reversed(list(network.backbone.stages.named_children())):
        if any(True for _ in stage.parameters()):
            yield name, [stage]
