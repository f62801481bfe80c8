"""Fine-tuning: a job in, a trained network and its history out; interrupted and run again it gives the same bits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from headstart.devices import default_device
from headstart.errors import DataError, SpecError, unknown_name
from headstart.models.adapt import merge_lora
from headstart.models.backbone import Backbone
from headstart.models.freeze import fingerprint
from headstart.models.heads import LinearHead
from headstart.models.network import Network
from headstart.progress import progress
from headstart.storage.opening import default_store
from headstart.storage.store import Store, array_digest, content_key
from headstart.transfer.augment.augment import Augmenter
from headstart.transfer.augment.counter_rng import number
from headstart.transfer.finetune.checkpoint import (
    Keeper,
    Progress,
    claim_folder,
    final_state,
    load_best,
    load_epoch,
    put_state,
)
from headstart.transfer.finetune.freezing import check_kept, kept_digests, prepare
from headstart.transfer.finetune.inputs import (
    Leg,
    LegFetch,
    Route,
    Sources,
    activation_bytes,
    build_leg,
    free_bytes,
    images_key,
    plan_routes,
)
from headstart.transfer.finetune.lightning_module import Learner, Row
from headstart.transfer.finetune.loader import Batches, Order
from headstart.transfer.finetune.losses import class_weights
from headstart.transfer.finetune.malloc import large_blocks_kept
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.finetune.trainer_setup import (
    LOGGERS,
    accelerator,
    open_loggers,
    own_randomness,
    quiet,
    several,
)
from headstart.transfer.strategy import Resolved, Strategy, check_size, resolve

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
        folder: for checkpoints and logs; a killed job goes on from what is there.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        devices: how many devices (DDP) or processes on the CPU.
        store: where activations of frozen prefixes are kept.
        initial_head: features -> logits to start from, such as a fitted linear probe.
        train_images: larger pictures for random crops in training; default `images`.
        stop_after: end after so many epochs of the recipe's course (the chosen epoch, for a refit).
        checkpoint_every: seconds between checkpoints inside an epoch.
        loggers: "csv" and "tensorboard", written below `folder`.
        workers: threads that prepare batches; None chooses by device. Results do not depend on it.
        store_activations: False runs frozen prefixes in every epoch (for comparison).
        on_epoch: called with each row of the history once its epoch can be taken up again (rows of a training that is
            taken up again come first); what it raises ends the training.
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
    stop_after: int | None = None
    checkpoint_every: float = 60.0
    loggers: tuple[str, ...] = ("csv",)
    workers: int | None = None
    store_activations: bool = True
    on_epoch: Callable[[Row], None] | None = None


@dataclass(frozen=True)
class TuneResult:
    """What came out.

    Args:
        network: on the CPU, in evaluation mode.
        history: a row an epoch: epoch (from 1), train_loss, train_accuracy, validation_loss,
            validation_accuracy (None without validation), lr (at the epoch's last step), seconds.
        best_epoch: the epoch that `network` comes from, counted from 1.
        notes: what the reader of the run must know.
        seconds: of training, over all attempts.
        images_per_second: training images, over all epochs.
        learned_parameters, total_parameters: numbers of values; LoRA's additions count as learned only.
        routes: how each phase got its inputs.
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


def finetune(job: TuneJob) -> TuneResult:
    """Train, and return the network of the best epoch on validation (without validation, of the last).

    Raises:
        DataError: too few images or classes, labels that do not fit.
        ModelError: stages or image sizes that do not fit.
        SpecError: settings that exclude each other.
        RunFailed: the loss is no longer finite, or one image does not fit into memory.
    """
    check_job(job)
    device = default_device() if job.device == "auto" else job.device
    learner, routes = make_learner(job, device)
    resume = claim_folder(job.folder, _identity(job))
    statistics = job.recipe.norm_statistics
    before = kept_digests(learner.resolved, learner.groups, statistics=statistics)
    _fit(job, learner, learner.batches, learner.checked, device, resume)
    learner.cpu()
    check_kept(learner.resolved, learner.groups, before, statistics=statistics)
    return _result(job, learner, routes)


def make_learner(job: TuneJob, device: str) -> tuple[Learner, list[Route]]:
    """Return what learns, with its inputs in place, and how each phase gets them; what is stored is computed here."""
    resolved = resolve(job.strategy, copy.deepcopy(job.backbone.bare()), job.recipe.epochs)
    preprocessing = resolved.backbone.preprocessing
    check_size(resolved.backbone, preprocessing.size)
    sources = _sources(job, resolved, device)
    routes = _routes(job, resolved)
    legs = [build_leg(route, resolved, sources) for route in routes]
    resolved, groups = prepare(resolved, job.seed)
    head = copy.deepcopy(job.initial_head) if job.initial_head is not None else new_head(job, resolved)
    for module in (resolved.backbone, head):
        module.to(memory_format=torch.channels_last)
    train, validation = _loaders(job, legs, device)
    learner = Learner(
        resolved,
        groups,
        head,
        job.recipe,
        legs,
        preprocessing,
        class_weights=class_weights(job.recipe.class_weights, job.labels[job.train], job.classes),
        classes=job.classes,
        seed=job.seed,
        batches=train,
        checked=validation,
        on_epoch=job.on_epoch,
    )
    return learner, routes


def describe_plan(strategy: Strategy, recipe: Recipe, backbone: Backbone, images: int) -> str:
    """Return one line for each phase: what is learned, and whether the frozen prefix is stored and why."""
    resolved = resolve(strategy, backbone, recipe.epochs)
    routes = plan_routes(resolved, recipe, free_bytes(), activation_bytes(resolved, images))
    lines = []
    for route in routes:
        names = ", ".join(name for name in route.phase.trainable if name in {g.name for g in resolved.groups})
        what = f"additions to {names} and the head" if resolved.additions else (names + ", head" if names else "head")
        lines.append(f"from epoch {route.phase.start + 1}: learns {what}; {route.mode}: {route.reason}")
    return "\n".join(lines)


def check_job(job: TuneJob) -> None:
    """Refuse what cannot be trained.

    Raises:
        DataError, SpecError: one line each.
    """
    recipe, n = job.recipe, len(job.train)
    if n < recipe.batch_size:
        raise DataError(
            f"{n} training images are fewer than one batch of {recipe.batch_size}; set batch_size: {n} or less"
        )
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
    device = default_device() if job.device == "auto" else job.device
    if recipe.precision == "16-mixed" and not device.startswith("cuda"):
        raise SpecError("recipe: precision 16-mixed needs a CUDA device; use bf16-mixed or 32")
    if job.devices > 1 and job.strategy.kind in ("gradual", "lp_ft"):
        raise SpecError(f"strategy {job.strategy.kind!r} changes what is learned on its way and needs devices: 1")
    for name in job.loggers:
        if name not in LOGGERS:
            raise SpecError(unknown_name("logger", name, LOGGERS))
    if recipe.early_stopping is not None and len(job.validation) == 0:
        raise SpecError("recipe: early_stopping needs validation images")


def new_head(job: TuneJob, resolved: Resolved) -> LinearHead:
    """Return a linear head: zeros on a pretrained network, small random weights from the seed for `scratch`."""
    dim = resolved.backbone.feature_dim
    head = LinearHead(dim, job.classes, multi_label=job.labels.ndim == 2)
    if job.strategy.kind == "scratch":
        draw = torch.Generator().manual_seed(number(job.seed, "head"))
        with torch.no_grad():
            head.weight.uniform_(-(dim**-0.5), dim**-0.5, generator=draw)
    return head


def _identity(job: TuneJob) -> dict[str, Any]:
    """Return what the training depends on; a folder with another identity is not resumed."""
    head = job.initial_head
    values = {
        "strategy": asdict(job.strategy),
        "recipe": asdict(job.recipe),
        "backbone": [job.backbone.name, fingerprint(job.backbone.stages)],
        "head": fingerprint(head) if head is not None else None,
        "images": images_key(job.images),
        "data": [array_digest(array) for array in (job.labels, job.train, job.validation)],
        "seed": job.seed,
        "stop_after": job.stop_after,
        "devices": job.devices,
    }
    return {"key": content_key(values)}


def _sources(job: TuneJob, resolved: Resolved, device: str) -> Sources:
    size = resolved.backbone.preprocessing.size
    names = job.recipe.pixel_augment
    return Sources(
        images=job.images,
        train_images=job.images if job.train_images is None else job.train_images,
        train=job.train,
        validation=job.validation,
        preprocessing=resolved.backbone.preprocessing,
        augmenter=Augmenter(names, job.recipe.augment_options, job.seed, size) if names else None,
        store=job.store or default_store(),
        device=device,
    )


def _routes(job: TuneJob, resolved: Resolved) -> list[Route]:
    available = free_bytes(job.store) if job.store_activations else 0.0
    sizes = activation_bytes(resolved, len(job.images))
    return plan_routes(resolved, job.recipe, available, sizes)


def _loaders(job: TuneJob, legs: list[Leg], device: str) -> tuple[Batches, Batches | None]:
    recipe, train = job.recipe, job.train
    weights = None
    if recipe.balanced_sampling:
        counts = np.bincount(job.labels[train].astype(np.int64), minlength=job.classes)
        weights = 1.0 / counts[job.labels[train].astype(np.int64)]

    threads = job.workers if job.workers is not None else (0 if device == "cpu" else 4)
    order = Order(train, recipe.batch_size * recipe.accumulate, job.seed, weights)
    batches = Batches(order, LegFetch(legs, True), job.labels, threads)
    if len(job.validation) == 0:
        return batches, None
    plain = Order(job.validation, recipe.batch_size)
    return batches, Batches(plain, LegFetch(legs, False), job.labels, threads, follows=batches)


def _fit(
    job: TuneJob, learner: Learner, train: Batches, validation: Batches | None, device: str, resume: Path | None
) -> None:
    epochs = min(job.recipe.epochs, job.stop_after or job.recipe.epochs)
    kind, chosen = accelerator(device, job.devices)
    title = f"training {job.backbone.name}"
    with progress(title, epochs * len(job.train)) as ticker, quiet(), own_randomness(), large_blocks_kept():
        trainer = pl.Trainer(
            accelerator=kind,
            devices=chosen,
            precision=job.recipe.precision,  # type: ignore[arg-type]
            max_epochs=epochs,
            logger=open_loggers(job.loggers, job.folder),
            callbacks=[Keeper(job.folder, job.checkpoint_every), Progress(ticker)],
            strategy=several(device) if job.devices > 1 else "auto",
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            default_root_dir=job.folder,
        )
        trainer.fit(learner, train, validation, ckpt_path=resume, weights_only=True)
    if job.devices > 1:  # it ran in other processes: take what they kept
        load_epoch(job.folder, learner)


def _result(job: TuneJob, learner: Learner, routes: list[Route]) -> TuneResult:
    resolved, history = learner.resolved, learner.history
    learned = sum(p.numel() for g in learner.groups for p in g.parameters)
    learned += sum(p.numel() for p in learner.head.parameters())
    total = sum(p.numel() for unit in resolved.units for p in unit.parameters)
    total += sum(p.numel() for p in learner.head.parameters())
    best = int(history[-1]["epoch"] or 0)
    if learner.best is not None:
        best = learner.best[1]
        load_best(job.folder, learner)
    elif learner.average is not None:
        put_state(learner, final_state(learner))
    if resolved.additions:
        merge_lora(resolved.backbone.stages)
    backbone = resolved.backbone.requires_grad_(True)
    network = Network(backbone, learner.head).eval()
    seconds = sum(float(row["seconds"] or 0) for row in history)
    notes = [*learner.notes, *(f"{route.mode}: {route.reason}" for route in routes if route.mode != "pixels")]
    if len(job.validation) == 0:
        notes.append(f"no validation images: the last epoch ({best}) is used")
    return TuneResult(
        network=network,
        history=history,
        best_epoch=best,
        notes=notes,
        seconds=seconds,
        images_per_second=len(job.train) * len(history) / seconds if seconds else 0.0,
        learned_parameters=learned,
        total_parameters=total,
        routes=routes,
    )
