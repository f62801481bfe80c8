"""Baseline++: Chen et al. 2019, A closer look at few-shot classification (1904.04232): a cosine head trained on the
support set; started from the class means as in Qi et al. 2018, Low-shot learning with imprinted weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.fewshot.gram import EpisodeGram


def baseline_plus_plus(
    gram: EpisodeGram, scale: float = 10.0, steps: int = 100, lr: float = 0.01, momentum: float = 0.9
) -> Float[Tensor, "b ways q"]:
    """Score by scaled cosines with class weights that gradient descent fitted to the support set.

    The weights stay combinations of the support features, so the Gram matrix is sufficient.

    Args:
        gram: the episodes.
        scale: of the cosines before the softmax.
        steps, lr, momentum: of full-batch gradient descent on the weights, for the mean loss.
    """
    unit = gram.unit
    kernel, targets = unit.support, unit.targets.T
    duals = (targets / gram.shots).expand(len(kernel), -1, -1)  # [b, ways, s]: weight = duals · features
    duals = duals / _lengths(duals, kernel)
    velocity = torch.zeros_like(duals)
    for _ in range(steps):
        products = duals @ kernel
        lengths = (products * duals).sum(dim=2, keepdim=True).clamp_min(1e-12).sqrt()
        cosines = products / lengths
        slope = scale * ((scale * cosines).softmax(dim=1) - targets) / kernel.shape[1]
        # d cosine / d weight = feature / length - cosine · weight / length²
        gradient = slope / lengths - (slope * cosines).sum(dim=2, keepdim=True) * duals / lengths**2
        velocity = momentum * velocity + gradient
        duals = duals - lr * velocity
    return scale * (duals @ unit.cross) / _lengths(duals, kernel)


def _lengths(duals: Float[Tensor, "b ways s"], kernel: Float[Tensor, "b s s"]) -> Float[Tensor, "b ways 1"]:
    return ((duals @ kernel) * duals).sum(dim=2, keepdim=True).clamp_min(1e-12).sqrt()
