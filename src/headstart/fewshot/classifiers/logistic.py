"""Multinomial logistic regression: as in Tian et al. 2020, Rethinking few-shot image classification: a good
embedding is all you need? (2003.11539), on features of length one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.errors import RunFailed
from headstart.fewshot.gram import EpisodeGram


def logistic(gram: EpisodeGram, penalty: float = 1.0) -> Float[Tensor, "b ways q"]:
    """Score by logistic regression on features of length one.

    Args:
        gram: the episodes.
        penalty: times half the squared weights, added to the summed loss (scikit-learn's 1 / C).
    """
    return logistic_scores(gram.unit, penalty)


def logistic_scores(
    gram: EpisodeGram, penalty: float, tolerance: float = 1e-4, most_steps: int = 20_000
) -> Float[Tensor, "b ways q"]:
    """Score by logistic regression on the features without normalisation; the intercept is not penalised.

    The weights are combinations of the support features, so gradient descent on the weights (Nesterov's, with
    restarts) runs on the combinations and needs the support Gram matrix only. It stops when the largest
    gradient entry of every episode is below `tolerance`.

    Raises:
        RunFailed: no convergence within `most_steps`.
    """
    kernel, targets = gram.support, gram.targets
    b, s, _ = kernel.shape
    # Softmax curvature is at most 1/2; the intercept adds s to the largest eigenvalue at most.
    curvature = 0.5 * (_largest_eigenvalue(kernel) + s) + penalty
    step = (1.0 / curvature)[:, None, None]
    duals = torch.zeros(b, s, gram.ways, device=kernel.device)
    bias = torch.zeros(b, 1, gram.ways, device=kernel.device)
    ahead, ahead_bias, momentum = duals, bias, torch.ones(b, 1, 1, device=kernel.device)
    for count in range(most_steps):
        rest = (kernel @ ahead + ahead_bias).softmax(dim=2) - targets
        slope, slope_bias = rest + penalty * ahead, rest.sum(dim=1, keepdim=True)
        if count % 10 == 0 and _gradient_size(kernel, slope, slope_bias) < tolerance:
            return ahead.transpose(1, 2) @ gram.cross + ahead_bias.transpose(1, 2)
        new, new_bias = ahead - step * slope, ahead_bias - step * slope_bias
        # Restart where the last move went uphill (O'Donoghue and Candès 2015).
        moved = kernel @ (new - duals)
        uphill = (slope * moved).sum(dim=(1, 2)) + (slope_bias * (new_bias - bias)).sum(dim=(1, 2)) > 0
        momentum = torch.where(uphill[:, None, None], 1.0, momentum)
        following = 0.5 * (1 + torch.sqrt(1 + 4 * momentum**2))
        carry = (momentum - 1) / following
        ahead, ahead_bias = new + carry * (new - duals), new_bias + carry * (new_bias - bias)
        duals, bias, momentum = new, new_bias, following
    raise RunFailed(f"logistic regression did not converge in {most_steps} steps; use a larger penalty than {penalty}")


def _largest_eigenvalue(kernel: Float[Tensor, "b s s"]) -> Float[Tensor, " b"]:
    """Bound each largest eigenvalue from above, closely: the 16th root of the trace of its 16th power."""
    scale = kernel.diagonal(dim1=1, dim2=2).sum(dim=1)
    power, log = kernel / scale[:, None, None], scale.log()
    for doubling in range(4):  # trace(K^16)^(1/16)
        power = power @ power
        trace = power.diagonal(dim1=1, dim2=2).sum(dim=1)
        power = power / trace[:, None, None]
        log = log + trace.log() / 2 ** (doubling + 1)
    return log.exp()


def _gradient_size(kernel: Tensor, slope: Tensor, slope_bias: Tensor) -> float:
    """The largest length of a weight vector's gradient over classes and episodes."""
    squares = (slope * (kernel @ slope)).sum(dim=1).clamp_min(0).max().sqrt()
    return float(torch.maximum(squares, slope_bias.abs().max()))
