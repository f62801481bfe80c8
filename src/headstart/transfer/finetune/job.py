"""A training job, what it returns, and the checks before it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from headstart.devices import default_device
from headstart.errors import DataError, SpecError, unknown_name
from headstart.models.backbone import Backbone
from headstart.models.freeze import fingerprint
from headstart.models.network import Network
from headstart.storage.store import Store, array_digest, content_key
from headstart.transfer.finetune.distillation import Distillation
from headstart.transfer.finetune.history import Row
from headstart.transfer.finetune.inputs import key_of_images
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.finetune.routes import Route
from headstart.transfer.strategy import Strategy

LOGGERS = ("csv", "tensorboard")
Labels = npt.NDArray[np.int64] | npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TuneJob:
    """One training.

    Args:
        backbone: the network to start from; it is copied, never changed.
        strategy, recipe: what is learned, and how.
        images: gives uint8 [h, w, 3] by row (headstart's ImageArray, or any sequence).
        labels: int64 [n], or bool [n, classes] for several labels an image.
        classes: C.
        train, validation: rows; without validation the last epoch is kept.
        seed: of order, augmentation, dropout and the new head.
        folder: for checkpoints and logs; a job that was killed is resumed from them.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        devices: how many devices (DDP) or processes on the CPU.
        store: where activations of frozen prefixes are stored.
        initial_head: features -> logits to start from, such as a fitted linear probe.
        train_images: larger pictures for random crops in training; default `images`.
        view_rows: rows whose augmented views are stored where the strategy stores views, `train` among them; default
            `train`. A training that is repeated on more rows names all of them, so that each view is computed once.
        stop_after: end after so many epochs of the recipe's schedule (the chosen epoch, for a refit); 0 trains nothing.
        checkpoint_every: seconds between checkpoints inside an epoch.
        loggers: "csv" and "tensorboard", written below `folder`.
        workers: threads that prepare batches; None chooses by device. Results do not depend on it.
        store_activations: False runs frozen prefixes in every epoch (for comparison).
        on_epoch: called with each row of the history once the training can be resumed after its epoch (the rows of a
            resumed training come first); an exception that it raises ends the training.
        distillation: the teacher, whose soft labels are learned; images without a label of their own have label -1.
        metric: decides the best epoch on validation where the recipe monitors the score; a name in METRICS.
    """

    backbone: Backbone
    strategy: Strategy
    recipe: Recipe
    images: Any
    labels: Labels
    classes: int
    train: Rows
    validation: Rows
    seed: int
    folder: Path
    device: str = "auto"
    devices: int = 1
    store: Store | None = None
    initial_head: nn.Module | None = None
    train_images: Any = None
    view_rows: Rows | None = None
    stop_after: int | None = None
    checkpoint_every: float = 60.0
    loggers: tuple[str, ...] = ("csv",)
    workers: int | None = None
    store_activations: bool = True
    on_epoch: Callable[[Row], None] | None = None
    metric: str = "accuracy"
    distillation: Distillation | None = None


@dataclass(frozen=True)
class TuneResult:
    """A trained network and its history.

    Args:
        network: on the CPU, in evaluation mode.
        history: a row an epoch: epoch (from 1), train_loss, train_accuracy, validation_loss,
            validation_accuracy (None without validation), validation_score (of a metric other than accuracy), lr (at
            the epoch's last step), seconds.
        best_epoch: the epoch that `network` comes from, counted from 1; 0 is the network that training started from.
        notes: what the reader of the run must know.
        seconds: of training, over all attempts.
        images_per_second: training images, over all epochs.
        learned_parameters, total_parameters: numbers of values; LoRA's additions count as learned only.
        routes: how each phase got its inputs.
        start: validation_loss and validation_accuracy before the first step; None without validation images.
    """

    network: Network
    history: list[Row]
    best_epoch: int
    notes: list[str]
    seconds: float
    images_per_second: float
    learned_parameters: int
    total_parameters: int
    routes: list[Route] = field(default_factory=list)
    start: Row | None = None


def device_of(job: TuneJob) -> str:
    """Return the device that the job runs on; "auto" takes the fastest."""
    return default_device() if job.device == "auto" else job.device


def check_job(job: TuneJob) -> None:
    """Check that this job can be trained.

    Raises:
        DataError, SpecError: one line each.
    """
    n, size = len(job.train), job.recipe.batch_size
    if n < size:
        raise DataError(f"{n} training images are fewer than one batch of {size}; set batch_size: {n} or less")
    _check_labels(job)
    _check_settings(job)
    if job.distillation is not None:
        _check_distillation(job)


def _check_distillation(job: TuneJob) -> None:
    if job.labels.ndim == 2 or job.recipe.class_weights is not None:
        raise SpecError("a teacher's soft labels are of one label an image, without class_weights; drop the teacher")
    if job.recipe.balanced_sampling and int(job.labels[job.train].min()) < 0:
        raise SpecError("recipe: balanced_sampling needs the label of every training image; some have none here")


def _check_labels(job: TuneJob) -> None:
    recipe = job.recipe
    several = job.labels.ndim == 2
    if several and recipe.loss != "bce":
        raise SpecError("images with several labels need recipe loss: bce")
    if not several and recipe.loss == "bce":
        raise SpecError("recipe loss bce needs targets with several labels an image; use cross_entropy")
    if job.classes < 2 and not several:
        raise DataError("there is only one class; a classifier needs at least two")
    if not several and len(np.unique(job.labels[job.train])) < 2:
        raise DataError("the training images are all of one class; a classifier needs at least two")
    if not several and int(job.labels[job.train].max()) >= job.classes:
        raise DataError(f"label {int(job.labels[job.train].max())} does not exist: there are {job.classes} classes")
    if isinstance(recipe.class_weights, tuple) and len(recipe.class_weights) != job.classes:
        raise SpecError(f"recipe: class_weights has {len(recipe.class_weights)} numbers for {job.classes} classes")


def _check_settings(job: TuneJob) -> None:
    recipe = job.recipe
    if recipe.precision == "16-mixed" and not device_of(job).startswith("cuda"):
        raise SpecError("recipe: precision 16-mixed needs a CUDA device; use bf16-mixed or 32")
    if job.devices > 1 and job.metric != "accuracy" and recipe.monitor == "validation_score":
        raise SpecError(
            f"the best epoch by {job.metric} needs all outputs in one place: set devices: 1, or the recipe's monitor to"
            " validation_accuracy or validation_loss"
        )
    if job.devices > 1 and job.strategy.kind in ("gradual", "lp_ft"):
        raise SpecError(f"strategy {job.strategy.kind!r} changes what is learned during training and needs devices: 1")
    for name in job.loggers:
        if name not in LOGGERS:
            raise SpecError(unknown_name("logger", name, LOGGERS))
    if recipe.early_stopping is not None and len(job.validation) == 0:
        raise SpecError("recipe: early_stopping needs validation images")


def identity(job: TuneJob) -> dict[str, Any]:
    """Return what the training depends on; the checkpoints of a job with another identity are not resumed."""
    head = job.initial_head
    values = {
        "strategy": asdict(job.strategy),
        "recipe": asdict(job.recipe),
        "backbone": [job.backbone.name, fingerprint(job.backbone.stages)],
        "head": fingerprint(head) if head is not None else None,
        "images": key_of_images(job.images),
        "data": [array_digest(array) for array in (job.labels, job.train, job.validation)],
        "seed": job.seed,
        "stop_after": job.stop_after,
        "devices": job.devices,
        **({} if job.metric == "accuracy" else {"metric": job.metric}),
        **({} if job.distillation is None else {"distillation": job.distillation.identity}),
    }
    return {"key": content_key(values)}
