"""Learning rate schedules as pure functions of progress; plateau alone looks at what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Course(NamedTuple):
    """What a schedule may depend on.

    Args:
        epochs: how many the whole training has.
        warmup: epochs of rise (may be a fraction).
        step_size, gamma, milestones: of step and multistep.
    """

    epochs: int
    warmup: float = 0.0
    step_size: int = 10
    gamma: float = 0.1
    milestones: tuple[int, ...] = ()


def none(time: float, course: Course) -> float:
    """Stay at the peak."""
    return 1.0


def step(time: float, course: Course) -> float:
    """Multiply by gamma every `step_size` epochs."""
    return course.gamma ** int(time // course.step_size)


def multistep(time: float, course: Course) -> float:
    """Multiply by gamma at each milestone (an epoch)."""
    return course.gamma ** sum(time >= milestone for milestone in course.milestones)


def cosine(time: float, course: Course) -> float:
    """Fall along half a cosine from the end of the warm-up to the end (Loshchilov and Hutter 2017)."""
    share = (time - course.warmup) / max(course.epochs - course.warmup, 1e-9)
    return 0.5 * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0)))


def onecycle(time: float, course: Course) -> float:
    """Rise along a cosine from 1/25 over the warm-up (default 30 %), then fall to almost 0 (Smith and Topin 2018)."""
    rise = course.warmup or 0.3 * course.epochs
    if time < rise:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * time / rise))
    return max(cosine(time, Course(course.epochs, rise)), 4e-6)


SCHEDULES: dict[str, Callable[[float, Course], float]] = {
    "none": none,
    "step": step,
    "multistep": multistep,
    "cosine": cosine,
    "onecycle": onecycle,
    "plateau": none,
}


def factor(name: str, time: float, course: Course, steps_per_epoch: int) -> float:
    """Return what the peak rate is multiplied by at `time` (in epochs, counted from 0).

    The warm-up is a line that ends at 1; its first step is already above 0.
    """
    value = SCHEDULES[name](time, course)
    if name != "onecycle" and time < course.warmup:
        return value * (time + 1 / steps_per_epoch) / (course.warmup + 1 / steps_per_epoch)
    return value


@dataclass
class Plateau:
    """Multiplies the rate by `gamma` when the loss has not fallen for more than `patience` epochs.

    Args:
        patience: epochs without a new lowest value that are forgiven.
        gamma: the factor.
    """

    patience: int
    gamma: float
    factor: float = 1.0
    best: float = math.inf
    waited: int = 0

    def observe(self, loss: float) -> None:
        """Take in the loss of one epoch."""
        if loss < self.best * (1 - 1e-4):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.factor, self.waited = self.factor * self.gamma, 0

    def state(self) -> dict[str, float]:
        """Return what a checkpoint keeps."""
        return {"factor": self.factor, "best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, float]) -> None:
        """Resume from what a checkpoint kept."""
        self.factor, self.best, self.waited = float(state["factor"]), float(state["best"]), int(state["waited"])
