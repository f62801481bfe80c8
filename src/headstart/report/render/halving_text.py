"""What successive halving did, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.report import numbers


def halving_lines(halving: Mapping[str, Any]) -> list[str]:
    """Return a line on all of it, and one for each rung: what it was trained on, and which candidates continued."""
    lines = [
        f"{halving['tried']} candidates were tried and judged on the validation images; those that were dropped were"
        " not scored on test."
    ]
    metric = str(halving.get("metric", "accuracy"))
    for number, rung in enumerate(halving["rungs"], 1):
        scores = {row["run"]: row.get("validation_score", row["validation_accuracy"]) for row in rung["runs"]}
        kept = set(rung["kept"])
        shown = ", ".join(f"{name} {numbers.score(score, metric)}" for name, score in scores.items() if name in kept)
        gone = ", ".join(f"{name} {numbers.score(score, metric)}" for name, score in scores.items() if name not in kept)
        share = numbers.percent(rung["share"], 0)
        lines.append(f"rung {number}, {share} of the labels or epochs: {shown} continued; dropped: {gone or 'none'}")
    return lines
