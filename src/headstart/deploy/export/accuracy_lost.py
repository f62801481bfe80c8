"""How much accuracy an exported file loses on the same pictures, paired, with its interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headstart.evaluate.comparison.compare import compare_runs

ORIGINAL, EXPORTED = "original", "exported"


class Lost(NamedTuple):
    """Points of accuracy lost (below zero: gained), with a 95 % interval."""

    points: float
    low: float
    high: float


def accuracy_lost(original: np.ndarray, exported: np.ndarray) -> Lost:
    """Return what the exported file loses; bool [n] each: whether the label of each picture is right."""
    compared = compare_runs({ORIGINAL: original[None], EXPORTED: exported[None]}, deterministic=(ORIGINAL, EXPORTED))
    (row,) = compared["pairwise"]
    sign = 1 if row["a"] == ORIGINAL else -1
    low, high = sorted(sign * row[end] for end in ("low", "high"))
    return Lost(100 * sign * row["difference"] + 0.0, 100 * low, 100 * high)
