"""Tune the network itself in every episode: Dhillon et al. 2020, A baseline for few-shot image classification
(1909.02729), without its transductive term. Each episode starts from the same weights, its head as the nearest
prototype of the support set."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import RunFailed, SpecError
from headstart.fewshot.embedding import pixels_of
from headstart.fewshot.episodes import EpisodeBatch, Episodes
from headstart.fewshot.scores import EpisodeScores
from headstart.models.backbone import INPUT, Backbone
from headstart.progress import progress

NAME = "finetune"
_MARGIN = 4.0  # logits between classes at the start


@dataclass(frozen=True)
class FinetuneOptions:
    """How a network is tuned on the support set.

    Args:
        epochs: passes over the support set.
        batch_size: images per step.
        lr, head_lr: of the network and of the new head (AdamW).
        weight_decay: of both.
        freeze_until: the stage up to which nothing is learned; "input" learns everything.
        learn_statistics: let batch norm adapt to the support set; by default it keeps the source's statistics.
        flip: mirror images at random.
    """

    epochs: int = 20
    batch_size: int = 25
    lr: float = 3e-5
    head_lr: float = 1e-3
    weight_decay: float = 1e-4
    freeze_until: str = INPUT
    learn_statistics: bool = False
    flip: bool = True

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise SpecError(f"epochs {self.epochs}, batch_size {self.batch_size}: each must be at least 1")


def finetune_episodes(
    backbone: Backbone,
    images: Any,
    episodes: Episodes,
    options: FinetuneOptions | None = None,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> EpisodeScores:
    """Tune a copy of the backbone and a new head on each support set, and evaluate it on the queries.

    Args:
        backbone: where each episode starts; it is not changed.
        images: uint8 [n, h, w, 3], or any object that returns uint8 [h, w, 3] by row.
        episodes: over those rows.
        options: how the network is tuned.
        seed: of the order of images and of mirroring; episode i depends on (seed, i) only.
        device: where the network runs.

    Raises:
        ModelError: `freeze_until` is not a stage of the backbone.
        RunFailed: the loss of an episode became NaN.
    """
    options = options or FinetuneOptions()
    backbone.index(options.freeze_until)
    accuracy = np.empty(len(episodes), dtype=np.float32)
    classes = np.empty((len(episodes), episodes.ways), dtype=np.int64)
    started = time.perf_counter()
    with progress("Tuning in each episode", len(episodes), "episodes") as ticker:
        for batch in episodes.batches(1):
            learned = _tune(backbone, images, batch, episodes.shots, options, (seed, batch.first), device)
            classes[batch.first] = batch.classes[0]
            accuracy[batch.first] = _judge(learned, backbone, images, batch, device)
            ticker.advance(1, f"accuracy so far {accuracy[: batch.first + 1].mean():.3f}")
    return EpisodeScores(NAME, accuracy, classes, time.perf_counter() - started)


def _tune(
    backbone: Backbone,
    images: Any,
    batch: EpisodeBatch,
    shots: int,
    options: FinetuneOptions,
    seed: tuple[int, int],
    device: str | torch.device,
) -> nn.Module:
    """Return a network, images to logits, tuned on one support set."""
    prefix, tail = copy.deepcopy(backbone).to(device).cut(options.freeze_until)
    ways = batch.classes.shape[1]
    pixels = pixels_of(images, batch.support[0], backbone, device)
    plain, mirrored = _frozen(prefix.eval(), pixels), _frozen(prefix, pixels.flip(3)) if options.flip else None
    head = _prototype_head(_frozen(tail.eval(), plain), ways)
    tail.train()
    if not options.learn_statistics:
        for module in tail.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
    groups = [{"params": head.parameters(), "lr": options.head_lr}]
    if tail_parameters := list(tail.parameters()):
        groups.append({"params": tail_parameters, "lr": options.lr})
    optimizer = torch.optim.AdamW(groups, weight_decay=options.weight_decay)
    labels = torch.arange(ways, device=device).repeat_interleave(shots)
    generator = np.random.default_rng(seed)
    with torch.enable_grad():
        for _ in range(options.epochs):
            for rows in _batches(generator, len(labels), options.batch_size):
                inputs = _mirrored(generator, plain[rows], None if mirrored is None else mirrored[rows])
                loss = functional.cross_entropy(head(tail(inputs)), labels[rows])
                if not bool(torch.isfinite(loss)):
                    raise RunFailed(f"the loss of episode {batch.first} is {loss.item()}; lower lr ({options.lr})")
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return nn.Sequential(prefix, tail, head).eval()


def _prototype_head(features: Tensor, ways: int) -> nn.Linear:
    """A linear head that scores by minus the squared distance to the class means, with margins of a few logits."""
    prototypes = features.view(ways, -1, features.shape[1]).mean(dim=1)
    apart = torch.pdist(prototypes).square().mean().clamp_min(1e-12)
    head = nn.Linear(features.shape[1], ways).to(features.device)
    with torch.no_grad():
        head.weight.copy_(2 * _MARGIN / apart * prototypes)
        head.bias.copy_(-_MARGIN / apart * prototypes.square().sum(dim=1))
    return head


def _frozen(prefix: nn.Module, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        activations: Tensor = prefix(pixels)
    return activations


def _batches(generator: np.random.Generator, count: int, size: int) -> list[Tensor]:
    order = torch.from_numpy(generator.permutation(count))
    return [order[start : start + size] for start in range(0, count, size)]


def _mirrored(generator: np.random.Generator, plain: Tensor, mirrored: Tensor | None) -> Tensor:
    if mirrored is None:
        return plain
    which = torch.from_numpy(generator.random(len(plain)) < 0.5).to(plain.device)
    return torch.where(which.view(-1, *(1,) * (plain.dim() - 1)), mirrored, plain)


def _judge(
    network: nn.Module, backbone: Backbone, images: Any, batch: EpisodeBatch, device: str | torch.device
) -> float:
    with torch.inference_mode():
        predicted = network(pixels_of(images, batch.query[0], backbone, device)).argmax(dim=1).cpu().numpy()
    return float((predicted == batch.query_ways[0]).mean())
