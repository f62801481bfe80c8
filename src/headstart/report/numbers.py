"""Figures and sentences as people read them: percentages, scores, intervals, lists of names."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from headstart.evaluate.metrics.scoring import METRICS
from headstart.units import percent as percent

_NEGATIVE = re.compile(r"(?<=[ (])-(?=\d)")
_NO_SHARE = ("log_loss", "brier", "mcc")


def prose(text: str) -> str:
    """Return text as a page sets it; of markup, markup.

    No line ends between a number and its per cent sign, or within "p = 0.05"; negative numbers have a minus sign.
    """
    set_ = text.replace(" %", "\N{NO-BREAK SPACE}%").replace("(p = ", "(p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    return type(text)(_NEGATIVE.sub("\N{MINUS SIGN}", set_))


def score(value: float | None, metric: str) -> str:
    """Return a score: a percentage, or three digits for a score that is not a share (log loss, Brier)."""
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
    points = " points" if is_share(metric) else ""
    return f"{change(value, metric)}{points} ({change(low, metric)} to {change(high, metric)})"


def change(value: float, metric: str) -> str:
    """Return a difference with its sign: "+1.2" points, or three digits for a score that is not a share.

    What is rounded to zero is "+0.0", whichever side it comes from.
    """
    if is_share(metric):
        return f"{round(100 * value, 1) + 0.0:+.1f}"
    return f"{round(value, 3) + 0.0:+.3f}"


def repeats(folds: int, count: int) -> str:
    """Return "5 folds × 1 repeat"."""
    return f"{folds} folds × {counted(count, 'repeat')}"


def counted(count: int, word: str, many: str | None = None) -> str:
    """Return "1 seed", "3 seeds" or "1,200 seeds"; the plural has an s unless it is given."""
    return f"{count:,} {word if count == 1 else many or word + 's'}"


def is_share(metric: str) -> bool:
    """Return whether a metric is a share of 1, shown in per cent."""
    return metric not in _NO_SHARE


def bounds_of(metric: str) -> tuple[float, float] | None:
    """Return the least and greatest mean of a metric, or None where there is no greatest."""
    if metric not in METRICS:
        return (0.0, 1.0) if is_share(metric) else None
    low, high = METRICS[metric].bounds
    return (low, high) if math.isfinite(high) else None


def least_of(metric: str) -> float:
    """Return the least mean of a metric."""
    return METRICS[metric].bounds[0] if metric in METRICS else 0.0


def listed(names: Sequence[str], limit: int = 3) -> str:
    """Return "a, b and c", or "a, b, c and 4 others"."""
    if not names:
        return ""
    if len(names) > limit:
        rest = len(names) - limit
        return f"{', '.join(names[:limit])} and {rest} other{'s' if rest > 1 else ''}"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
