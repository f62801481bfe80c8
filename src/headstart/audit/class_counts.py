"""Class counts, per part of the split, and how uneven they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.audit.pool import PARTS
from headstart.data.dataset import Dataset


def count_classes(dataset: Dataset, parts: np.ndarray) -> list[dict[str, Any]]:
    """Return a row for each class: its name, n, and its count in every part that has images."""
    counts = dataset.counts()
    by_part = {part: dataset.counts(np.flatnonzero(parts == part)) for part in PARTS if (parts == part).any()}
    return [
        {"class": name, "n": int(counts[c]), **{part: int(each[c]) for part, each in by_part.items()}}
        for c, name in enumerate(dataset.classes)
    ]


def imbalance(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the largest and the smallest class, their ratio, and the effective number of classes.

    The effective number is the exponential of the entropy: how many classes of equal size are as varied.
    """
    largest, smallest = max(rows, key=lambda row: row["n"]), min(rows, key=lambda row: row["n"])
    counts = np.array([row["n"] for row in rows], dtype=np.float64)
    share = counts[counts > 0] / max(1.0, counts.sum())
    return {
        "largest": largest["class"],
        "most": largest["n"],
        "smallest": smallest["class"],
        "fewest": smallest["n"],
        "ratio": largest["n"] / max(1, smallest["n"]),
        "effective_classes": float(np.exp(-(share * np.log(share)).sum())),
    }
