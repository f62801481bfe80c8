"""Integrated gradients: what each pixel adds from the mean colour to the image (Sundararajan et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headstart.errors import SpecError
from headstart.explain.scope import check_gradients, device_of, log_odds
from headstart.progress import progress, say
from headstart.units import percent

_LEAST_CHANGE = 0.1  # of log odds: a share of next to nothing says nothing


def integrated_gradients(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    targets: Int[Tensor, " n"],
    *,
    seed: int = 0,
    steps: int = 32,
    most_steps: int = 512,
    error: float = 0.05,
    batch: int = 16,
    signed: bool = True,
    smooth: float = 0.01,
) -> Float[np.ndarray, "n h w"]:
    """Return captum's integrated gradients of the target's log odds from the mean colour, summed over channels.

    A complete map sums to the change of the log odds from the mean colour to the image. Where the sum misses it by
    more than `error`, steps are doubled. Says on standard error when an image reached `most_steps`.

    Args:
        steps: points on the way (Gauss–Legendre) to begin with.
        most_steps: the limit to the number of points.
        error: completeness error that is allowed, as a share of the change of the log odds.
        batch: points run at a time.
        signed: keep the sign of what a pixel adds (maps then sum to the change of the log odds); else its size.
        smooth: deviation of the Gaussian that maps are blurred with, as a share of the image's side; 0: none.

    Raises:
        SpecError: fewer than one step, or a limit below them.
        ModelError: the network's head has no gradients.
    """
    from captum.attr import IntegratedGradients

    if steps < 1 or most_steps < steps:
        raise SpecError(
            f"integrated gradients: steps {steps}, most_steps {most_steps}: give 1 step or more, and no lower limit"
        )
    check_gradients(network, "integrated_gradients")
    device = device_of(network)
    method = IntegratedGradients(lambda points, aims: log_odds(network, network(points), aims))
    maps, missed = [], []
    with progress("integrated gradients", len(images)) as ticker, torch.enable_grad():
        for image, target in zip(images, targets, strict=True):
            count = steps
            found, miss = _attribute(method, image.to(device), target.to(device), count, batch)
            while miss > error and count < most_steps:
                count = min(2 * count, most_steps)
                found, miss = _attribute(method, image.to(device), target.to(device), count, batch)
            missed.append(miss)
            side = smooth * min(image.shape[1:])
            maps.append(blurred(found if signed else found.abs(), side)[0, 0])
            ticker.advance(1, f"{count} steps")
    _say_error(missed, error, most_steps)
    return torch.stack(maps).float().cpu().numpy()


def _attribute(
    method: Any, image: Float[Tensor, "c h w"], target: Int[Tensor, ""], steps: int, batch: int
) -> tuple[Float[Tensor, "1 1 h w"], float]:
    """Return a map, summed over channels, and its completeness error as a share of the change of the log odds."""
    given = image[None].detach()
    found, delta = method.attribute(
        given,
        baselines=torch.zeros_like(given),
        additional_forward_args=(target[None],),
        n_steps=steps,
        internal_batch_size=batch,
        return_convergence_delta=True,
    )
    summed: Tensor = found.detach().sum(1, keepdim=True)
    change = float(summed.sum()) - float(delta[0])
    return summed, abs(float(delta[0])) / max(abs(change), _LEAST_CHANGE)


def _say_error(missed: Sequence[float], error: float, most_steps: int) -> None:
    if over := [miss for miss in missed if miss > error]:
        say(
            f"integrated gradients: {len(over)} of {len(missed)} images reached the limit of {most_steps} steps; their"
            f" maps miss the change of the log odds by up to {percent(max(over), 0)} ({100 * error:g} % is allowed)."
            " Raise most_steps"
        )


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
