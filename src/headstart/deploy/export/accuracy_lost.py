"""How much accuracy an exported file loses on the same pictures, paired, with its interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headstart.evaluate.comparison.compare import compare_runs
from headstart.evaluate.comparison.tables import seen_from

ORIGINAL, EXPORTED = "original", "exported"


class Lost(NamedTuple):
    """Points of accuracy lost (below zero: gained), with a 95 % interval."""

    points: float
    low: float
    high: float


def accuracy_lost(original: np.ndarray, exported: np.ndarray) -> Lost:
    """Return what the exported file loses; bool [n] each: whether the label of each picture is right."""
    compared = compare_runs({ORIGINAL: original[None], EXPORTED: exported[None]}, deterministic=(ORIGINAL, EXPORTED))
    (pair,) = compared["pairwise"]
    return Lost(*(100 * points for points in seen_from(ORIGINAL, pair)))
