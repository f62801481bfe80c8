"""The audit's tables: equal files, near duplicates and labels that look wrong, as rows for people and the report."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from headstart.audit.duplicates import EqualFiles
from headstart.audit.label_errors import LabelErrors
from headstart.audit.near_duplicates import NearPair
from headstart.audit.pool import Pool
from headstart.data.decoding.decode import UndecodableError, seen_by_people
from headstart.data.decoding.thumbnail import thumbnail

GROUPS = 1000  # of equal files, listed at most
PLACES = 20  # of each group
LABELS = 200  # labels that look wrong, listed at most
_PICTURED = {"exact": 30, "near": 60, "label_errors": 60}
_THUMBNAIL = 96  # pixels


def exact_rows(pool: Pool, groups: Sequence[EqualFiles]) -> list[dict[str, Any]]:
    """Return the first groups of equal files, at most 1,000, with their first 20 places each."""
    return [
        {
            "n": len(group.rows),
            "places": [
                pool.place(int(s), int(r)) for s, r in zip(group.sources[:PLACES], group.rows[:PLACES], strict=True)
            ],
            "conflict": group.conflict,
            "parts": _sides(pool, group.sources, group.rows),
        }
        for group in groups[:GROUPS]
    ]


def near_rows(pool: Pool, pairs: Sequence[NearPair]) -> list[dict[str, Any]]:
    """Return the near duplicates, most alike first."""
    rows = []
    for pair in pairs:
        sources, at = pool.source[[pair.a, pair.b]], pool.row[[pair.a, pair.b]]
        a, b = (pool.place(int(s), int(r)) for s, r in zip(sources, at, strict=True))
        rows.append(
            {
                "a": a,
                "b": b,
                "similarity": round(pair.similarity, 4),
                "kind": pair.kind,
                "conflict": bool((sources == 0).all() and a["label"] != b["label"]),
                "parts": _sides(pool, sources, at),
            }
        )
    return rows


def label_rows(pool: Pool, found: LabelErrors) -> list[dict[str, Any]]:
    """Return the images whose label looks wrong, the least likely label first, at most 200."""
    dataset = pool.datasets[0]
    rows = []
    for row, suggested in zip(found.rows[:LABELS].tolist(), found.suggested[:LABELS].tolist(), strict=True):
        own = int(dataset.labels[row])
        rows.append(
            {
                **pool.place(0, row),
                "suggested": dataset.classes[suggested],
                "p_label": round(float(found.probabilities[row, own]), 4),
                "p_suggested": round(float(found.probabilities[row, suggested]), 4),
            }
        )
    return rows


def thumbnails(pool: Pool, audit: Mapping[str, Any]) -> dict[str, str]:
    """Return base64 JPEGs, at most 96 px, of the images in the first rows of each table."""
    keys = [place["thumbnail"] for group in audit["exact"][: _PICTURED["exact"]] for place in group["places"][:2]]
    keys += [pair[side]["thumbnail"] for pair in audit["near"][: _PICTURED["near"]] for side in ("a", "b")]
    keys += [row["thumbnail"] for row in audit["label_errors"][: _PICTURED["label_errors"]]]
    found = {}
    for key in dict.fromkeys(keys):
        source, row = (int(part) for part in key.split(":"))
        try:
            pixels = seen_by_people(pool.datasets[source].reader.read(row), pool.datasets[source].bands)
        except UndecodableError:  # listed as unreadable
            continue
        found[key] = base64.b64encode(thumbnail(Image.fromarray(pixels), _THUMBNAIL, 80)).decode()
    return found


def _sides(pool: Pool, sources: np.ndarray, rows: np.ndarray) -> list[str]:
    """Return the parts and other datasets that these rows belong to."""
    names = {
        (pool.parts[0][row] if source == 0 else pool.datasets[source].name) or "unassigned"
        for source, row in zip(sources.tolist(), rows.tolist(), strict=True)
    }
    return sorted(str(name) for name in names)
