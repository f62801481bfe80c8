"""Ridge regression to one-hot targets: every penalty from one eigendecomposition.

The Gram matrix of the centred features, d x d or n x n, whichever is smaller, is decomposed once; each
penalty then costs one product of matrices. Leave-one-out predictions follow from the same
decomposition (Allen's PRESS), so that a penalty can be chosen without validation rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.models.heads import LinearHead, class_probabilities
from headstart.transfer.heads.catalogue import complete
from headstart.transfer.heads.feature_rows import Dense, Rows, Transform, wide
from headstart.transfer.heads.gram import principal, rotate
from headstart.transfer.heads.problem import Fitted, Problem, listed, numbers
from headstart.transfer.heads.selection import Selection, best_scale, score


@dataclass(frozen=True)
class Decomposition:
    """The centred rows X in their principal directions, with the targets' moments.

    Args:
        basis: [d, r], orthonormal columns.
        values: [r], eigenvalues of XᵀX / n.
        targets: [r, C], basisᵀ Xᵀ (Y - mean Y) / n.
        mean: [C], mean of Y.
    """

    basis: Tensor
    values: Tensor
    targets: Tensor
    mean: Tensor

    def coefficients(self, penalty: float) -> Float[Tensor, "r c"]:
        """Return the weights in the basis that minimise |XW - Y|² / n + penalty |W|²."""
        return self.targets / (self.values + penalty)[:, None]


def fit_ridge(problem: Problem, options: Mapping[str, Any]) -> Fitted:
    """Fit a ridge head, the penalty chosen on validation rows (or by leave-one-out).

    Minimises mean |W x + b - onehot(y)|² + penalty |W|² (b free), then scales the scores to the logits
    of least log loss on the validation rows (on leave-one-out predictions where there are none).

    Options: `penalty` (a list, each per training row and so the same at any n: scikit-learn's alpha / n),
    `normalise`, `leave_one_out` (choose without validation rows), `temperature` (the scale, if known).

    Raises:
        SpecError: an option that does not exist or cannot be.
    """
    options = complete("ridge", options)
    penalties = numbers("ridge", "penalty", options["penalty"])
    by_self = bool(options["leave_one_out"]) or not len(problem.validation)
    shown = not by_self or options["leave_one_out"]
    judged = shown or not options["temperature"] or len(penalties) > 1  # a refit needs no scores of its own rows
    selection: Selection[tuple[LinearHead, Tensor | None]] = Selection(problem.multi_label, problem.metric)
    for normalise in listed(options["normalise"]):
        transform = problem.transform(normalise, centred=True)
        decomposition = decompose(problem, problem.train_rows(transform))
        path: Callable[[float], Tensor] | None = None
        if by_self and judged:
            path = _leave_one_out(problem, decomposition, transform, penalties)
        elif judged:
            path = _held_out(problem, decomposition, transform)
        labels = problem.labels_of(problem.train if by_self else problem.validation)
        scale = float(options["temperature"] or 10.0)
        for penalty in penalties:
            scores = path(penalty) if path is not None else None
            if scores is not None and not options["temperature"]:
                scale = best_scale(scores, labels, start=scale, steps=6, tolerance=0.02)
            selection.offer(
                {"penalty": penalty, "normalise": normalise},
                score(scale * scores, labels, problem.metric) if scores is not None and shown else None,
                partial(
                    _kept, problem, decomposition, transform, penalty, scale, scores if shown and by_self else None
                ),
                simplicity=(penalty,),
                keep={"temperature": scale},
            )
    notes = ["penalty chosen by leave-one-out on the training rows"] if options["leave_one_out"] else []
    head, logits = selection.value
    left_out = None if logits is None else class_probabilities(logits, multi_label=problem.multi_label).cpu().numpy()
    return Fitted(head, selection.chosen, selection.tried, notes, left_out)


def decompose(problem: Problem, rows: Rows) -> Decomposition:
    """Return the decomposition of centred rows, with the problem's training labels as targets."""
    targets = problem.targets_of(problem.train)
    mean = targets.mean(0)
    basis, values = principal(problem, rows)
    moments = torch.zeros(rows.dim, problem.classes, dtype=wide(rows.device), device=rows.device)
    for place, block in rows.blocks():
        moments += block.T @ (targets[place] - mean)
    return Decomposition(basis, values, basis.T @ (moments / len(rows)).float(), mean)


def _held_out(problem: Problem, decomposition: Decomposition, transform: Transform) -> Callable[[float], Tensor]:
    rows = problem.validation_rows(transform)
    assert rows is not None, "held-out scores need validation rows"
    coordinates = rotate(rows, decomposition.basis)
    middle = decomposition.mean - _half(problem)
    return lambda penalty: torch.addmm(middle, coordinates, decomposition.coefficients(penalty))


def _leave_one_out(
    problem: Problem, decomposition: Decomposition, transform: Transform, penalties: Sequence[float]
) -> Callable[[float], Tensor]:
    """Return what gives, for one of the penalties, each training row's scores by the fit without that row."""
    coordinates = rotate(problem.train_rows(transform), decomposition.basis)
    targets, n = problem.targets_of(problem.train), len(problem.train)
    inverse = torch.stack([1 / (n * (decomposition.values + penalty)) for penalty in penalties], 1)
    leverages = torch.cat([block.square() @ inverse for _, block in Dense(coordinates).blocks()]) + 1 / n

    def scores(penalty: float) -> Tensor:
        fitted = torch.addmm(decomposition.mean, coordinates, decomposition.coefficients(penalty))
        rest = (1 - leverages[:, penalties.index(penalty)]).clamp(min=1e-6)[:, None]
        return targets - (targets - fitted) / rest - _half(problem)

    return scores


def _half(problem: Problem) -> float:
    return 0.5 if problem.multi_label else 0.0  # one half stands between no and yes


def _kept(
    problem: Problem,
    decomposition: Decomposition,
    transform: Transform,
    penalty: float,
    scale: float,
    scores: Tensor | None,
) -> tuple[LinearHead, Tensor | None]:
    """Return the head, and the logits of the training rows by the fits without each, if their scores are given."""
    weight = decomposition.basis @ decomposition.coefficients(penalty)
    bias = decomposition.mean - _half(problem)
    head = transform.linear_head(scale * weight.T, scale * bias, multi_label=problem.multi_label)
    return head, None if scores is None else scale * scores
