"""A budget of time: how it is written, how much of it is left, and how a stage is stopped when none is."""

from __future__ import annotations

import math
import re
import time
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
        raise ValueError(f"{value!r} has no unit; write {text}s or {text}min")
    place, seconds = 0, 0.0
    while place < len(text):
        part = _PART.match(text, place)
        unit = _WORDS.get(part[2].lower()) if part else None
        if part is None or unit is None:
            raise ValueError(f"{text!r} is no duration; {hint}")
        seconds += float(part[1]) * UNITS[unit]
        place = part.end()
    if seconds <= 0 or not math.isfinite(seconds):
        raise ValueError(f"{text!r} must be above 0; {hint}")
    return seconds


def in_words(seconds: float) -> str:
    """Return 75.2 as "1min 15s"."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    return " ".join(f"{count}{unit}" for count, unit in parts if count)


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
