"""A trial: one configuration trained, and what it is trained with."""

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
    """Ends a training that nobody will go on with; raised by who listens to its epochs."""


@dataclass(frozen=True)
class Trial:
    """One configuration, trained on the training rows and judged on the validation rows.

    Args:
        values: what was set, by path.
        history: one row per epoch.
        best_epoch: the epoch its network comes from.
        notes: what a reader must know.
        seconds: what it cost.
        learned, total: numbers of parameters.
        accuracy, log_loss: on validation, or None without.
        merit: by the study's metric there, the larger the better, or None without.
        folder: where its network lies.
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
        """Sorts trials: the best is the largest."""
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
