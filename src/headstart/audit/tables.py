"""The audit's lists: equal files, near duplicates, leaks between parts, disputed labels, rows to drop."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from headstart.audit.label_errors import Disputed
from headstart.audit.near_duplicates import NearPair
from headstart.audit.pool import Pool, photographs
from headstart.data.decoding.decode import UndecodableError, decode

LISTED = 1000  # groups of equal files, at most
PLACES = 20  # of each
DISPUTED = 200  # listed at most
_PICTURED = {"exact": 30, "near": 60, "disputed": 60}
_THUMBNAIL = 96
_KEEP_FIRST = {"test": 0, "validation": 1, "train": 2, "": 3}  # which of several copies stays


@dataclass(frozen=True)
class Equal:
    """Rows of equal content.

    Args:
        sources, rows: int64 [m], which dataset and which row of it; the audited dataset first.
        conflict: rows of the audited dataset among them have different labels.
    """

    sources: np.ndarray
    rows: np.ndarray
    conflict: bool


def equal_rows(pool: Pool) -> list[Equal]:
    """Return groups of rows with equal content, of which at least one is of the audited dataset."""
    digests = np.concatenate([each.digests for each in pool.looks])
    source = np.repeat(np.arange(len(pool.datasets)), [len(each) for each in pool.datasets])
    row = np.concatenate([np.arange(len(each)) for each in pool.datasets])
    _, codes, counts = np.unique(digests, return_inverse=True, return_counts=True)
    several = np.flatnonzero((counts[codes] > 1) & (digests != b""))
    order = several[np.argsort(codes[several], kind="stable")]
    groups = []
    for members in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else []:
        if source[members[0]] == 0:
            own = pool.datasets[0].labels[row[members[source[members] == 0]]]
            groups.append(Equal(source[members], row[members], bool((own != own[:1]).any())))
    return sorted(groups, key=lambda group: (not group.conflict, int(group.rows[0])))


def exact_rows(pool: Pool, groups: Sequence[Equal]) -> list[dict[str, Any]]:
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
        for group in groups[:LISTED]
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


def leaks(pool: Pool, pairs: Sequence[NearPair]) -> dict[str, Any]:
    """Count images of test and validation with a twin in an earlier part, and images shared with others."""
    main = len(pool.datasets[0])
    near, exact = photographs(pool, pairs), photographs(pool, [])
    parts = pool.parts[0]
    found: dict[str, Any] = {}
    for name, seen_in in (("test", ("train", "validation")), ("validation", ("train",))):
        of, earlier = parts == name, np.isin(parts, seen_in)
        equal = np.isin(exact[:main][of], exact[:main][earlier])
        alike = np.isin(near[:main][of], near[:main][earlier]) & ~equal
        found[name] = {"n": int(of.sum()), "exact": int(equal.sum()), "near": int(alike.sum())}
    shared, start = [], main
    for other in pool.datasets[1:]:
        there = slice(start, start + len(other))
        equal = np.isin(exact[:main], exact[there])
        alike = np.isin(near[:main], near[there]) & ~equal
        shared.append({"dataset": other.name, "exact": int(equal.sum()), "near": int(alike.sum())})
        start += len(other)
    found["others"] = shared
    return found


def disputed_rows(pool: Pool, found: Disputed) -> list[dict[str, Any]]:
    """Return the images whose label is disputed, the most doubtful first, at most 200."""
    dataset = pool.datasets[0]
    rows = []
    for row, suggested, doubt in zip(found.rows[:DISPUTED], found.suggested, found.doubt, strict=False):
        label = int(dataset.labels[row])
        rows.append(
            {
                **pool.place(0, int(row)),
                "suggested": dataset.classes[int(suggested)],
                "p_label": round(float(found.probabilities[row, label]), 4),
                "p_suggested": round(float(found.probabilities[row, suggested]), 4),
                "doubt": round(float(doubt), 4),
            }
        )
    return rows


def rows_to_drop(
    pool: Pool, groups: Sequence[Equal], pairs: Sequence[NearPair], bad: Mapping[int, str]
) -> dict[str, list[int]]:
    """Return rows of the audited dataset to leave out, by reason.

    Of several copies one stays: that of the test part, else of validation, else the first. Equal files
    with different labels all go, as nobody can tell which label is right.
    """
    main, parts = len(pool.datasets[0]), pool.parts[0]
    exact: list[int] = []
    for group in groups:
        rows = group.rows[group.sources == 0].tolist()
        stays = [] if group.conflict else [_staying(rows, parts)]
        exact += [row for row in rows if row not in stays]
    everyone = photographs(pool, pairs)
    near = _all_but_one(everyone[:main], parts, {*exact, *bad})
    shared = np.flatnonzero(np.isin(everyone[:main], everyone[main:])).tolist()
    return {"unreadable": sorted(bad), "exact": sorted(exact), "near": near, "shared": shared}


def thumbnails(pool: Pool, audit: Mapping[str, Any]) -> dict[str, str]:
    """Return base64 JPEGs, at most 96 px, of the images that the first rows of each list are about."""
    keys = [place["thumbnail"] for group in audit["exact"][: _PICTURED["exact"]] for place in group["places"][:2]]
    keys += [pair[side]["thumbnail"] for pair in audit["near"][: _PICTURED["near"]] for side in ("a", "b")]
    keys += [row["thumbnail"] for row in audit["disputed"][: _PICTURED["disputed"]]]
    found = {}
    for key in dict.fromkeys(keys):
        source, row = (int(part) for part in key.split(":"))
        try:
            pixels = decode(pool.datasets[source].reader.read(row))
        except UndecodableError:  # listed as unreadable
            continue
        image = Image.fromarray(pixels)
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        found[key] = base64.b64encode(buffer.getvalue()).decode()
    return found


def _all_but_one(photograph: np.ndarray, parts: np.ndarray, gone: set[int]) -> list[int]:
    _, codes, counts = np.unique(photograph, return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts[codes] > 1)
    members: dict[int, list[int]] = {}
    for row in several.tolist():
        if row not in gone:
            members.setdefault(int(codes[row]), []).append(row)
    return sorted(row for rows in members.values() for row in rows if row != _staying(rows, parts))


def _staying(rows: Sequence[int], parts: np.ndarray) -> int:
    return min(rows, key=lambda row: (_KEEP_FIRST.get(str(parts[row]), 3), row))


def _sides(pool: Pool, sources: np.ndarray, rows: np.ndarray) -> list[str]:
    """Return the parts and other datasets that these rows stand in, if more than one."""
    names = {
        (pool.parts[0][row] if source == 0 else pool.datasets[source].name) or "unassigned"
        for source, row in zip(sources.tolist(), rows.tolist(), strict=True)
    }
    return sorted(str(name) for name in names)
