"""Checkpoints of a training: the end of the last epoch, a position inside the current one, and the best weights.

`epoch.ckpt` and `mid.ckpt` hold everything that the rest of the training depends on (weights, optimiser, schedule,
moving average, position in the data, history); `best.safetensors` holds the weights of the best epoch, of which the
first candidate is the starting network. Each file is written under a temporary name and renamed, so that it is
complete or absent.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint
from safetensors.torch import load_file, save_file
from torch import Tensor

from headstart.errors import StoreError
from headstart.progress import Ticker, say
from headstart.storage.checksums import certify, forget, is_intact
from headstart.storage.files import disk_errors, read_json, temporary, write_json
from headstart.transfer.finetune.learner import Learner
from headstart.units import percent

EPOCH, MID, BEST, JOB = "epoch.ckpt", "mid.ckpt", "best.safetensors", "job.json"


class CheckpointWriter(Checkpoint):  # type: ignore[misc]
    """Writes the checkpoints.

    Args:
        folder: where.
        every: seconds between checkpoints inside an epoch.
    """

    def __init__(self, folder: Path, every: float) -> None:
        self.folder, self.every = folder, every
        self._last = time.monotonic()

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the starting network, the first candidate for the best."""
        assert isinstance(pl_module, Learner)
        if pl_module.history.improved and trainer.is_global_zero:
            save_best(self.folder, pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Without validation, write the starting network in case the training diverges."""
        assert isinstance(pl_module, Learner)
        if pl_module.checked is None and trainer.global_step == 0 and trainer.is_global_zero:
            save_best(self.folder, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a checkpoint inside the epoch if the last one is old; the end of the epoch writes its own."""
        if batch_idx + 1 < trainer.num_training_batches and time.monotonic() - self._last >= self.every:
            self._write(trainer, MID)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the best weights if they are new, then the checkpoint of the epoch; report the row last."""
        assert isinstance(pl_module, Learner)
        if pl_module.history.improved and trainer.is_global_zero:
            save_best(self.folder, pl_module)
        self._write(trainer, EPOCH)
        if trainer.is_global_zero:
            forget(self.folder / MID)
        pl_module.tell(pl_module.history.rows[-1])

    def _write(self, trainer: pl.Trainer, name: str) -> None:
        part = temporary(self.folder / name)
        with disk_errors(self.folder):
            trainer.save_checkpoint(part)
            if trainer.is_global_zero:
                certify(part, self.folder / name)
        self._last = time.monotonic()


class Progress(pl.Callback):  # type: ignore[misc]
    """Counts training images.

    Args:
        ticker: the line on the screen.
    """

    def __init__(self, ticker: Ticker) -> None:
        self.ticker = ticker

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a batch."""
        assert isinstance(pl_module, Learner)
        rows = pl_module.history.rows
        row = rows[-1] if rows else {}
        shown = row.get("validation_accuracy")
        note = f"epoch {trainer.current_epoch + 1}, loss {pl_module.current_loss:.3f}"
        self.ticker.advance(len(batch.labels), note + (f", validation {percent(shown)}" if shown is not None else ""))


def claim_folder(folder: Path, job: dict[str, Any]) -> Path | None:
    """Reserve `folder` for this job; return the checkpoint to resume from, or None to start.

    Checkpoints of another job (other data, seed, recipe …), and those that are not what was written, are deleted.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    note = folder / JOB
    if not _is_of(note, job):
        for name in (EPOCH, MID, BEST):
            forget(folder / name)
        write_json(note, job)
        return None
    for name in (EPOCH, MID, BEST):
        if (folder / name).exists() and not is_intact(folder / name):
            say(f"{folder / name}: damaged; training resumes from another checkpoint, or starts again")
            forget(folder / name)
    if not (folder / BEST).exists():  # nothing else can be continued without it
        return None
    return next((folder / name for name in (MID, EPOCH) if (folder / name).exists()), None)


def _is_of(note: Path, job: dict[str, Any]) -> bool:
    """Return whether the checkpoints are of this job; a note that is damaged is of none."""
    try:
        return note.exists() and bool(read_json(note) == job)
    except StoreError:
        return False


def save_best(folder: Path, learner: Learner) -> None:
    """Write the learned part's weights (its moving average, where there is one)."""
    part = temporary(folder / BEST)
    with disk_errors(folder):
        save_file({name: value.contiguous() for name, value in final_state(learner).items()}, part)
        certify(part, folder / BEST)


def load_best(folder: Path, learner: Learner) -> None:
    """Load the weights of the best epoch into the learner."""
    put_state(learner, load_file(folder / BEST))


def load_epoch(folder: Path, learner: Learner) -> None:
    """Load the state at the end of the last finished epoch into the learner."""
    checkpoint = torch.load(folder / EPOCH, map_location="cpu", weights_only=True)
    learner.load_state_dict(checkpoint["state_dict"])
    learner.on_load_checkpoint(checkpoint)


def final_state(learner: Learner) -> dict[str, Tensor]:
    """Return stages and head as they are to be used: the moving average where there is one, else the live values."""
    state = {name: value.detach().cpu() for name, value in learner.network.state_dict().items()}
    if learner.average is not None:
        state |= {name: value.detach().cpu() for name, value in learner.average.average.items()}
    return {name: value.clone() for name, value in state.items()}


@torch.no_grad()
def put_state(learner: Learner, state: dict[str, Tensor]) -> None:
    """Copy the values into the learner in place."""
    own = learner.network.state_dict()
    for name, value in state.items():
        own[name].copy_(value)
