"""Ridge regression on one-hot labels: Bertinetto et al. 2019, Meta-learning with differentiable closed-form
solvers (1805.08136); with an intercept, as scikit-learn's RidgeClassifier."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.fewshot.gram import EpisodeGram


def ridge(gram: EpisodeGram, penalty: float = 0.5) -> Float[Tensor, "b ways q"]:
    """Score by ridge regression on features of length one.

    Args:
        gram: the episodes.
        penalty: added to the eigenvalues of the centred support Gram matrix.
    """
    return ridge_scores(gram.unit, penalty)


def ridge_scores(gram: EpisodeGram, penalty: float) -> Float[Tensor, "b ways q"]:
    """Score by ridge regression on the features without normalisation; the intercept is not penalised."""
    centred = gram.support_centred
    kernel = centred.support.clone()
    kernel.diagonal(dim1=1, dim2=2).add_(penalty)
    targets = gram.targets - 1.0 / gram.ways
    duals = torch.cholesky_solve(targets.expand(len(kernel), -1, -1), torch.linalg.cholesky(kernel))
    return duals.transpose(1, 2) @ centred.cross + 1.0 / gram.ways
