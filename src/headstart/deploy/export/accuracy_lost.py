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
    compared = compare_runs(
        {ORIGINAL: original[None], EXPORTED: exported[None]}, EXPORTED, deterministic=(ORIGINAL, EXPORTED)
    )
    (row,) = compared["against_baseline"]  # original minus exported
    return Lost(100 * row["difference"] + 0.0, 100 * row["low"], 100 * row["high"])
