"""Distillation: a network learns a teacher's probabilities of its images (Hinton, Vinyals, Dean 2015).

Beyer et al. 2022 (arXiv 2106.05237): the teacher judges the very view that the student sees, images are mixed, and
training is long. Here the labels of mixed images are mixed as the images are; the teacher does not see the mixture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from headstart.transfer.finetune.inputs import LegFetch
from headstart.transfer.finetune.loader import Batch
from headstart.transfer.finetune.objective import Objective

_SMALLEST = 1e-12  # probability, so that its logarithm is finite


@runtime_checkable
class Teacher(Protocol):
    """What gives soft labels."""

    @property
    def key(self) -> str:
        """The content key of everything that they depend on."""

    def __call__(self, rows: npt.NDArray[np.int64], view: int | None) -> npt.NDArray[np.float32]:
        """Return probabilities [len(rows), C] of these images, augmented as in this epoch; None: as they are."""


@dataclass(frozen=True)
class Distillation:
    """How a network learns from a teacher.

    Args:
        teacher: gives soft labels.
        temperature: divides the logits of both, so that small probabilities count for more; over 0.
        hard_labels: share of the cross entropy with the images' own labels in the loss, 0 … 1.
        same_view: the teacher judges each augmented view that the student sees; otherwise the image as it is.
    """

    teacher: Teacher
    temperature: float = 1.0
    hard_labels: float = 0.0
    same_view: bool = True

    @property
    def identity(self) -> list[Any]:
        """What a training depends on."""
        return [self.teacher.key, self.temperature, self.hard_labels, self.same_view]


@dataclass(frozen=True)
class SoftFetch:
    """Reads the teacher's probabilities of the view of an epoch."""

    inputs: LegFetch
    distillation: Distillation

    def __call__(self, rows: npt.NDArray[np.int64], epoch: int) -> Tensor:
        """Return float32 [b, C]."""
        view = self.inputs.view(epoch) if self.distillation.same_view else None
        return torch.from_numpy(self.distillation.teacher(rows, view))


class DistillationObjective(Objective):
    """The loss of a recipe with a teacher. Its targets are the hard and the soft labels side by side, [n, 2 C].

    Args:
        distillation: temperature, and the share of the hard labels.
    """

    def __init__(self, *arguments: Any, distillation: Distillation) -> None:
        super().__init__(*arguments)
        self.temperature, self.share = distillation.temperature, distillation.hard_labels

    def targets(self, labels: Tensor) -> Tensor:
        """Return float [n, C]: one-hot rows; a row of zeros for an image without a label (-1)."""
        return super().targets(labels.clamp(min=0)) * (labels >= 0)[:, None]

    def wanted(self, batch: Batch) -> Tensor:
        """Return float [n, 2 C]: hard labels, and soft ones at the temperature."""
        assert batch.soft is not None, "a training with a teacher has soft labels in its batches"
        return torch.cat([self.targets(batch.labels), softened(batch.soft, self.temperature)], dim=1)

    def answers(self, batch: Batch) -> Tensor:
        """Return the labels; of an image without one, the teacher's."""
        assert batch.soft is not None, "a training with a teacher has soft labels in its batches"
        return torch.where(batch.labels >= 0, batch.labels, batch.soft.argmax(dim=1))

    def total(self, targets: Tensor) -> Tensor:
        """Return the number of images."""
        return torch.tensor(float(len(targets)), device=targets.device)

    def forward(self, logits: Tensor, targets: Tensor, total: Tensor) -> Tensor:
        """Return the training loss of a batch, or its share of the loss if these are a piece of the batch."""
        hard, soft = targets[:, : self.classes], targets[:, self.classes :]
        smoothing = self.recipe.label_smoothing
        return distillation_loss(logits, soft, hard, self.temperature, self.share, smoothing).sum() / total


def softened(probabilities: Float[Tensor, "n k"], temperature: float) -> Float[Tensor, "n k"]:
    """Return softmax(logits / temperature) of the logits that probabilities stand for."""
    return functional.softmax(probabilities.clamp(min=_SMALLEST).log() / temperature, dim=1)


def distillation_loss(
    logits: Float[Tensor, "n k"],
    soft: Float[Tensor, "n k"],
    hard: Float[Tensor, "n k"],
    temperature: float,
    share: float,
    smoothing: float = 0.0,
) -> Float[Tensor, " n"]:
    """Return (1 - share) T² KL(soft ‖ softmax(logits / T)) + share × cross entropy with the hard labels, per image.

    T² keeps the size of the gradients when T changes (Hinton et al. 2015, section 2). An image whose hard labels are
    all zero has only the first part.

    Args:
        logits: of the student.
        soft: of the teacher, at the temperature.
        hard: rows that sum to 1, or to 0 without a label.
        temperature: T.
        share: of the hard labels.
        smoothing: of the hard labels.
    """
    own = functional.log_softmax(logits / temperature, dim=1)
    divergence = functional.kl_div(own, soft, reduction="none").sum(dim=1)
    loss = (1 - share) * temperature**2 * divergence
    if share > 0:
        labelled = hard.sum(dim=1)
        loss = loss + share * labelled * functional.cross_entropy(
            logits, hard, reduction="none", label_smoothing=smoothing
        )
    return loss
