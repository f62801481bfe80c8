"""Losses by name: one value a sample, so that batches can be divided without changing the mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor, Tensor | None, float], Tensor]


def cross_entropy(
    logits: Float[Tensor, "n k"],
    targets: Float[Tensor, "n k"],
    weights: Float[Tensor, " k"] | None,
    smoothing: float,
) -> Float[Tensor, " n"]:
    """Return the cross entropy of each sample, classes weighted, targets smoothed."""
    return functional.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing, reduction="none")


def binary_cross_entropy(
    logits: Float[Tensor, "n k"],
    targets: Float[Tensor, "n k"],
    weights: Float[Tensor, " k"] | None,
    smoothing: float,
) -> Float[Tensor, " n"]:
    """Return each sample's binary cross entropy, averaged over the classes; weights multiply the positives."""
    smooth = targets * (1 - smoothing) + smoothing / 2
    loss = functional.binary_cross_entropy_with_logits(logits, smooth, pos_weight=weights, reduction="none")
    return loss.mean(dim=1)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "bce": binary_cross_entropy}


def total_weight(targets: Float[Tensor, "n k"], weights: Float[Tensor, " k"] | None, loss: str) -> Float[Tensor, ""]:
    """Return what the sum of the samples' losses is divided by: their number, or their classes' weights."""
    if weights is None or loss == "bce":
        return torch.tensor(float(len(targets)), device=targets.device)
    return (targets * weights).sum()


def class_weights(
    kind: str | tuple[float, ...] | None, labels: npt.NDArray[np.int64] | npt.NDArray[np.bool_], classes: int
) -> Float[Tensor, " k"] | None:
    """Return one weight a class: "balanced" is n / (classes × count), for several labels negatives / positives.

    A class without an image gets weight 1: it has no loss to weigh.
    """
    if kind is None:
        return None
    if not isinstance(kind, str):
        return torch.tensor(kind, dtype=torch.float32)
    if labels.ndim == 2:
        positives = labels.sum(axis=0).astype(np.float64)
        weights = np.where(positives > 0, (len(labels) - positives) / np.maximum(positives, 1), 1.0)
    else:
        counts = np.bincount(labels, minlength=classes).astype(np.float64)
        weights = np.where(counts > 0, len(labels) / (classes * np.maximum(counts, 1)), 1.0)
    return torch.tensor(weights, dtype=torch.float32)


def correct(logits: Float[Tensor, "n k"], labels: Tensor) -> Float[Tensor, ""]:
    """Return how many samples are classified rightly; with several labels, the mean share of right answers, summed."""
    if labels.ndim == 2:
        return ((logits > 0) == labels.bool()).float().mean(dim=1).sum()
    return (logits.argmax(dim=1) == labels).float().sum()
