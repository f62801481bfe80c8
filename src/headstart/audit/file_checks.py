"""File checks: which files do not decode, unusual modes and unusual sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headstart.audit.inspection_store import Inspection
from headstart.data.dataset import Dataset

PLAIN = ("RGB", "L")
TINY = 32  # pixels of the shorter side
LONG = 4.0  # times as long as wide
_LISTED = 50


def unreadable_rows(inspection: Inspection, bad: Mapping[int, str]) -> dict[int, str]:
    """Return row → why it does not decode, from the look at the files and from those decoded before."""
    found = {int(row): str(inspection.problem[row]) for row in np.flatnonzero(inspection.problem != "")}
    return found | {int(row): why for row, why in bad.items()}


def describe_files(inspection: Inspection, dataset: Dataset) -> dict[str, Any]:
    """Return modes, formats and sizes with their counts, and the unusual ones by name."""
    good = inspection.problem == ""
    short, long = np.minimum(inspection.width, inspection.height), np.maximum(inspection.width, inspection.height)
    odd = {
        "modes": good & ~np.isin(inspection.mode, PLAIN) & (dataset.bands is None),
        "animated": good & (inspection.frames > 1),
        "tiny": good & (short < TINY),
        "elongated": good & (long > LONG * np.maximum(short, 1)),
    }
    return {
        "modes": _counted(inspection.mode[good]),
        "formats": _counted(inspection.format[good]),
        "width": _range(inspection.width[good]),
        "height": _range(inspection.height[good]),
        "sizes": len(np.unique(np.stack([inspection.width[good], inspection.height[good]]), axis=1).T),
        "odd": {
            kind: {
                "n": int(which.sum()),
                "rows": [_odd(inspection, dataset, row) for row in np.flatnonzero(which)[:_LISTED].tolist()],
            }
            for kind, which in odd.items()
        },
    }


def _odd(inspection: Inspection, dataset: Dataset, row: int) -> dict[str, Any]:
    return {
        "row": int(row),
        "name": dataset.reader.name(int(row)),
        "mode": str(inspection.mode[row]),
        "width": int(inspection.width[row]),
        "height": int(inspection.height[row]),
        "frames": int(inspection.frames[row]),
    }


def _counted(values: np.ndarray) -> dict[str, int]:
    names, counts = np.unique(values, return_counts=True)
    return {str(name): int(count) for name, count in sorted(zip(names, counts, strict=True), key=lambda r: -r[1])}


def _range(values: np.ndarray) -> dict[str, int]:
    if not len(values):
        return {"least": 0, "median": 0, "most": 0}
    return {"least": int(values.min()), "median": int(np.median(values)), "most": int(values.max())}
