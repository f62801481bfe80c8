"""The learning rate range test (Smith 2017, arXiv:1506.01186): a short sweep of rates on training batches.

The rate rises by a constant factor from step to step while the network trains. Training is fastest where the
smoothed loss falls most steeply; a tenth of the rate of the lowest loss is the largest that is still safe. The
smaller of the two is chosen. Validation and test images are not used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from headstart.errors import RunFailed
from headstart.progress import progress
from headstart.transfer.augment.counter_rng import number
from headstart.transfer.finetune.assembly import make_learner
from headstart.transfer.finetune.job import TuneJob, check_job, device_of
from headstart.transfer.finetune.learner import Learner, clip_gradients
from headstart.transfer.finetune.loader import Batch
from headstart.transfer.finetune.malloc import large_blocks_kept
from headstart.transfer.finetune.trainer_setup import own_randomness, reseed

STEPS = 40
_WIDTH = 1e5  # the sweep's largest rate over its smallest
_SMOOTHING = 0.8  # of the moving average of the loss
_DIVERGED = 4.0  # times the lowest loss ends the sweep


@dataclass(frozen=True)
class RangeTest:
    """The result of a sweep.

    Args:
        lr: the rate to train with.
        rule: "steepest descent" or "a tenth of the lowest loss's".
        rates, losses: of each step; losses are smoothed.
    """

    lr: float
    rule: str
    rates: list[float]
    losses: list[float]


def range_test(job: TuneJob, steps: int = STEPS) -> RangeTest:
    """Sweep the rate around the recipe's own; the same job gives the same rate.

    Args:
        job: as for `finetune`; its folder is not used, and its rate is the middle of the sweep.
        steps: of the sweep, at most.

    Raises:
        RunFailed: the loss was not finite from the start.
        DataError, ModelError, SpecError: as `finetune`.
    """
    check_job(job)
    middle = math.log10(job.recipe.lr or 1e-3)
    half = math.log10(_WIDTH) / 2
    rates = [float(rate) for rate in np.logspace(middle - half, middle + half, steps)]
    stepper = Stepper(job)
    smoothed: list[float] = []
    average = 0.0
    with progress(f"learning rates for {job.backbone.name}", steps, "steps") as ticker:
        for place, rate in enumerate(rates):
            loss = stepper.step(rate)
            if not math.isfinite(loss):
                break
            average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
            smoothed.append(average / (1 - _SMOOTHING ** (place + 1)))
            ticker.advance(note=f"lr {rate:.1e}, loss {loss:.3f}")
            if place > 5 and smoothed[-1] > _DIVERGED * min(smoothed):
                break
    if len(smoothed) < 5:
        raise RunFailed(f"the loss is not finite even at lr {rates[len(smoothed)]:.1e}; set lr")
    lr, rule = suggested(rates[: len(smoothed)], smoothed)
    return RangeTest(lr, rule, rates[: len(smoothed)], smoothed)


def suggested(rates: list[float], losses: list[float]) -> tuple[float, str]:
    """Return the rate that a curve suggests, to two digits, and by which rule.

    Args:
        rates: of each step, rising.
        losses: smoothed.
    """
    lowest = int(np.argmin(losses))
    safe = rates[lowest] / 10
    slopes = np.gradient(np.asarray(losses), np.log(np.asarray(rates)))[: max(lowest, 1)]
    steepest = rates[int(np.argmin(slopes))]
    lr, rule = min((steepest, "steepest descent"), (safe, "a tenth of the lowest loss's"))
    return float(f"{lr:.1e}"), rule


class Stepper:
    """Makes training steps of a job without a trainer: for range tests and for measuring speed.

    Args:
        job: what is trained; of a strategy with phases, the last one.
    """

    def __init__(self, job: TuneJob) -> None:
        self.device = device_of(job)
        recipe = replace(job.recipe, ema=0.0)
        self.learner: Learner = make_learner(replace(job, recipe=recipe), self.device)[0].to(self.device)
        network = self.learner.network
        self.epoch = network.legs[-1].phase.start
        network.enter(self.epoch)
        network.prefixes_to(self.device)
        self.optimizer = self.learner.configure_optimizers()
        self.batches = self._endless()

    def step(self, rate: float) -> float:
        """Make one step at this rate; return the loss before it."""
        learner, objective = self.learner, self.learner.objective
        with own_randomness(), large_blocks_kept():
            batch = next(self.batches)
            reseed(number(learner.seed, batch.epoch, batch.step, "range"), learner.device)
            soft = None if batch.soft is None else batch.soft.to(self.device)
            batch = batch._replace(inputs=batch.inputs.to(self.device), labels=batch.labels.to(self.device), soft=soft)
            inputs, targets = objective.mixed(batch)
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["multiplier"]
            self.optimizer.zero_grad()
            logits = learner.network.logits(inputs, training=True).float()
            loss = objective(logits, targets, objective.total(targets))
            loss.backward()
            clip_gradients(self.optimizer, learner.recipe.clip)
            self.optimizer.step()
        return float(loss.detach())

    def _endless(self) -> Iterator[Batch]:
        while True:
            self.learner.batches.load_state_dict({"epoch": self.epoch, "step": 0})
            yield from self.learner.batches
            self.epoch += 1
