"""k nearest neighbours by cosine: Cover and Hart 1967; as a few-shot baseline in Vinyals et al. 2016 (1606.04080)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.fewshot.gram import EpisodeGram


def knn(gram: EpisodeGram, neighbours: int | None = None) -> Float[Tensor, "b ways q"]:
    """Score by the votes of the nearest support images; equal votes go to the larger sum of cosines.

    Args:
        gram: the episodes.
        neighbours: how many vote; None: as many as there are shots.
    """
    cosines = gram.unit.cross
    k = min(neighbours or gram.shots, cosines.shape[1])
    near, who = cosines.topk(k, dim=1)
    votes = torch.zeros(len(cosines), gram.ways, cosines.shape[2], device=cosines.device)
    return votes.scatter_add_(1, who // gram.shots, 1.0 + near / (4.0 * k))
