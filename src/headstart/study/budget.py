"""A budget of time: how it is written, how much of it is left, and how a stage is stopped when none is."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_WORDS = {"sec": "s", "second": "s", "seconds": "s", "m": "min", "minute": "min", "minutes": "min"}
_WORDS |= {"hour": "h", "hours": "h", **{unit: unit for unit in UNITS}}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)


class OverBudget(Exception):
    """Ends a stage whose time is up; the study goes on to its end with what there is."""


def parse_duration(value: Any) -> float:
    """Return the seconds of a duration such as "90s", "20min", "1.5h" or "1h 30min".

    Raises:
        ValueError: it is none, or not above 0.
    """
    text = str(value).strip()
    hint = "write a number with s, min or h, such as 20min"
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"budget {value!r} has no unit; write {text}s or {text}min")
    place, seconds = 0, 0.0
    while place < len(text):
        part = _PART.match(text, place)
        unit = _WORDS.get(part[2].lower()) if part else None
        if part is None or unit is None:
            raise ValueError(f"budget {text!r} is no duration; {hint}")
        seconds += float(part[1]) * UNITS[unit]
        place = part.end()
    if seconds <= 0 or not math.isfinite(seconds):
        raise ValueError(f"budget {text!r} must be above 0; {hint}")
    return seconds


@dataclass
class Budget:
    """Time to spend, from now on.

    Args:
        seconds: in all.
        clock: seconds that only go forward.
        reserve: seconds kept for closing the study.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    reserve: float = 0.0
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def spent(self) -> float:
        """Return the seconds since the beginning."""
        return self.clock() - self.began

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
