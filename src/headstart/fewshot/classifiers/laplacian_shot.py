"""LaplacianShot: Ziko, Dolz, Granger and Ben Ayed 2020, Laplacian regularized few-shot learning (2006.15486).
Transductive: the queries of an episode are classified together."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.fewshot.gram import EpisodeGram


def laplacian_shot(
    gram: EpisodeGram, neighbours: int = 3, weight: float = 0.3, steps: int = 20
) -> Float[Tensor, "b ways q"]:
    """Score by distance to the prototypes, smoothed between neighbouring queries by bound optimisation.

    Args:
        gram: the episodes.
        neighbours: nearest queries that each query is tied to.
        weight: of the Laplacian term.
        steps: bound updates (the paper's stop within 20).
    """
    unit = gram.centred.unit
    distance = unit.query_norms[:, None, :] + unit.prototype_norms[:, :, None] - 2 * unit.prototype_cross
    near = unit.query.clone()
    near.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    who = near.topk(min(neighbours, near.shape[1] - 1), dim=2).indices
    ties = torch.zeros_like(near).scatter_(2, who, 1.0)
    share = (-distance).softmax(dim=1)
    for _ in range(steps):
        logits = weight * (share @ ties.transpose(1, 2)) - distance
        share = logits.softmax(dim=1)
    return logits
