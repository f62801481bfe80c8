"""Figures and sentences as people read them: percentages, durations, sizes, and the answer of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence

PERCENT = ("accuracy", "balanced_accuracy", "top5_accuracy", "f1_macro", "ece", "map_macro", "map")


def percent(value: float | None, digits: int = 1) -> str:
    """Return 0.9312 as "93.1 %"."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.{digits}f} %"


def score(value: float | None, metric: str) -> str:
    """Return a score: a percentage, or three digits for what is none (log loss, Brier)."""
    if value is None or math.isnan(value):
        return "–"
    return percent(value) if is_share(metric) else f"{value:.3f}"


def interval(low: float | None, high: float | None, metric: str) -> str:
    """Return "92.1–94.0 %"."""
    if low is None or high is None:
        return "–"
    return f"{100 * low:.1f}–{100 * high:.1f} %" if is_share(metric) else f"{low:.3f}–{high:.3f}"


def difference(value: float, low: float, high: float, metric: str) -> str:
    """Return "+1.2 points (0.3 to 2.1)"."""
    if is_share(metric):
        return f"{100 * value:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def is_share(metric: str) -> bool:
    """Say whether a metric is a share of 1, shown in per cent."""
    return metric not in ("log_loss", "brier", "mcc")


def seconds(value: float | None) -> str:
    """Return 75.2 as "1 min 15 s"."""
    if value is None or math.isnan(value):
        return "–"
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def count(value: float | None) -> str:
    """Return 11176512 as "11.2 M"."""
    if value is None:
        return "–"
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.{0 if value >= 100 * size else 1}f}{unit}"
    return f"{value:.0f}"


def size(value: float | None) -> str:
    """Return 734003200 as "700 MB"."""
    if value is None:
        return "–"
    for least, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= least:
            return f"{value / least:.1f} {unit}" if value < 10 * least else f"{value / least:.0f} {unit}"
    return f"{value:.0f} B"


def listed(names: Sequence[str], limit: int = 3) -> str:
    """Return "a, b and c", or "a, b, c and 4 others"."""
    if not names:
        return ""
    if len(names) > limit:
        rest = len(names) - limit
        return f"{', '.join(names[:limit])} and {rest} other{'s' if rest > 1 else ''}"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
