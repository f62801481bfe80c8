"""Networks trained on the target."""

from __future__ import annotations

from collections.abc import Callable

from headstart.data.dataset import Split
from headstart.study.record import Fit, Probabilities
from headstart.study.task import Task
from headstart.study.workshop import Workshop


def tune(
    task: Task, split: Split, workshop: Workshop, provenance: dict[str, str], note: Callable[[str], None]
) -> tuple[Fit, Probabilities]:
    """Train the network of one task."""
    raise NotImplementedError
