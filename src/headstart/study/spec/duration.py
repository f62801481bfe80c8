"""Durations: read from text such as 20min, and written in words."""

from __future__ import annotations

import math
import re
from typing import Any

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_WORDS = {"sec": "s", "second": "s", "seconds": "s", "m": "min", "minute": "min", "minutes": "min"}
_WORDS |= {"hour": "h", "hours": "h", **{unit: unit for unit in UNITS}}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)


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
