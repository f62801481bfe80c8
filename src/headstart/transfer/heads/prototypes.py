"""Nearest class mean: one prototype a class, by euclidean distance or cosine (Mensink et al. 2013)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from headstart.errors import SpecError, choose
from headstart.models.heads import LinearHead
from headstart.transfer.heads.catalogue import complete
from headstart.transfer.heads.feature_rows import Rows, Transform, wide
from headstart.transfer.heads.problem import Fitted, Problem, listed, logits_of
from headstart.transfer.heads.selection import Selection, best_scale, score


def fit_prototypes(problem: Problem, options: Mapping[str, Any]) -> Fitted:
    """Fit a prototype head, metric and normalisation chosen on validation rows.

    Both metrics are linear in the features: minus half the squared distance is x·m - |m|²/2 (and |x|²,
    the same for every class), the cosine is x·m/|m| for rows of length one (others are divided by their
    length once more, after the normalisation). The logits are scaled to the least log loss on the
    validation rows. A class without training rows is never predicted.

    Options: `metric`, `normalise` (lists), `temperature` (the scale, if known).

    Raises:
        SpecError: an option that does not exist or cannot be; several labels a row.
    """
    options = complete("prototypes", options)
    if problem.multi_label:
        raise SpecError("prototypes: rows with several labels have no nearest class mean; use logistic or ridge")
    selection: Selection[LinearHead] = Selection(metric=problem.metric)
    for normalise in listed(options["normalise"]):
        for metric in listed(options["metric"]):
            linear = choose("metric", metric, METRICS)
            transform = problem.transform(normalise if metric == "euclidean" else _length_one(normalise))
            rows, held = problem.train_rows(transform), problem.validation_rows(transform)
            weight, bias = linear(class_means(rows, problem.labels_of(problem.train), problem.classes))
            scale, result = options["temperature"] or 1.0, None
            if held is not None:
                labels, logits = problem.labels_of(problem.validation), logits_of(held, weight.T, bias)
                scale = options["temperature"] or best_scale(logits, labels, start=1.0)
                result = score(scale * logits, labels, problem.metric)
            selection.offer(
                {"metric": metric, "normalise": normalise},
                result,
                partial(_head, transform, scale * weight, scale * bias),
                keep={"temperature": scale},
            )
    return Fitted(selection.value, selection.chosen, selection.tried)


def class_means(rows: Rows, labels: Tensor, classes: int) -> Float[Tensor, "c d"]:
    """Return the mean of each class's rows; NaN for a class without any."""
    total = torch.zeros(classes, rows.dim, dtype=wide(rows.device), device=rows.device)
    for place, block in rows.blocks():
        total += functional.one_hot(labels[place], classes).float().T @ block
    return (total / torch.bincount(labels, minlength=classes)[:, None]).float()


def euclidean(means: Float[Tensor, "c d"]) -> tuple[Float[Tensor, "c d"], Float[Tensor, " c"]]:
    """Return weight and bias of minus half the squared distance."""
    return _without_absent(means, -0.5 * means.square().sum(1))


def cosine(means: Float[Tensor, "c d"]) -> tuple[Float[Tensor, "c d"], Float[Tensor, " c"]]:
    """Return weight and bias of the cosine, for rows of length one."""
    return _without_absent(functional.normalize(means, dim=1), means.new_zeros(len(means)))


def _without_absent(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    absent = weight.isnan().any(1)
    return torch.where(absent[:, None], 0.0, weight), torch.where(absent, -1e4, bias)


def _length_one(normalise: str) -> str:
    if normalise not in LENGTH_ONE:
        raise SpecError(f"prototypes: the cosine has no use for normalise = {normalise!r}; use {sorted(LENGTH_ONE)}")
    return LENGTH_ONE[normalise]


def _head(transform: Transform, weight: Tensor, bias: Tensor) -> LinearHead:
    return transform.linear_head(weight, bias)


METRICS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {"euclidean": euclidean, "cosine": cosine}
LENGTH_ONE = {
    "none": "l2",
    "l2": "l2",
    "centre": "centre-l2",
    "centre-l2": "centre-l2",
    "standardise": "standardise-l2",
    "standardise-l2": "standardise-l2",
}
