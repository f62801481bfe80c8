"""The saved state of few-shot training: written atomically, read without executing code, of one job only."""

from __future__ import annotations

import io
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.errors import StoreError
from headstart.fewshot.class_split import ClassSplit
from headstart.progress import say
from headstart.storage.checksums import certify, is_intact
from headstart.storage.files import disk_errors, temporary
from headstart.storage.store import content_key

FILE = "fewshot-training.pt"


@dataclass(frozen=True)
class TrainingIdentity:
    """The training that a saved state belongs to.

    Args:
        options: of the training.
        backbone: its name.
        labels: [n].
        split: the classes.
    """

    options: dict[str, Any]
    backbone: str
    labels: np.ndarray
    split: ClassSplit

    @property
    def key(self) -> str:
        """32 hex digits that change with any of it."""
        checksum = zlib.crc32(np.ascontiguousarray(self.labels, dtype=np.int64).tobytes())
        return content_key([self.options, self.backbone, checksum, len(self.labels), asdict(self.split)])


def save_state(
    folder: Path, job: TrainingIdentity, module: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write all that is needed to continue from here."""
    buffer = io.BytesIO()
    torch.save(
        {"key": job.key, "module": module.state_dict(), "optimizer": optimizer.state_dict(), "state": state}, buffer
    )
    part = temporary(folder / FILE)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(buffer.getvalue())
        certify(part, folder / FILE)


def load_state(
    folder: Path, job: TrainingIdentity, module: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Restore what `save_state` wrote and return its state, or None if there is nothing yet, or it is damaged.

    Raises:
        StoreError: the file belongs to another job, or cannot be read though it is what was written.
    """
    path = folder / FILE
    if not path.exists():
        return None
    if not is_intact(path):
        say(f"{path}: damaged; training starts again from the beginning")
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds of errors for what it will not read
        raise StoreError(f"{path}: cannot be read ({type(error).__name__}); delete it to train again") from error
    if saved.get("key") != job.key:
        raise StoreError(
            f"{path}: belongs to a training with other options or data; choose another folder or delete it"
        )
    module.load_state_dict(saved["module"])
    optimizer.load_state_dict(saved["optimizer"])
    state: dict[str, Any] = saved["state"]
    return state
