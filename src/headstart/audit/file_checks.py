"""What the audit says of the files: which do not decode, odd modes and odd sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headstart.audit.inspect import Looks
from headstart.data.dataset import Dataset

PLAIN = ("RGB", "L")
TINY = 32  # pixels of the shorter side
LONG = 4.0  # times as long as wide
_LISTED = 50


def unreadable_rows(looks: Looks, bad: Mapping[int, str]) -> dict[int, str]:
    """Return row → why it does not decode, from the look at the files and from those decoded before."""
    found = {int(row): str(looks.problem[row]) for row in np.flatnonzero(looks.problem != "")}
    return found | {int(row): why for row, why in bad.items()}


def describe_files(looks: Looks, dataset: Dataset) -> dict[str, Any]:
    """Return modes, formats and sizes with their counts, and the odd ones by name."""
    good = looks.problem == ""
    short, long = np.minimum(looks.width, looks.height), np.maximum(looks.width, looks.height)
    odd = {
        "modes": good & ~np.isin(looks.mode, PLAIN),
        "animated": good & (looks.frames > 1),
        "tiny": good & (short < TINY),
        "elongated": good & (long > LONG * np.maximum(short, 1)),
    }
    return {
        "modes": _counted(looks.mode[good]),
        "formats": _counted(looks.format[good]),
        "width": _range(looks.width[good]),
        "height": _range(looks.height[good]),
        "sizes": len(np.unique(np.stack([looks.width[good], looks.height[good]]), axis=1).T),
        "odd": {
            kind: {
                "n": int(which.sum()),
                "rows": [_odd(looks, dataset, row) for row in np.flatnonzero(which)[:_LISTED].tolist()],
            }
            for kind, which in odd.items()
        },
    }


def _odd(looks: Looks, dataset: Dataset, row: int) -> dict[str, Any]:
    return {
        "row": int(row),
        "name": dataset.reader.name(int(row)),
        "mode": str(looks.mode[row]),
        "width": int(looks.width[row]),
        "height": int(looks.height[row]),
        "frames": int(looks.frames[row]),
    }


def _counted(values: np.ndarray) -> dict[str, int]:
    names, counts = np.unique(values, return_counts=True)
    return {str(name): int(count) for name, count in sorted(zip(names, counts, strict=True), key=lambda r: -r[1])}


def _range(values: np.ndarray) -> dict[str, int]:
    if not len(values):
        return {"least": 0, "median": 0, "most": 0}
    return {"least": int(values.min()), "median": int(np.median(values)), "most": int(values.max())}
