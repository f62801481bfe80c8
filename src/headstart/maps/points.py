"""What the drawing reads: positions and values of every image as small typed arrays in base64."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.maps.neighbourhoods import Mixing

IntArray = npt.NDArray[np.int64]
NONE = 65_535  # no class, no time
_STEPS = 65_535  # of a position


@dataclass(frozen=True)
class Colouring:
    """Something by which points are coloured.

    Args:
        name: what it is: "class", "mistakes", "split", "time".
        labels: of the codes; for "time" the first and the last.
        values: int64 [n], codes of labels, -1 for none; for "time" seconds.
    """

    name: str
    labels: Sequence[str]
    values: IntArray

    @property
    def plain(self) -> dict[str, Any]:
        """The same as the page reads it."""
        if self.name != "time":
            return {"name": self.name, "labels": list(self.labels), "codes": encoded_codes(self.values)}
        known = self.values >= 0
        low, high = (int(self.values[known].min()), int(self.values[known].max())) if known.any() else (0, 1)
        scaled = np.where(known, (self.values - low) * (NONE - 1) // max(1, high - low), NONE)
        return {"name": self.name, "labels": list(self.labels), "codes": encoded(scaled, "<u2"), "scale": True}


def encoded(values: npt.ArrayLike, kind: str) -> str:
    """Return numbers as base64 of their bytes in a type such as "<u2" (uint16, little-endian)."""
    return base64.b64encode(np.ascontiguousarray(values).astype(kind).tobytes()).decode()


def encoded_codes(codes: IntArray) -> str:
    """Return class codes, -1 for none, as base64 of uint16."""
    return encoded(np.where(codes < 0, NONE, np.minimum(codes, NONE - 1)), "<u2")


def quantised(positions: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Return positions [n, 2] as whole numbers 0 to 65535 by the same scale on both axes, centred.

    The second axis is turned over: on a screen it runs downward.
    """
    if not len(positions):
        return np.zeros((0, 2), dtype=np.uint16)
    low, high = positions.min(axis=0).astype(np.float64), positions.max(axis=0).astype(np.float64)
    width = max(float((high - low).max()), 1e-12)
    centred = (positions - (low + high) / 2) / width * (1.0, -1.0)
    return np.asarray(np.clip(np.rint((centred + 0.5) * _STEPS), 0, _STEPS), dtype=np.uint16)


def mixing_rows(found: Sequence[Mixing]) -> list[list[Any]]:
    """Return the rows of the table that says in words what the map shows."""
    rows = sorted(found, key=lambda each: (-each.images, each.name))
    return [
        [m.name, m.images, None if m.own is None else round(m.own, 4), m.other, round(m.other_share, 4)]
        for m in rows
        if m.images
    ]
