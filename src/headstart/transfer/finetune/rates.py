"""The learning rate of every step: the schedule over the epochs, a warm-up, and plateau's reductions."""

from __future__ import annotations

from typing import Any

from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.schedules import Course, Plateau, factor
from headstart.transfer.strategy import Resolved


class Rates:
    """Sets the learning rates of an optimiser.

    The probing phase of `lp_ft` and the phase after it each have a schedule of their own.

    Args:
        recipe: peak rate, schedule and warm-up.
        resolved: its phases decide where a schedule begins.
        steps: optimiser steps in an epoch.
    """

    def __init__(self, recipe: Recipe, resolved: Resolved, steps: int) -> None:
        self.recipe, self.steps = recipe, steps
        self.plateau = Plateau(recipe.step_size, recipe.gamma)
        self._spans = [(0, recipe.epochs)]
        if resolved.strategy.kind == "lp_ft" and len(resolved.phases) == 2:
            border = resolved.phases[1].start
            self._spans = [(0, border), (border, recipe.epochs)]

    def share(self, time: float) -> float:
        """Return what the peak rate is multiplied by at `time`, in epochs counted from 0."""
        r = self.recipe
        start, end = next((span for span in self._spans if time < span[1]), self._spans[-1])
        course = Course(end - start, min(r.warmup_epochs, (end - start) / 2), r.step_size, r.gamma, r.milestones)
        return factor(r.schedule, time - start, course, self.steps) * self.plateau.factor

    def at_end_of(self, epoch: int) -> float:
        """Return the rate of the last step of this epoch, counted from 0."""
        return self.recipe.lr * self.share(epoch + (self.steps - 1) / self.steps)

    def apply(self, optimizer: Any, epoch: int, step: int) -> None:
        """Set the rate of each parameter group for this step."""
        share = self.share(epoch + step / self.steps)
        for group in optimizer.param_groups:
            group["lr"] = self.recipe.lr * group["multiplier"] * share
