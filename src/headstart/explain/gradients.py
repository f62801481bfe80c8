"""Integrated gradients: how much does each pixel add on the way from an empty image (Sundararajan et al. 2017)?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headstart.explain.scope import device_of, log_odds
from headstart.progress import progress


def integrated_gradients(
    network: nn.Module,
    images: Float[Tensor, "n 3 h w"],
    targets: Int[Tensor, " n"],
    *,
    seed: int = 0,
    steps: int = 32,
    batch: int = 16,
    signed: bool = True,
    smooth: float = 0.01,
) -> Float[np.ndarray, "n h w"]:
    """Return captum's integrated gradients of the target's log odds from the mean colour, summed over channels.

    Args:
        steps: points on the way (Gauss–Legendre).
        batch: points run at a time.
        signed: keep the sign of what a pixel adds (maps then sum to the change of the log odds); else its size.
        smooth: deviation of the Gaussian that maps are blurred with, as a share of the image's side; 0: none.
    """
    from captum.attr import IntegratedGradients

    device = device_of(network)
    method = IntegratedGradients(lambda points, aims: log_odds(network, network(points), aims))
    maps = []
    with progress("integrated gradients", len(images)) as ticker, torch.enable_grad():
        for image, target in zip(images, targets, strict=True):
            given = image[None].detach().to(device)
            found = method.attribute(
                given,
                baselines=torch.zeros_like(given),
                additional_forward_args=(target[None].to(device),),
                n_steps=steps,
                internal_batch_size=batch,
            )
            summed = found.detach().sum(1, keepdim=True)
            side = smooth * min(image.shape[1:])
            maps.append(blurred(summed if signed else summed.abs(), side)[0, 0])
            ticker.advance()
    return torch.stack(maps).float().cpu().numpy()


def blurred(images: Float[Tensor, "n c h w"], sigma: float) -> Float[Tensor, "n c h w"]:
    """Return images blurred with a Gaussian of `sigma` pixels, edges repeated; 0 leaves them."""
    if sigma <= 0:
        return images
    radius = max(1, round(3 * sigma))
    x = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    n, c, h, w = images.shape
    flat = images.reshape(n * c, 1, h, w)
    padded = nn.functional.pad(flat, (radius, radius, radius, radius), mode="replicate")
    rows = nn.functional.conv2d(padded, kernel[..., None, :])
    return nn.functional.conv2d(rows, kernel[..., None]).view(n, c, h, w)
