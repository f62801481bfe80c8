"""What successive halving and a proxy pass did, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.evaluate.transferability import order_in_words
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


def proxy_lines(proxy: Mapping[str, Any], left_out: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the order that a proxy pass gave the networks, how sure it is, and what was not run after it."""
    order, sure = order_in_words(proxy)
    lines = [f"The budget went to the {order}.", f"{sure[0].upper()}{sure[1:]}."]
    gone = list(dict.fromkeys(str(row["run"]) for row in left_out))
    return [*lines, f"Not run, in whole or in part: {', '.join(gone)}."] if gone else lines
