"""A learner with its inputs, made from a job."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from headstart.models.heads import LinearHead
from headstart.models.preprocessing import Preprocessing
from headstart.storage.opening import default_store
from headstart.transfer.augment.augment import Augmenter
from headstart.transfer.augment.counter_rng import number
from headstart.transfer.finetune.distillation import DistillationObjective, SoftFetch
from headstart.transfer.finetune.freezing import prepare
from headstart.transfer.finetune.inputs import Leg, LegFetch, Sources, build_leg
from headstart.transfer.finetune.job import TuneJob
from headstart.transfer.finetune.learned_network import LearnedNetwork
from headstart.transfer.finetune.learner import Learner
from headstart.transfer.finetune.loader import Batches, Order
from headstart.transfer.finetune.losses import class_weights
from headstart.transfer.finetune.objective import Objective
from headstart.transfer.finetune.routes import Route, activation_bytes, free_bytes, plan_routes
from headstart.transfer.strategy import Resolved, check_size, resolve


def make_learner(job: TuneJob, device: str) -> tuple[Learner, list[Route]]:
    """Return the learner of a job with its inputs, and how each phase gets them; activations are stored here."""
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
    network = LearnedNetwork(
        resolved,
        groups,
        head,
        legs,
        preprocessing,
        dropout=job.recipe.dropout,
        statistics=job.recipe.norm_statistics,
    )
    weights = class_weights(job.recipe.class_weights, job.labels[job.train], job.classes)
    objective = _objective(job, weights, preprocessing)
    options: dict[str, Any] = {"seed": job.seed, "batches": train, "checked": validation, "on_epoch": job.on_epoch}
    learner = Learner(network, objective, job.recipe, metric=job.metric, **options)
    return learner, routes


def new_head(job: TuneJob, resolved: Resolved) -> LinearHead:
    """Return a linear head: zeros on a pretrained network, small random weights from the seed for `scratch`."""
    dim = resolved.backbone.feature_dim
    head = LinearHead(dim, job.classes, multi_label=job.labels.ndim == 2)
    if job.strategy.kind == "scratch":
        draw = torch.Generator().manual_seed(number(job.seed, "head"))
        with torch.no_grad():
            head.weight.uniform_(-(dim**-0.5), dim**-0.5, generator=draw)
    return head


def _objective(job: TuneJob, weights: torch.Tensor | None, preprocessing: Preprocessing) -> Objective:
    arguments = (job.recipe, job.classes, weights, preprocessing, job.seed)
    if job.distillation is None:
        return Objective(*arguments)
    return DistillationObjective(*arguments, distillation=job.distillation)


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
        view_rows=job.view_rows,
    )


def _routes(job: TuneJob, resolved: Resolved) -> list[Route]:
    available = free_bytes(job.store) if job.store_activations else 0.0
    sizes = activation_bytes(resolved, len(job.images))
    return plan_routes(resolved, job.recipe, available, sizes)


def _loaders(job: TuneJob, legs: list[Leg], device: str) -> tuple[Batches, Batches | None]:
    recipe, train = job.recipe, job.train
    weights = None
    if recipe.balanced_sampling:
        labels = job.labels[train].astype(np.int64)
        weights = 1.0 / np.bincount(labels, minlength=job.classes)[labels]
    threads = job.workers if job.workers is not None else (0 if device == "cpu" else 4)
    order = Order(train, recipe.batch_size * recipe.accumulate, job.seed, weights)
    inputs = LegFetch(legs, True)
    soft = None if job.distillation is None else SoftFetch(inputs, job.distillation)
    batches = Batches(order, inputs, job.labels, threads, soft=soft)
    if len(job.validation) == 0:
        return batches, None
    plain = Order(job.validation, recipe.batch_size)
    return batches, Batches(plain, LegFetch(legs, False), job.labels, threads, follows=batches)
