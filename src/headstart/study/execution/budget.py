"""A time budget: how much of it is left, and how a stage stops when it is used up."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


class OverBudget(Exception):
    """Ends a stage when the budget is used up; the study then finishes with the runs that are done."""


def now() -> float:
    """Return the seconds of a monotonic clock."""
    return time.monotonic()


@dataclass
class Budget:
    """A time limit that starts now.

    Args:
        seconds: in all.
        reserve: seconds kept for finishing the study.
    """

    seconds: float
    reserve: float = 0.0
    began: float = field(default_factory=lambda: now())

    def spent(self) -> float:
        """Return the seconds since the start."""
        return now() - self.began

    def left(self) -> float:
        """Return the seconds that are left for runs."""
        return self.seconds - self.reserve - self.spent()

    def check(self) -> None:
        """Stop the calling stage if no time is left.

        Raises:
            OverBudget: no time is left.
        """
        if self.left() <= 0:
            raise OverBudget
