"""LaplacianShot: Ziko, Dolz, Granger and Ben Ayed 2020, Laplacian regularized few-shot learning (2006.15486), with the
prototype rectification of Liu et al. 2020 (1911.10713) as in the authors' code. Transductive: the queries of an episode
are classified together."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.fewshot.gram import EpisodeGram

_SHARPNESS = 10.0  # of the softmax over cosines that weights each image in its rectified prototype (the paper's ε)
_TINY = 1e-12


def laplacian_shot(
    gram: EpisodeGram, neighbours: int = 2, weight: float = 0.7, steps: int = 20, rectify: bool = True
) -> Float[Tensor, "b ways q"]:
    """Score by distance to the rectified prototypes, smoothed between neighbouring queries by bound optimisation.

    Args:
        gram: the episodes.
        neighbours: other queries that each query is linked to. The authors' `knn = 3` counts the query itself.
        weight: of the Laplacian term (λ); the authors choose it among 0.1 … 1.5 on validation classes.
        steps: bound updates (the paper's converge within 20).
        rectify: shift the queries to the mean of the support set and let them take part in the prototypes.
    """
    unit = gram.centred.unit
    if rectify:
        distance = _rectified_distances(unit)
    else:
        distance = unit.query_norms[:, None, :] + unit.prototype_norms[:, :, None] - 2 * unit.prototype_cross
    near = unit.query.clone()  # a shift that all queries share leaves their nearest neighbours as they are
    near.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    nearest = near.topk(min(neighbours, near.shape[1] - 1), dim=2).indices
    links = torch.zeros_like(near).scatter_(2, nearest, 1.0)
    share = (-distance).softmax(dim=1)
    logits = -distance
    for _ in range(steps):
        logits = weight * (share @ links.transpose(1, 2)) - distance
        share = logits.softmax(dim=1)
    return logits


def _rectified_distances(unit: EpisodeGram) -> Float[Tensor, "b ways q"]:
    """Return squared distances of the shifted queries to prototypes that are made of support and query images.

    Every image of the episode counts for the class whose prototype is nearest by cosine, in proportion to that
    class's share in a softmax over its cosines. A class that no image is nearest to keeps its prototype.
    """
    ways, shots, s = unit.ways, unit.shots, unit.ways * unit.shots
    full = _shifted_products(unit)
    means = full[:, :s].reshape(len(full), ways, shots, -1).mean(dim=2)  # [b, ways, n]
    squares = means[:, :, :s].reshape(len(full), ways, ways, shots).mean(dim=3).diagonal(dim1=1, dim2=2)
    lengths = full.diagonal(dim1=1, dim2=2).clamp_min(_TINY).sqrt()
    cosines = means / lengths[:, None, :] / squares.clamp_min(_TINY).sqrt()[:, :, None]
    own = torch.zeros_like(cosines).scatter_(1, cosines.argmax(dim=1, keepdim=True), 1.0)
    counts = own.sum(dim=2, keepdim=True)
    parts = own * (_SHARPNESS * cosines).softmax(dim=1) / counts.clamp_min(1.0)  # prototype = parts · features
    plain = torch.zeros_like(parts)
    plain[:, :, :s] = unit.targets.T / shots
    parts = torch.where(counts > 0, parts, plain)
    products = parts @ full
    norms = (products * parts).sum(dim=2, keepdim=True)
    return norms + lengths[:, None, s:] ** 2 - 2 * products[:, :, s:]


def _shifted_products(unit: EpisodeGram) -> Float[Tensor, "b n n"]:
    """Return the products among support and query images after the queries' mean is moved to the support's."""
    s, q = unit.support.shape[1], unit.query.shape[1]
    top = torch.cat([unit.support, unit.cross], dim=2)
    full = torch.cat([top, torch.cat([unit.cross.transpose(1, 2), unit.query], dim=2)], dim=1)
    shift = full[:, :, :s].mean(dim=2) - full[:, :, s:].mean(dim=2)  # each image with the difference of the means
    square = shift[:, :s].mean(dim=1) - shift[:, s:].mean(dim=1)
    moved = torch.cat([full.new_zeros(s), full.new_ones(q)])
    both = moved[:, None] * moved[None, :]
    return full + moved[:, None] * shift[:, None, :] + shift[:, :, None] * moved[None, :] + both * square[:, None, None]
