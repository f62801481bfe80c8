"""Occlusion: how much does the prediction lose when a window is covered (Zeiler & Fergus 2014)?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headstart.errors import SpecError
from headstart.explain.scope import device_of, log_odds
from headstart.progress import progress
from headstart.transfer.memory import large_blocks_kept


def occlusion(
    network: nn.Module,
    images: Float[Tensor, "n 3 h w"],
    targets: Int[Tensor, " n"],
    *,
    seed: int = 0,
    window: float = 0.25,
    stride: float = 0.09,
    batch: int = 32,
) -> Float[np.ndarray, "n h w"]:
    """Return captum's occlusion: the log odds of the target lost to a window of the mean colour.

    A pixel has the mean over the windows that cover it; below zero, the prediction gains by covering it.

    Args:
        window: its side, as a share of the image's shorter side.
        stride: how far it moves, the same.
        batch: covered images run at a time.

    Raises:
        SpecError: a window or stride that leaves parts uncovered.
    """
    from captum.attr import Occlusion

    if not 0 < stride <= window <= 1:
        raise SpecError(f"occlusion: window {window} and stride {stride} must be shares, 0 < stride <= window <= 1")
    shorter = min(images.shape[2:])
    side, step = max(1, round(window * shorter)), max(1, round(stride * shorter))
    device = device_of(network)
    method = Occlusion(lambda covered, aims: log_odds(network, network(covered), aims))
    maps = []
    with progress("occlusion", len(images)) as ticker, torch.no_grad(), large_blocks_kept():
        for image, target in zip(images, targets, strict=True):
            found = method.attribute(
                image[None].to(device),
                sliding_window_shapes=(3, side, side),
                strides=(3, step, step),
                baselines=0.0,
                additional_forward_args=(target[None].to(device),),
                perturbations_per_eval=batch,
            )
            maps.append(found[0, 0])
            ticker.advance()
    return torch.stack(maps).float().cpu().numpy()
