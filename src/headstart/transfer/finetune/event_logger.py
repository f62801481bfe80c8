"""Lightning's logger for TensorBoard, without a thread of its own."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger

from headstart.transfer.event_file import EventFile


class EventLogger(Logger):  # type: ignore[misc]
    """Writes what a training logs to an event file in a folder; the file is begun with the first value.

    Args:
        folder: of the event files.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._file: EventFile | None = None

    @property
    def name(self) -> str:
        """The name of the logs."""
        return self.folder.parent.name

    @property
    def version(self) -> str:
        """The folder of the event files in them."""
        return self.folder.name

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Write these values, in the first of several processes."""
        if getattr(rank_zero_only, "rank", 0):
            return
        if self._file is None:
            self._file = EventFile(self.folder)
        self._file.add({name: float(value) for name, value in metrics.items()}, step or 0)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Write nothing: settings are in the record of the run."""

    def finalize(self, status: str) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
