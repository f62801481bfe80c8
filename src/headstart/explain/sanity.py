"""Checks that a map depends on the learned weights: model randomisation (Adebayo et al. 2018)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headstart.errors import SpecError
from headstart.evaluate.correlation import rank_correlation
from headstart.explain.explainers import explain
from headstart.models.network import Network

_MOST_PAIRS = 200  # of images, whose maps are compared with one another


def randomisation_check(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
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

    Maps of unrelated images are not uncorrelated either: many lean to the middle. So the maps of the network as it
    is are also compared between different images, and a map counts as changed when its correlation fell at least
    half the way from 1 to theirs. Of signed maps both the values and their sizes must change: with random signs the
    same edges have no correlation.

    Args:
        maps: of the network as it is, where they exist already.
        mode: "whole": all weights at once; "cascade": the head, then the last stage with it, and so on
            down to the first (a plain module has no stages and is shuffled whole).
        options: of the method.

    Returns:
        A dict that JSON can hold: "levels" (the names shuffled, one after another), "correlation" (the mean over
        images of Spearman's ρ at each level, 0 where a map became constant), "per_image" [levels][n],
        "different_images" (the mean ρ between the original maps of two different images; None with one image),
        "size_correlation" and "different_images_size" (the same of the absolute values; None for maps that have no
        negative values), "changed".

    Raises:
        SpecError: unknown method, mode or option.
        DataError, ModelError: as explain.
    """
    if mode not in ("whole", "cascade"):
        raise SpecError(f"unknown mode {mode!r} of the randomisation check (known: cascade, whole)")
    original = explain(network, images, targets, method, seed=seed, **options) if maps is None else maps
    shuffled = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    levels, again = [], []
    for level, parts in _levels(shuffled, mode):
        for part in parts:
            shuffle_weights(part, generator)
        levels.append(level)
        again.append(explain(shuffled, images, targets, method, seed=seed, **options))
    return {"levels": levels, **_compared(original, again)}


def _compared(original: Float[np.ndarray, "n h w"], again: list[np.ndarray]) -> dict[str, Any]:
    """Return what the check found, from the maps before and after each level."""
    per_image = [_correlations(original, found) for found in again]
    means = [float(np.mean(values)) for values in per_image]
    reference = between_images(original)
    found = {
        "correlation": means,
        "per_image": per_image,
        "different_images": reference,
        "size_correlation": None,
        "different_images_size": None,
        "changed": _changed(means[-1], reference),
    }
    if (original < 0).any():
        sizes = np.abs(original)
        size_means = [float(np.mean(_correlations(sizes, np.abs(one)))) for one in again]
        size_reference = between_images(sizes)
        found["size_correlation"], found["different_images_size"] = size_means, size_reference
        found["changed"] = found["changed"] and _changed(size_means[-1], size_reference)
    return found


def between_images(maps: Float[np.ndarray, "n h w"]) -> float | None:
    """Return the mean rank correlation between the maps of two different images; None where there is one image."""
    pairs = list(combinations(range(len(maps)), 2))
    if len(pairs) > _MOST_PAIRS:
        chosen = np.random.default_rng(0).choice(len(pairs), _MOST_PAIRS, replace=False)
        pairs = [pairs[int(i)] for i in chosen]
    return float(np.mean([rank_correlation(maps[i], maps[j]) for i, j in pairs])) if pairs else None


def _correlations(maps: np.ndarray, others: np.ndarray) -> list[float]:
    return [rank_correlation(a, b) for a, b in zip(maps, others, strict=True)]


def _changed(correlation: float, reference: float | None) -> bool:
    """Return whether a correlation fell at least half the way from 1 to that of different images (or to 0)."""
    return correlation < (1 + max(reference or 0.0, 0.0)) / 2


def shuffle_weights(module: nn.Module, generator: torch.Generator) -> None:
    """Permute the entries of each of a module's parameters in place."""
    with torch.no_grad():
        for parameter in module.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))


def _levels(network: nn.Module, mode: str) -> Iterator[tuple[str, list[nn.Module]]]:
    """Yield (name, modules to shuffle next): from the head down; stages without weights are skipped."""
    if mode == "whole" or not isinstance(network, Network):
        yield "whole", [network]
        return
    yield "head", [network.head]
    for name, stage in reversed(list(network.backbone.stages.named_children())):
        if any(True for _ in stage.parameters()):
            yield name, [stage]
