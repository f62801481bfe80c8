"""Nearest prototype: Snell, Swersky and Zemel 2017, Prototypical networks for few-shot learning (1703.05175)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from headstart.fewshot.gram import EpisodeGram


def euclidean_prototypes(gram: EpisodeGram) -> Float[Tensor, "b ways q"]:
    """Score each query by minus its squared distance to the class means (less what all classes share)."""
    return 2 * gram.prototype_cross - gram.prototype_norms[:, :, None]


def cosine_prototypes(gram: EpisodeGram) -> Float[Tensor, "b ways q"]:
    """Score each query by its cosine with the class means (less the query's own length)."""
    return gram.prototype_cross * gram.prototype_norms.clamp_min(1e-12).rsqrt()[:, :, None]
