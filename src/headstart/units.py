"""Durations, sizes, counts and percentages: written as people read them, and read from text such as 20min or 5GB."""

from __future__ import annotations

import math
import re
from typing import Any

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_SPELLINGS = {"sec": "s", "second": "s", "seconds": "s", "m": "min", "minute": "min", "minutes": "min"}
_SPELLINGS |= {"hour": "h", "hours": "h", **{unit: unit for unit in _SECONDS}}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)
_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def percent(value: float | None, digits: int = 1) -> str:
    """Return 0.9312 as "93.1 %"; a dash where it is unknown."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.{digits}f} %"


def duration(seconds: float | None) -> str:
    """Return 75.2 as "1 min 15 s"; a dash where it is unknown or endless."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(count: float | None) -> str:
    """Return 734003200 bytes as "734 MB"; a dash where it is unknown."""
    if count is None:
        return "–"
    for least, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= least:
            return f"{count / least:.1f} {unit}" if count < 10 * least else f"{count / least:.0f} {unit}"
    return f"{count:.0f} B"


def count(value: float | None) -> str:
    """Return 11176512 as "11.2 M"; a dash where it is unknown."""
    if value is None:
        return "–"
    for least, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= least:
            return f"{value / least:.{0 if value >= 100 * least else 1}f}{unit}"
    return f"{value:.0f}"


def parse_duration(value: Any) -> float:
    """Return the seconds of a duration such as "90s", "20min", "1.5h" or "1h 30min".

    Raises:
        ValueError: it is not a duration, or not above 0.
    """
    text = str(value).strip()
    hint = "write a number with s, min or h, such as 20min"
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value!r} has no unit; write {text}s or {text}min")
    place, seconds = 0, 0.0
    while place < len(text):
        part = _PART.match(text, place)
        unit = _SPELLINGS.get(part[2].lower()) if part else None
        if part is None or unit is None:
            raise ValueError(f"{text!r} is not a duration; {hint}")
        seconds += float(part[1]) * _SECONDS[unit]
        place = part.end()
    if seconds <= 0 or not math.isfinite(seconds):
        raise ValueError(f"{text!r} must be above 0; {hint}")
    return seconds


def parse_size(text: str) -> int:
    """Return the number of bytes of a size such as "5GB", "300 MB" or "0" (decimal units).

    Raises:
        ValueError: it is not a size.
    """
    found = _SIZE.fullmatch(text)
    if found is None or found[2].upper() not in _BYTES:
        raise ValueError(f"{text!r} is not a size; write 5GB, 300MB or 0")
    number = float(found[1]) * _BYTES[found[2].upper()]
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]!r}… is too large; write 5GB, 300MB or 0")
    return int(number)
