"""What a head is fitted to: training and validation rows of one feature matrix, with their labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import SpecError
from headstart.transfer.heads.feature_rows import Dense, IntArray, Rows, Transform, Workspace

Labels = npt.NDArray[np.int64] | npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Problem:
    """One fit: the rows to learn from, the rows to choose on, and what fits share.

    Args:
        workspace: the feature matrix and what is already computed of it.
        labels: int64 [n] or bool [n, C], of every row of the matrix.
        train: rows to learn from; a repeated row counts each time.
        validation: rows to choose on; may be empty.
        classes: C.
        seed: of data order and first weights, where a head has any.
        half: hold features in half precision.
        final: whether the head is kept; if not, another is fitted with what was chosen.
        metric: what the validation rows choose by; a name in METRICS.
    """

    workspace: Workspace
    labels: Labels
    train: IntArray
    validation: IntArray
    classes: int
    seed: int = 0
    half: bool = False
    final: bool = True
    metric: str = "accuracy"

    @property
    def multi_label(self) -> bool:
        """Return whether a row may have several labels."""
        return self.labels.ndim == 2

    @property
    def device(self) -> torch.device:
        """Where to compute."""
        return self.workspace.device

    def transform(self, normalise: str, *, centred: bool = False) -> Transform:
        """Return the transform fitted to the training rows."""
        return self.workspace.transform(self.train, normalise, centred)

    def train_rows(self, transform: Transform) -> Rows:
        """Return the training rows, prepared."""
        return self.workspace.rows(self.train, transform, half=self.half)

    def validation_rows(self, transform: Transform) -> Rows | None:
        """Return the validation rows, prepared as the training rows are; None if there are none."""
        return self.workspace.rows(self.validation, transform, half=self.half) if len(self.validation) else None

    def labels_of(self, rows: IntArray) -> Tensor:
        """Return the labels of these rows on the device."""
        return torch.from_numpy(np.ascontiguousarray(self.labels[rows])).to(self.device)

    def targets_of(self, rows: IntArray) -> Tensor:
        """Return labels as float32 [n, C] of zeros and ones."""
        labels = self.labels_of(rows)
        return labels.float() if labels.dim() == 2 else functional.one_hot(labels, self.classes).float()


@dataclass
class Fitted:
    """What a solver gives back.

    Args:
        head: for raw features, on the CPU.
        chosen: the configuration it was fitted with, complete enough to fit it again.
        tried: every configuration with its validation scores.
        notes: what a reader should know.
        left_out: float32 [training rows, C], the probabilities of each training row by the fit without it; None where
            the solver does not give them.
    """

    head: nn.Module
    chosen: dict[str, Any]
    tried: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    left_out: npt.NDArray[np.float32] | None = None


def listed(value: Any) -> list[Any]:
    """Return a list as it is, anything else as a list of one."""
    return list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value]


def numbers(kind: str, name: str, value: Any, *, above: float = 0.0, equal: bool = False) -> list[float]:
    """Return the values of an option as finite numbers, without repeats, in the order given.

    Raises:
        SpecError: none given, or one is not a number or not above (or at, if `equal`) the bound.
    """
    values = listed(value)
    if not values:
        raise SpecError(f"{kind}: {name} is an empty list; give at least one value")
    for each in values:
        bad = isinstance(each, bool) or not isinstance(each, (int, float, np.number)) or not np.isfinite(each)
        if bad or each < above or (each == above and not equal):
            bound = f"at least {above:g}" if equal else f"above {above:g}"
            raise SpecError(f"{kind}: {name} = {each!r} must be a finite number {bound}")
    return list(dict.fromkeys(float(each) for each in values))


def logits_of(rows: Rows | Dense, weight: Tensor, bias: Tensor, out: Tensor | None = None) -> Tensor:
    """Return [n, C] logits of prepared rows, in `out` if it is given; weight is [d, C], bias [C]."""
    if out is None:
        out = torch.empty(len(rows), weight.shape[1], device=weight.device)
    for place, block in rows.blocks():
        torch.addmm(bias, block, weight, out=out[place])
    return out
