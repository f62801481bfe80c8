"""Training a network from scratch for few-shot learning, on base classes.

Two objectives: *episodes* (prototypical networks, Snell et al. 2017, 1703.05175) and *classes* (classic pretraining:
one linear classifier over all base classes, Chen et al. 2019, 1904.04232). Both are validated by nearest-prototype
episodes of the validation classes, and the best step is tested once, by episodes of the novel classes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import RunFailed, SpecError, choose
from headstart.fewshot.class_split import ClassSplit
from headstart.fewshot.embedding import embed, pixels_of
from headstart.fewshot.episodes import Episodes, sample_episodes
from headstart.fewshot.scores import EpisodeScores, evaluate_episodes
from headstart.fewshot.training_state import TrainingIdentity, load_state, save_state
from headstart.models.backbone import Backbone
from headstart.progress import progress


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained for few-shot learning.

    Args:
        objective: "episodes" or "classes".
        steps: optimiser steps.
        ways, shots, queries: of training episodes.
        batch_size: of the "classes" objective.
        lr: of Adam, decaying to zero along a cosine.
        flip: mirror each image at random.
        validate_every: steps between validations; the state is saved then.
        test_ways, test_shots, test_queries: of validation and test episodes.
        validation_episodes, test_episodes: how many.
        seed: of episodes, batches and mirroring: step i depends on (seed, i) only.
    """

    objective: str = "episodes"
    steps: int = 2000
    ways: int = 10
    shots: int = 5
    queries: int = 10
    batch_size: int = 128
    lr: float = 1e-3
    flip: bool = True
    validate_every: int = 100
    test_ways: int = 5
    test_shots: int = 5
    test_queries: int = 15
    validation_episodes: int = 600
    test_episodes: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        choose("few-shot objective", self.objective, OBJECTIVES)
        if self.steps < 1 or self.validate_every < 1 or self.batch_size < 2 or not self.lr > 0:
            raise SpecError(
                f"steps {self.steps}, validate_every {self.validate_every}, batch_size {self.batch_size},"
                f" lr {self.lr}: steps and validate_every must be at least 1, batch_size 2, lr above 0"
            )


@dataclass(frozen=True)
class TrainedEmbedding:
    """The result of training.

    Args:
        backbone: with the weights of the best step, in evaluation mode.
        history: one row per validation: step, loss, train_accuracy, validation_accuracy, lr, seconds.
        best_step: where validation was best.
        test: the scores of the best step on novel classes.
        untrained: the scores of the network before its first step, on the same episodes.
    """

    backbone: Backbone
    history: list[dict[str, int | float]]
    best_step: int
    test: EpisodeScores
    untrained: EpisodeScores


def train_embedding(
    backbone: Backbone,
    images: Any,
    labels: Int[np.ndarray, " n"],
    split: ClassSplit,
    options: TrainingOptions | None = None,
    *,
    folder: Path | None = None,
    device: str | torch.device = "cpu",
    class_names: tuple[str, ...] | None = None,
) -> TrainedEmbedding:
    """Train the backbone on the base classes; after a crash, the same call continues from the last validation.

    Args:
        backbone: trained in place.
        images: uint8 [n, h, w, 3], or any object that returns uint8 [h, w, 3] by row.
        labels: [n] class of each row.
        split: base, validation and novel classes.
        options: how the network is trained.
        folder: where the state is saved; None: it is not saved.
        device: where the network runs.
        class_names: for messages.

    Raises:
        DataError: a class with too few images for its episodes, before any work.
        StoreError: the folder contains another job's state.
        RunFailed: the loss became NaN.
    """
    options = options or TrainingOptions()
    tasks = _Tasks.of(labels, split, options, class_names)
    backbone.to(device)
    torch.manual_seed(options.seed)
    head = nn.Linear(backbone.feature_dim, len(split.base)).to(device)
    module = nn.ModuleDict({"backbone": backbone, "head": head})
    trainer = _Trainer(module, torch.optim.Adam(module.parameters(), lr=options.lr), images, options, device)
    job = TrainingIdentity(asdict(options), backbone.name, labels, split)
    state = load_state(folder, job, module, trainer.optimizer) if folder else None
    if state is None:
        state = _first_state(backbone, judge_on(backbone, images, tasks.novel, device))
    steps = islice(OBJECTIVES[options.objective](tasks.train, labels, split, options), state["step"], None)
    with progress(f"Training {backbone.name}", options.steps, "steps") as ticker:
        ticker.advance(state["step"])
        while state["step"] < options.steps:
            count = min(options.validate_every, options.steps - state["step"])
            row = _to_next_validation(trainer, steps, state, count, tasks.validation)
            if folder:
                save_state(folder, job, module, trainer.optimizer, state)
            ticker.advance(count, f"validation {row['validation_accuracy']:.3f}")
    backbone.load_state_dict(state["best"])
    backbone.eval()
    test = judge_on(backbone, images, tasks.novel, device)
    untrained = EpisodeScores("untrained", state["untrained"].numpy(), test.classes, 0.0)
    return TrainedEmbedding(backbone, state["history"], state["best_step"], test, untrained)


def judge_on(backbone: Backbone, images: Any, episodes: Episodes, device: str | torch.device = "cpu") -> EpisodeScores:
    """Return the network's nearest-prototype scores; only images of the episodes' classes are embedded."""
    rows = np.sort(episodes.rows)
    features = np.zeros((len(episodes.labels), backbone.feature_dim), dtype=np.float32)
    features[rows] = embed(backbone, images, rows, device)
    return evaluate_episodes(features, episodes, ["prototypes"], device=device)["prototypes"]


@dataclass(frozen=True)
class _Tasks:
    """The episodes of training (None for the "classes" objective), validation and test."""

    train: Episodes | None
    validation: Episodes
    novel: Episodes

    @classmethod
    def of(
        cls, labels: np.ndarray, split: ClassSplit, options: TrainingOptions, names: tuple[str, ...] | None
    ) -> _Tasks:
        def judging(classes: tuple[int, ...], count: int) -> Episodes:
            numbers = (options.test_ways, options.test_shots, options.test_queries, count, options.seed + 1)
            return sample_episodes(labels, *numbers, classes=classes, class_names=names)

        train = None
        if options.objective == "episodes":
            numbers = (options.ways, options.shots, options.queries, options.steps, options.seed)
            train = sample_episodes(labels, *numbers, classes=split.base, class_names=names)
        validation = judging(split.validation, options.validation_episodes)
        return cls(train, validation, judging(split.novel, options.test_episodes))


@dataclass(frozen=True)
class _Step:
    """The rows of one step, and their loss given features [b, d]."""

    rows: Int[np.ndarray, " b"]
    targets: Tensor
    shots: int  # 0: the classes objective


def _episode_steps(
    train: Episodes | None, labels: np.ndarray, split: ClassSplit, options: TrainingOptions
) -> Iterator[_Step]:
    assert train is not None
    for batch in train.batches(1):
        rows = np.concatenate([batch.support[0], batch.query[0]])
        yield _Step(rows, torch.from_numpy(batch.query_ways[0].copy()), options.shots)


def _class_steps(
    train: Episodes | None, labels: np.ndarray, split: ClassSplit, options: TrainingOptions
) -> Iterator[_Step]:
    base = np.asarray(split.base)
    pool = np.flatnonzero(np.isin(labels, base))
    for step in range(options.steps):
        generator = np.random.default_rng([options.seed, 1, step])
        rows = generator.choice(pool, size=min(options.batch_size, len(pool)), replace=False)
        yield _Step(rows, torch.from_numpy(np.searchsorted(base, labels[rows])), 0)


OBJECTIVES = {"episodes": _episode_steps, "classes": _class_steps}


def _logits(step: _Step, features: Tensor, head: nn.Module, ways: int) -> Tensor:
    """Class logits of the queries (episodes) or of all images (classes)."""
    if not step.shots:
        logits: Tensor = head(features)
        return logits
    support, query = features[: ways * step.shots], features[ways * step.shots :]
    prototypes = support.view(ways, step.shots, -1).mean(dim=1)
    return -torch.cdist(query, prototypes, compute_mode="donot_use_mm_for_euclid_dist").square()


@dataclass(frozen=True)
class _Trainer:
    """A network with the head of the "classes" objective, and what trains both."""

    module: nn.ModuleDict
    optimizer: torch.optim.Optimizer
    images: Any
    options: TrainingOptions
    device: str | torch.device

    @property
    def backbone(self) -> Backbone:
        backbone = self.module["backbone"]
        assert isinstance(backbone, Backbone)
        return backbone

    def train(self, steps: Iterator[_Step], first: int, count: int) -> dict[str, float]:
        """Take `count` steps; return their mean loss and accuracy."""
        self.module.train()
        losses, right = [], []
        rate = self.options.lr
        for number, step in enumerate(islice(steps, count), start=first):
            rate = self.options.lr * 0.5 * (1 + float(np.cos(np.pi * number / self.options.steps)))
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            targets = step.targets.to(self.device)
            logits = _logits(step, self.backbone(self._pixels(step, number)), self.module["head"], self.options.ways)
            loss = functional.cross_entropy(logits, targets)
            if not bool(torch.isfinite(loss)):
                raise RunFailed(f"the loss at step {number} is {loss.item()}; lower lr ({self.options.lr})")
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            losses.append(loss.item())
            right.append(float((logits.argmax(dim=1) == targets).float().mean()))
        return {"loss": float(np.mean(losses)), "train_accuracy": float(np.mean(right)), "lr": rate}

    def _pixels(self, step: _Step, number: int) -> Tensor:
        """Return the step's images, each mirrored with probability ½ where the options say so."""
        pixels = pixels_of(self.images, step.rows, self.backbone, self.device)
        if not self.options.flip:
            return pixels
        mirror = np.random.default_rng([self.options.seed, 2, number]).random(len(pixels)) < 0.5
        where = torch.from_numpy(mirror).to(self.device).view(-1, 1, 1, 1)
        return torch.where(where, pixels.flip(3), pixels)


def _to_next_validation(
    trainer: _Trainer, steps: Iterator[_Step], state: dict[str, Any], count: int, validation: Episodes
) -> dict[str, float]:
    """Train for `count` steps, validate, note the result in the state and return it."""
    started = time.perf_counter()
    row = trainer.train(steps, state["step"], count)
    state["step"] += count
    row["validation_accuracy"] = judge_on(trainer.backbone, trainer.images, validation, trainer.device).mean
    row["seconds"] = time.perf_counter() - started
    _note(state, row, trainer.backbone)
    return row


def _first_state(backbone: Backbone, untrained: EpisodeScores) -> dict[str, Any]:
    return {
        "step": 0,
        "best_step": 0,
        "best_accuracy": -1.0,
        "best": _copied(backbone),
        "history": [],
        "untrained": torch.from_numpy(untrained.accuracy),
    }


def _note(state: dict[str, Any], row: dict[str, float], backbone: Backbone) -> None:
    state["history"].append({"step": state["step"], **row})
    if row["validation_accuracy"] > state["best_accuracy"]:
        state["best_accuracy"] = row["validation_accuracy"]
        state["best_step"] = state["step"]
        state["best"] = _copied(backbone)


def _copied(backbone: Backbone) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in backbone.state_dict().items()}
