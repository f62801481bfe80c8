"""The training loop as a LightningModule: one optimiser step a batch, measured every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from headstart.errors import RunFailed
from headstart.transfer.augment.counter_rng import number
from headstart.transfer.finetune.ema import MovingAverage
from headstart.transfer.finetune.history import History, Row, Stopwatch, Tally
from headstart.transfer.finetune.learned_network import LearnedNetwork
from headstart.transfer.finetune.loader import Batch, Batches
from headstart.transfer.finetune.losses import correct
from headstart.transfer.finetune.micro_batches import MicroBatches, out_of_memory
from headstart.transfer.finetune.objective import Objective
from headstart.transfer.finetune.optimizers import Settings, build_optimizer
from headstart.transfer.finetune.rates import Rates
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.finetune.trainer_setup import reseed
from headstart.transfer.finetune.validation_score import ValidationScore
from headstart.transfer.strategy import HEAD


class Diverged(RunFailed):
    """The loss or a weight is no longer finite; what was good before can still be kept."""


class Learner(pl.LightningModule):  # type: ignore[misc]
    """Trains stages and head.

    Args:
        network: what is trained, with its inputs.
        objective: the loss.
        recipe: how.
        seed: of dropout.
        batches: of training; the position in them is part of a checkpoint.
        checked: of validation.
        on_epoch: called with each row of the history once the training can be resumed after its epoch; an exception
            that it raises ends the training.
        metric: of the study, which decides the best epoch where the recipe monitors the score.
    """

    def __init__(
        self,
        network: LearnedNetwork,
        objective: Objective,
        recipe: Recipe,
        *,
        seed: int,
        batches: Batches,
        checked: Batches | None = None,
        on_epoch: Callable[[Row], None] | None = None,
        metric: str = "accuracy",
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network, self.objective, self.recipe, self.seed = network, objective, recipe, seed
        self.batches, self.checked, self.on_epoch = batches, checked, on_epoch
        self.rates = Rates(recipe, network.resolved, len(batches))
        self.average = MovingAverage(network, recipe.ema) if recipe.ema else None
        self.history = History(recipe.monitor, recipe.early_stopping)
        self.judge = ValidationScore(metric if recipe.monitor == "validation_score" else "accuracy")
        self.micro_batches = MicroBatches(recipe)
        self._train, self._validation, self._watch = Tally(), Tally(), Stopwatch()

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
        groups = [(g.name, g.parameters, g.multiplier) for g in self.network.groups]
        groups.append((HEAD, tuple(self.network.head.parameters()), r.head_lr_factor))
        fused = self.device.type in ("cpu", "cuda") and r.precision != "16-mixed"
        return build_optimizer(r.optimizer, groups, Settings(r.lr, r.momentum, r.nesterov, r.weight_decay, fused))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Make one optimiser step on a batch, in as many pieces as memory requires."""
        reseed(number(self.seed, batch.epoch, batch.step), self.device)
        optimizer = self.optimizers()
        self.rates.apply(optimizer, batch.epoch, batch.step)
        inputs, targets = self.objective.mixed(batch)
        loss, right = self._gradients(optimizer, inputs, targets, self.objective.answers(batch))
        if not math.isfinite(loss):
            raise Diverged(f"the loss is not finite in epoch {batch.epoch + 1}, batch {batch.step + 1}")
        optimizer.step()
        if self.average is not None:
            self.average.update()
        self._train.add(loss * len(inputs), right, len(inputs))

    def _gradients(self, optimizer: Any, inputs: Tensor, targets: Tensor, labels: Tensor) -> tuple[float, float]:
        """Accumulate the gradients of the batch; if memory runs out, halve the pieces and start the batch again."""
        statistics = [buffer.clone() for buffer in self.network.tail.buffers()]

        def restore() -> None:
            optimizer.zero_grad()
            with torch.no_grad():
                for buffer, value in zip(self.network.tail.buffers(), statistics, strict=True):
                    buffer.copy_(value)

        optimizer.zero_grad()
        return self._while_it_fits(lambda: self._accumulate(inputs, targets, labels), restore)

    def _while_it_fits(
        self, attempt: Callable[[], tuple[float, float]], restore: Callable[[], None] = lambda: None
    ) -> tuple[float, float]:
        while True:
            try:
                return attempt()
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                self.micro_batches.halve(error, self.trainer.world_size)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                restore()

    def _accumulate(self, inputs: Tensor, targets: Tensor, labels: Tensor) -> tuple[float, float]:
        count, total = self.micro_batches.count(len(inputs)), self.objective.total(targets)
        loss, right = 0.0, 0.0
        for x, target, label in zip(inputs.chunk(count), targets.chunk(count), labels.chunk(count), strict=True):
            logits = self.network.logits(x, training=True).float()
            part = self.objective(logits, target, total)
            self.manual_backward(part)
            loss += float(part.detach())
            right += float(correct(logits.detach(), label))
        return loss, right

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradients."""
        clip_gradients(optimizer, self.recipe.clip)

    @property
    def current_loss(self) -> float:
        """Mean training loss of the epoch so far; NaN before its first batch."""
        loss, _ = self._train.means()
        return math.nan if loss is None else loss

    # epochs

    def on_fit_start(self) -> None:
        """Put everything that is not a registered module on the device."""
        device = self.trainer.strategy.root_device
        self.network.prefixes_to(device)
        if self.average is not None:
            self.average.to(device)

    def on_train_start(self) -> None:
        """Enter the phase; report the rows of a training that is resumed."""
        self.network.enter(self.current_epoch)
        self._watch.resume()
        self.trainer.should_stop = self.history.stopped
        for row in self.history.rows:
            self.tell(row)

    def on_train_epoch_start(self) -> None:
        """Begin counting."""
        self.network.enter(self.current_epoch)
        self._train, self._validation = Tally(), Tally()
        self._watch.restart()

    def on_validation_epoch_start(self) -> None:
        """Validate the moving average, if there is one."""
        self._validation = Tally()
        self.judge.restart()
        if self.average is not None:
            self.average.swap()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count one batch."""
        outputs: list[Tensor] = []
        loss, right = self._while_it_fits(lambda: self._measure(batch, outputs))
        self._validation.add(loss, right, len(batch.inputs))
        self.judge.add(outputs, batch.labels)

    def _measure(self, batch: Batch, outputs: list[Tensor]) -> tuple[float, float]:
        """Return summed loss and right answers; fill `outputs` with the logits of each piece."""
        outputs.clear()  # an attempt before may have run out of memory
        count = self.micro_batches.count(len(batch.inputs))
        loss, right = 0.0, 0.0
        for x, label in zip(batch.inputs.chunk(count), batch.labels.chunk(count), strict=True):
            logits = self.network.logits(x, training=False).float()
            loss += float(self.objective.validation_sum(logits, label))
            right += float(correct(logits, label))
            outputs.append(logits)
        return loss, right

    def on_validation_epoch_end(self) -> None:
        """Return to the live weights; a validation before the first step measures the start, epoch 0."""
        if self.average is not None:
            self.average.swap()
        if self.trainer.sanity_checking:
            self.history.begin(*self._summed(self._validation).means(), self.judge.merit())

    def on_train_epoch_end(self) -> None:
        """Write the epoch's row, judge it, and stop early if it is time."""
        row = self._row()
        self._check_finite(row)
        self.history.add(row, self.judge.merit())
        if self.history.stopped:
            self.trainer.should_stop = True
        self.rates.plateau.observe(float(row["validation_loss"] or row["train_loss"] or 0.0))  # type: ignore[arg-type]
        for logger in self.loggers:
            logger.log_metrics({k: v for k, v in row.items() if v is not None}, step=int(row["epoch"] or 0))

    def tell(self, row: Row) -> None:
        """Hand a row of the history to the caller, who may end the training by an exception."""
        if self.on_epoch is not None:
            self.on_epoch(row)

    def _check_finite(self, row: Row) -> None:
        """Refuse an epoch after which the network is useless, before it becomes a checkpoint."""
        learned = [p for p in self.network.parameters() if p.requires_grad]
        loss = row["validation_loss"]
        finite = loss is None or math.isfinite(loss)
        if not finite or not all(bool(torch.isfinite(p).all()) for p in learned):
            raise Diverged(f"the network's outputs or weights are not finite after epoch {row['epoch']}")

    def _row(self) -> Row:
        (train_loss, train_accuracy), (loss, accuracy) = (
            self._summed(tally).means() for tally in (self._train, self._validation)
        )
        score = {"validation_score": self.judge.value()} if self.judge.counts else {}
        return {
            "epoch": self.current_epoch + 1,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "validation_loss": loss,
            "validation_accuracy": accuracy,
            **score,
            "lr": self.rates.at_end_of(self.current_epoch),
            "seconds": self._watch.seconds,
        }

    def _summed(self, tally: Tally) -> Tally:
        """Return the tally over all devices."""
        if self.trainer.world_size == 1:
            return tally
        sums = torch.tensor([tally.loss, tally.correct, tally.count], device=self.device)
        sums = self.trainer.strategy.reduce(sums, reduce_op="sum")
        return Tally(float(sums[0]), float(sums[1]), int(sums[2]))

    # checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is not a parameter."""
        checkpoint["learner"] = {
            "history": self.history.state(),
            "place": self.batches.state_dict(),
            "pieces": [self.micro_batches.size, self.micro_batches.notes],
            "train": [self._train.loss, self._train.correct, self._train.count],
            "seconds": self._watch.seconds,
            "plateau": self.rates.plateau.state(),
            "average": self.average.state() if self.average else None,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what is not a parameter."""
        kept = checkpoint["learner"]
        self.batches.load_state_dict(kept["place"])
        self.history.restore(kept["history"])
        self.micro_batches.size, self.micro_batches.notes = kept["pieces"][0], list(kept["pieces"][1])
        self._train = Tally(*kept["train"])
        self._watch.restart(kept["seconds"])
        self.rates.plateau.restore(kept["plateau"])
        if self.average is not None:
            self.average.restore(kept["average"])


def clip_gradients(optimizer: torch.optim.Optimizer, largest: float | None) -> None:
    """Scale all gradients of the optimiser so that their common norm is at most `largest`; None leaves them."""
    if largest is not None:
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], largest)
