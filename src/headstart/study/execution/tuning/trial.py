"""A trial: one trained configuration, and what all trials of a task share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset, Split
from headstart.study.resources import Resources
from headstart.study.task import Task

Values = Mapping[tuple[str, ...], Any]


OnEpoch = Callable[[Mapping[str, Any]], None]


class TrialPruned(Exception):
    """Ends a training that is not worth continuing; raised by the callback of its epochs."""


@dataclass(frozen=True)
class Trial:
    """One configuration, trained on the training rows and evaluated on the validation rows.

    Args:
        values: its settings, by path.
        history: one row per epoch.
        best_epoch: the epoch that its network is from.
        notes: for the reader of the results.
        seconds: its cost.
        learned, total: numbers of parameters.
        accuracy, log_loss: on validation, or None without.
        merit: by the study's metric there, the larger the better, or None without.
        folder: of its network.
    """

    values: Values
    history: list[dict[str, Any]]
    best_epoch: int
    notes: list[str]
    seconds: float
    learned: int
    total: int
    accuracy: float | None
    log_loss: float | None
    merit: float | None
    folder: Path

    @property
    def rank(self) -> tuple[float, float]:
        """The sort key of trials: the best is the largest."""
        return (
            self.merit if self.merit is not None else -np.inf,
            -(self.log_loss if self.log_loss is not None else np.inf),
        )


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a task share.

    Args:
        task, split, dataset, resources: as everywhere.
        provenance: facts for the bundle.
        note: tells the user something.
    """

    task: Task
    split: Split
    dataset: Dataset
    resources: Resources
    provenance: Mapping[str, str]
    note: Callable[[str], None]
