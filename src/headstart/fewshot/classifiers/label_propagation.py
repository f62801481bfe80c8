"""Label propagation: Zhou et al. 2004, Learning with local and global consistency; for episodes Liu et al. 2019,
Learning to propagate labels (1805.10002). Transductive: the queries of an episode are classified together."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.fewshot.gram import EpisodeGram


def label_propagation(
    gram: EpisodeGram, neighbours: int = 10, alpha: float = 0.7, sharpness: float = 10.0
) -> Float[Tensor, "b ways q"]:
    """Score by the labels that reach each query when support labels spread over the graph of nearest neighbours.

    Args:
        gram: the episodes.
        neighbours: edges kept for each image.
        alpha: weight of the neighbours' labels against an image's own, below 1.
        sharpness: edges weigh exp(sharpness · (cosine - 1)).
    """
    unit = gram.centred.unit
    top = torch.cat([unit.support, unit.cross], dim=2)
    bottom = torch.cat([unit.cross.transpose(1, 2), unit.query], dim=2)
    weights = torch.exp(sharpness * (torch.cat([top, bottom], dim=1) - 1.0))
    weights.diagonal(dim1=1, dim2=2).zero_()
    size = weights.shape[1]
    least = weights.topk(min(neighbours, size - 1), dim=2).values[:, :, -1:]
    kept = torch.where(weights >= least, weights, 0.0)
    graph = torch.maximum(kept, kept.transpose(1, 2))
    scale = graph.sum(dim=2).clamp_min(1e-12).rsqrt()
    system = graph.mul_(scale[:, :, None]).mul_(scale[:, None, :]).mul_(-alpha)
    system.diagonal(dim1=1, dim2=2).add_(1.0)
    labels = torch.zeros(len(system), size, gram.ways, device=system.device)
    labels[:, : gram.ways * gram.shots] = gram.targets
    spread = torch.cholesky_solve(labels, torch.linalg.cholesky(system))
    return spread[:, gram.ways * gram.shots :].transpose(1, 2)
