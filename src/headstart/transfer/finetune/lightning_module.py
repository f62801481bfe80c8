"""The part of the network that learns, as a LightningModule: one optimiser step a batch, measured every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from headstart.errors import RunFailed
from headstart.models.backbone import INPUT
from headstart.models.preprocessing import Preprocessing, normalise
from headstart.transfer.augment.augment import DEFAULTS
from headstart.transfer.augment.counter_rng import generator, number
from headstart.transfer.augment.mixing import mix_batch
from headstart.transfer.finetune.ema import MovingAverage
from headstart.transfer.finetune.freezing import set_modes
from headstart.transfer.finetune.inputs import Inlet, Leg
from headstart.transfer.finetune.loader import Batch, Batches
from headstart.transfer.finetune.losses import LOSSES, correct, total_weight
from headstart.transfer.finetune.optimizers import Settings, build_optimizer
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.schedules import Course, Plateau, factor
from headstart.transfer.strategy import HEAD, Group, Resolved

Row = dict[str, float | int | None]


@dataclass
class Tally:
    """Sums over the samples of an epoch."""

    loss: float = 0.0
    correct: float = 0.0
    count: int = 0

    def add(self, loss: float, right: float, count: int) -> None:
        """Count a batch."""
        self.loss, self.correct, self.count = self.loss + loss, self.correct + right, self.count + count

    def means(self) -> tuple[float | None, float | None]:
        """Return the mean loss and accuracy, or None where nothing was counted."""
        return (self.loss / self.count, self.correct / self.count) if self.count else (None, None)


class Learner(pl.LightningModule):  # type: ignore[misc]
    """Learns the tail of a network and its head.

    Args:
        resolved: the strategy on its network; additions are in place.
        groups: what is learned in the stages.
        head: features -> logits.
        recipe: how.
        legs: inputs by phase.
        preprocessing: of pixels.
        class_weights: [C] or None.
        classes: C.
        seed: of dropout, mixup and CutMix.
        batches: of training; the place in them is part of a checkpoint.
        checked: of validation.
        on_epoch: called with each row of the history once its epoch can be taken up again; what it raises ends
            the training.
    """

    def __init__(
        self,
        resolved: Resolved,
        groups: tuple[Group, ...],
        head: nn.Module,
        recipe: Recipe,
        legs: list[Leg],
        preprocessing: Preprocessing,
        *,
        class_weights: Tensor | None,
        classes: int,
        seed: int,
        batches: Batches,
        checked: Batches | None = None,
        on_epoch: Callable[[Row], None] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.resolved, self.groups, self.recipe, self.legs = resolved, groups, recipe, legs
        self.preprocessing, self.classes, self.seed = preprocessing, classes, seed
        self.batches, self.checked, self.steps = batches, checked, len(batches)
        self.on_epoch = on_epoch
        self.tail = resolved.backbone.cut(resolved.cut)[1]
        self.head = head
        self.drop = nn.Dropout(recipe.dropout)
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.average = MovingAverage(_Learned(self.tail, self.head), recipe.ema) if recipe.ema else None
        self.plateau = Plateau(recipe.step_size, recipe.gamma)
        self.history: list[Row] = []
        self.stopped = False
        self.micro = recipe.batch_size
        self.notes: list[str] = []
        self.best: tuple[tuple[float, float], int] | None = None  # score (higher is better), epoch from 1
        self.improved = False
        self._train, self._validation = Tally(), Tally()
        self._began, self._earlier = time.perf_counter(), 0.0
        self._leg = legs[0]
        self._enter(0)

    # what runs

    def forward(self, activations: Tensor, cut: str = INPUT) -> Tensor:
        """Return logits of activations at a cut."""
        names = [INPUT, *(unit.name for unit in self.resolved.units)]
        for unit in self.resolved.units[names.index(cut) :]:
            activations = unit.module(activations)
        logits: Tensor = self.head(self.drop(activations))
        return logits

    def _logits(self, inputs: Tensor, inlet: Inlet) -> Tensor:
        if inputs.dtype == torch.uint8:
            inputs = normalise(inputs, self.preprocessing)
        if inlet.prefix is not None:
            with torch.no_grad():
                inputs = inlet.prefix(inputs)
        if inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        logits: Tensor = self(inputs, self._leg.phase.cut)
        return logits

    # one step

    def setup(self, stage: str) -> None:
        """Give each of several devices its share of every batch."""
        trainer = self.trainer
        for loader in (self.batches, self.checked):
            if loader is not None:
                loader.order = replace(loader.order, rank=trainer.global_rank, world=trainer.world_size)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the optimiser over stages and head."""
        r = self.recipe
        groups = [(g.name, g.parameters, g.multiplier) for g in self.groups]
        groups.append((HEAD, tuple(self.head.parameters()), r.head_lr_factor))
        fused = self.device.type in ("cpu", "cuda") and r.precision != "16-mixed"
        return build_optimizer(r.optimizer, groups, Settings(r.lr, r.momentum, r.nesterov, r.weight_decay, fused))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Make one optimiser step on a batch, in as many pieces as memory asks for."""
        torch.manual_seed(number(self.seed, batch.epoch, batch.step))
        optimizer = self.optimizers()
        self._set_rates(optimizer, batch)
        targets = self._targets(batch.labels)
        inputs = batch.inputs
        if self.recipe.mixes:
            options = self.recipe.augment_options
            alphas = {m: options.get(m, {}).get("alpha", DEFAULTS[m]["alpha"]) for m in self.recipe.mixes}
            draw = generator(self.seed, batch.epoch, batch.step, "mix")
            inputs, targets = mix_batch(normalise(inputs, self.preprocessing), targets, alphas, draw)
        loss, right = self._in_pieces(optimizer, inputs, targets, batch.labels)
        if not math.isfinite(loss):
            self._fail(batch)
        optimizer.step()
        if self.average is not None:
            self.average.update()
        self._train.add(loss * len(inputs), right, len(inputs))

    def _in_pieces(self, optimizer: Any, inputs: Tensor, targets: Tensor, labels: Tensor) -> tuple[float, float]:
        """Accumulate the gradients of the batch; when memory runs out, halve the pieces and begin it again."""
        while True:
            statistics = [buffer.clone() for buffer in self.tail.buffers()]
            optimizer.zero_grad()
            try:
                return self._accumulate(inputs, targets, labels)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                self._halve(error)
                with torch.no_grad():
                    for buffer, value in zip(self.tail.buffers(), statistics, strict=True):
                        buffer.copy_(value)

    def _accumulate(self, inputs: Tensor, targets: Tensor, labels: Tensor) -> tuple[float, float]:
        pieces = math.ceil(len(inputs) / self.micro)
        whole = total_weight(targets, self.class_weights, self.recipe.loss)
        per_sample = LOSSES[self.recipe.loss]
        loss, right = 0.0, 0.0
        parts = zip(inputs.chunk(pieces), targets.chunk(pieces), labels.chunk(pieces), strict=True)
        for x, target, label in parts:
            logits = self._logits(x, self._leg.train).float()
            part = per_sample(logits, target, self.class_weights, self.recipe.label_smoothing).sum() / whole
            self.manual_backward(part)
            loss += float(part.detach())
            right += float(correct(logits.detach(), label))
        return loss, right

    @property
    def current_loss(self) -> float:
        """Mean training loss of the epoch so far; NaN before its first batch."""
        loss, _ = self._train.means()
        return math.nan if loss is None else loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradients."""
        if self.recipe.clip is not None:
            listed = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(listed, self.recipe.clip)

    def _targets(self, labels: Tensor) -> Tensor:
        if labels.dim() == 2:
            return labels.float()
        return nn.functional.one_hot(labels, self.classes).float()

    def _set_rates(self, optimizer: Any, batch: Batch) -> None:
        share = self._share(batch.epoch + batch.step / self.steps)
        for group in optimizer.param_groups:
            group["lr"] = self.recipe.lr * group["multiplier"] * share

    def _share(self, time_: float) -> float:
        """Return what the peak rate is multiplied by; the probing phase of lp_ft has a course of its own."""
        r, start, end = self.recipe, 0, self.recipe.epochs
        if self.resolved.strategy.kind == "lp_ft" and len(self.legs) == 2:
            border = self.legs[1].phase.start
            start, end = (0, border) if time_ < border else (border, end)
        course = Course(end - start, min(r.warmup_epochs, (end - start) / 2), r.step_size, r.gamma, r.milestones)
        return factor(r.schedule, time_ - start, course, self.steps) * self.plateau.factor

    def _halve(self, error: RuntimeError) -> None:
        if self.micro == 1:
            raise RunFailed("not enough memory for one image at a time; use a smaller input_size or network") from error
        if self.trainer.world_size > 1:
            raise RunFailed(f"not enough memory for batch_size {self.micro} on each device; halve it") from error
        before, self.micro = self.micro, self.micro // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        times = math.ceil(self.recipe.batch_size * self.recipe.accumulate / self.micro)
        self.notes.append(
            f"memory was too small for batches of {before}: {self.micro} at a time,"
            f" gradients accumulated over {times}; batch norm sees {self.micro} images at a time"
        )

    def _fail(self, batch: Batch) -> None:
        last = self.history[-1]["epoch"] if self.history else None
        kept = f"epoch {last} is the last good one and is kept" if last else "no epoch was finished"
        raise RunFailed(
            f"the loss is no longer finite in epoch {batch.epoch + 1}, batch {batch.step + 1} of {self.steps}"
            f" (lr {self.recipe.lr:g}); {kept}; lower lr, add warmup_epochs or set clip: 1"
        )

    # modes and phases

    def train(self, mode: bool = True) -> Learner:
        """Set the mode; what is frozen in the present phase stays in evaluation mode."""
        super().train(mode)
        if mode and hasattr(self, "_leg"):
            set_modes(self.resolved, self.groups, self._leg.phase, statistics=self.recipe.norm_statistics)
        return self

    def _enter(self, epoch: int) -> None:
        """Enter the phase of this epoch: what takes gradients, what is in training mode."""
        self._leg = [leg for leg in self.legs if leg.phase.start <= epoch][-1]
        self.resolved.backbone.requires_grad_(False)
        for group in self.groups:
            for parameter in group.parameters:
                parameter.requires_grad_(group.name in self._leg.phase.trainable)
        self.train()

    def inlet(self, epoch: int, training: bool) -> Inlet:
        """Return where this epoch's inputs come from."""
        leg = [leg for leg in self.legs if leg.phase.start <= epoch][-1]
        return leg.train if training else leg.validation

    # epochs

    def on_train_start(self) -> None:
        """Put frozen prefixes that run on the fly on the device; enter the phase."""
        for leg in self.legs:
            for inlet in (leg.train, leg.validation):
                if inlet.prefix is not None:
                    inlet.prefix.to(self.device).to(memory_format=torch.channels_last).eval()
        if self.average is not None:
            self.average.to(self.device)
        self._enter(self.current_epoch)
        self._began = time.perf_counter()
        self.trainer.should_stop = self.stopped
        for row in self.history:  # of a training that is taken up again
            self.tell(row)

    def on_train_epoch_start(self) -> None:
        """Begin counting."""
        self._enter(self.current_epoch)
        self._train, self._validation = Tally(), Tally()
        self._began, self._earlier = time.perf_counter(), 0.0

    def on_validation_epoch_start(self) -> None:
        """Validate the moving average, where there is one."""
        self._validation = Tally()
        if self.average is not None:
            self.average.swap()

    def on_validation_epoch_end(self) -> None:
        """Go back to the live weights."""
        if self.average is not None:
            self.average.swap()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count one batch."""
        logits = self._logits(batch.inputs, self._leg.validation).float()
        loss = LOSSES[self.recipe.loss](logits, self._targets(batch.labels), None, 0.0).sum()
        self._validation.add(float(loss), float(correct(logits, batch.labels)), len(batch.inputs))

    def on_train_epoch_end(self) -> None:
        """Write the epoch's row, judge it, and stop early if it is time."""
        row = self._row()
        self.history.append(row)
        self.improved = False
        self.plateau.observe(float(row["validation_loss"] or row["train_loss"] or 0.0))  # type: ignore[arg-type]
        self._judge(row)
        for logger in self.loggers:
            logger.log_metrics({k: v for k, v in row.items() if v is not None}, step=int(row["epoch"] or 0))

    def tell(self, row: Row) -> None:
        """Hand a row of the history to who listens, who may end the training by an exception."""
        if self.on_epoch is not None:
            self.on_epoch(row)

    def _judge(self, row: Row) -> None:
        """Note whether this epoch is the best so far (a tie goes to the other measure), and whether to stop."""
        accuracy, loss, epoch = row["validation_accuracy"], row["validation_loss"], int(row["epoch"] or 0)
        if accuracy is None or loss is None:
            return
        pair = (float(accuracy), -float(loss))
        score = pair if self.recipe.monitor == "validation_accuracy" else pair[::-1]
        if self.best is None or score > self.best[0]:
            self.best, self.improved = (score, epoch), True
        if self.recipe.early_stopping is not None and epoch - self.best[1] >= self.recipe.early_stopping:
            self.trainer.should_stop = self.stopped = True

    def _row(self) -> Row:
        totals = [self._train, self._validation]
        if self.trainer.world_size > 1:
            sums = torch.tensor([[t.loss, t.correct, t.count] for t in totals], device=self.device)
            sums = self.trainer.strategy.reduce(sums, reduce_op="sum")
            totals = [Tally(float(s[0]), float(s[1]), int(s[2])) for s in sums]
        (train_loss, train_accuracy), (loss, accuracy) = (tally.means() for tally in totals)
        epoch = self.current_epoch
        return {
            "epoch": epoch + 1,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "validation_loss": loss,
            "validation_accuracy": accuracy,
            "lr": self.recipe.lr * self._share(epoch + (self.steps - 1) / self.steps),
            "seconds": self._earlier + time.perf_counter() - self._began,
        }

    # checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put in what is no parameter."""
        checkpoint["learner"] = {
            "history": self.history,
            "place": self.batches.state_dict(),
            "micro": self.micro,
            "notes": self.notes,
            "stopped": self.stopped,
            "best": [*self.best[0], self.best[1]] if self.best else None,
            "train": [self._train.loss, self._train.correct, self._train.count],
            "seconds": self._earlier + time.perf_counter() - self._began,
            "plateau": self.plateau.state(),
            "average": self.average.state() if self.average else None,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up what was put in."""
        kept = checkpoint["learner"]
        self.batches.load_state_dict(kept["place"])
        self.history, self.micro, self.notes = list(kept["history"]), kept["micro"], list(kept["notes"])
        self.stopped = bool(kept["stopped"])
        self.best = ((kept["best"][0], kept["best"][1]), kept["best"][2]) if kept["best"] else None
        self._train, self._earlier = Tally(*kept["train"]), kept["seconds"]
        self.plateau.restore(kept["plateau"])
        if self.average is not None:
            self.average.restore(kept["average"])


class _Learned(nn.Module):
    """Tail and head side by side, for the moving average."""

    def __init__(self, tail: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.tail, self.head = tail, head


def out_of_memory(error: BaseException) -> bool:
    """Say whether the device or the machine ran out of memory."""
    text = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "not enough memory", "std::bad_alloc")
    return isinstance(error, torch.OutOfMemoryError) or any(sign in text for sign in signs)
