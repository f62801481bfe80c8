"""Occlusion: the loss when a window is covered (Zeiler & Fergus 2014), and the gain when only it is visible."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headstart.errors import SpecError
from headstart.explain.scope import device_of, log_odds
from headstart.progress import progress
from headstart.transfer.finetune.malloc import large_blocks_kept


def occlusion(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    targets: Int[Tensor, " n"],
    *,
    seed: int = 0,
    window: float = 0.25,
    stride: float = 0.09,
    batch: int = 32,
) -> Float[np.ndarray, "n h w"]:
    """Return captum's occlusion, both ways: the log odds of the target that depend on each window.

    The mean of what a window of the mean colour takes from the image, and what the same window of the image adds to
    nothing but the mean colour. A network that has other evidence does not need a single window; the second figure
    shows that (Fong and Vedaldi 2017 ask both questions about masks: which part is needed, which is enough). A pixel
    has the mean over the windows that contain it; negative values speak against the target.

    Args:
        window: its side, as a share of the image's shorter side.
        stride: how far it moves, the same.
        batch: covered or uncovered images run at a time.

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

    def shares(image: Tensor, target: Tensor, baseline: Tensor | float) -> Tensor:
        found: Tensor = method.attribute(
            image,
            sliding_window_shapes=(image.shape[1], side, side),
            strides=(image.shape[1], step, step),
            baselines=baseline,
            additional_forward_args=(target,),
            perturbations_per_eval=batch,
        )
        return found[0, 0]

    with progress("occlusion", len(images)) as ticker, torch.no_grad(), large_blocks_kept():
        for image, target in zip(images, targets, strict=True):
            whole, aim = image[None].to(device), target[None].to(device)
            lost = shares(whole, aim, 0.0)
            gained = -shares(torch.zeros_like(whole), aim, whole)
            maps.append((lost + gained) / 2)
            ticker.advance()
    return torch.stack(maps).float().cpu().numpy()
