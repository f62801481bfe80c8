"""A budget of time: how it is written, how much of it is left, and how a stage is stopped when none is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


class OverBudget(Exception):
    """Ends a stage whose time is up; the study goes on to its end with what there is."""


def now() -> float:
    """Return seconds that only go forward."""
    return time.monotonic()


@dataclass
class Budget:
    """Time to spend, from now on.

    Args:
        seconds: in all.
        reserve: seconds kept for closing the study.
    """

    seconds: float
    reserve: float = 0.0
    began: float = field(default_factory=lambda: now())

    def spent(self) -> float:
        """Return the seconds since the beginning."""
        return now() - self.began

    def left(self) -> float:
        """Return the seconds that may still be spent on runs."""
        return self.seconds - self.reserve - self.spent()

    def check(self) -> None:
        """Stop the stage that asks.

        Raises:
            OverBudget: nothing is left.
        """
        if self.left() <= 0:
            raise OverBudget
