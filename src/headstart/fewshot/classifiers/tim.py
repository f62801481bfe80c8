"""TIM by alternating directions: Boudiaf et al. 2020, Transductive information maximization for few-shot learning
(2008.11297), section 3.2. Transductive: the queries of an episode are classified together."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.fewshot.gram import EpisodeGram


def tim(
    gram: EpisodeGram,
    steps: int = 100,
    temperature: float = 15.0,
    support_weight: float = 0.1,
    condition_weight: float = 0.1,
) -> Float[Tensor, "b ways q"]:
    """Score by a classifier that fits the support set and is confident and balanced on the queries.

    Each class weight is a combination of the episode's features, so that the full Gram matrix is sufficient.

    Args:
        gram: the episodes.
        steps: alternations.
        temperature: times minus half the squared distance of a feature (length one) and a class weight.
        support_weight: of the cross-entropy on the support set (λ).
        condition_weight: of the entropy of single predictions (α), against 1 for the marginal's.
    """
    unit = gram.centred.unit
    s = gram.ways * gram.shots
    top = torch.cat([unit.support, unit.cross], dim=2)
    full = torch.cat([top, torch.cat([unit.cross.transpose(1, 2), unit.query], dim=2)], dim=1)
    b, n, _ = full.shape
    labels = gram.targets.T.expand(b, -1, -1)  # [b, ways, s]
    weights = torch.zeros(b, gram.ways, n, device=full.device)
    weights[:, :, :s] = labels / gram.shots
    support_share = support_weight / (1 + condition_weight)
    query_share = s / (n - s)
    logits = torch.empty(0)
    for step in range(steps + 1):
        products = weights @ full
        lengths = (products * weights).sum(dim=2, keepdim=True)
        logits = temperature * (products - 0.5 * lengths)
        if step == steps:
            break
        p = logits.softmax(dim=1)
        sharp = p[:, :, s:] ** (1 + condition_weight)
        q = sharp / sharp.sum(dim=2, keepdim=True).clamp_min(1e-12).sqrt()
        q = q / q.sum(dim=1, keepdim=True)
        pull = torch.cat([support_share * (labels - p[:, :, :s]), query_share * (q - p[:, :, s:])], dim=2)
        own = support_share * p[:, :, :s].sum(dim=2) + query_share * p[:, :, s:].sum(dim=2)
        total = support_share * gram.shots + query_share * q.sum(dim=2)
        weights = (pull + own[:, :, None] * weights) / total[:, :, None]
    return logits[:, :, s:]
