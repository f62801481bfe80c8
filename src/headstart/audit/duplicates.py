"""Exact and near duplicates in a pool of images: groups, leaks between parts, and rows to drop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.audit.near_duplicates import NearPair, near_duplicates
from headstart.audit.pool import Pool, photographs

_KEPT_FIRST = {"test": 0, "validation": 1, "train": 2, "": 3}  # which of several copies is kept


@dataclass(frozen=True)
class EqualFiles:
    """Rows with the same content.

    Args:
        sources, rows: int64 [m], dataset and row of each; the audited dataset first.
        conflict: rows of the audited dataset among them have different labels.
    """

    sources: np.ndarray
    rows: np.ndarray
    conflict: bool


@dataclass(frozen=True)
class Duplicates:
    """All duplicates that concern the audited dataset.

    Args:
        exact: groups of equal files, those with contradicting labels first.
        near: pairs of distinct images, numbered as in the pool, most alike first.
        notes: what was not checked.
    """

    exact: Sequence[EqualFiles]
    near: Sequence[NearPair]
    notes: Sequence[str]


def find_duplicates(pool: Pool, features: np.ndarray | None, seed: int) -> Duplicates:
    """Find all duplicates, with the features [m, d] of the pool's distinct images if there are any."""
    near, notes = near_duplicates(
        pool.copies(),
        pool.read,
        features,
        allowed=pool.of_interest,
        different=pool.differently_labelled,
        seed=seed,
    )
    return Duplicates(equal_files(pool), near, notes)


def equal_files(pool: Pool) -> list[EqualFiles]:
    """Return groups of rows with equal content, of which at least one is of the audited dataset."""
    digests = np.concatenate([each.digests for each in pool.inspections])
    source = np.repeat(np.arange(len(pool.datasets)), [len(each) for each in pool.datasets])
    row = np.concatenate([np.arange(len(each)) for each in pool.datasets])
    _, codes, counts = np.unique(digests, return_inverse=True, return_counts=True)
    several = np.flatnonzero((counts[codes] > 1) & (digests != b""))
    order = several[np.argsort(codes[several], kind="stable")]
    groups = []
    for members in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else []:
        if source[members[0]] == 0:
            own = pool.datasets[0].labels[row[members[source[members] == 0]]]
            groups.append(EqualFiles(source[members], row[members], bool((own != own[:1]).any())))
    return sorted(groups, key=lambda group: (not group.conflict, int(group.rows[0])))


def leaks(pool: Pool, near: Sequence[NearPair]) -> dict[str, Any]:
    """Count test and validation images with a copy in an earlier part, and images shared with other datasets."""
    main = len(pool.datasets[0])
    alike, equal = photographs(pool, near), photographs(pool, [])
    parts = pool.parts[0]
    found: dict[str, Any] = {}
    for name, earlier in (("test", ("train", "validation")), ("validation", ("train",))):
        of, before = parts == name, np.isin(parts, earlier)
        found[name] = {"n": int(of.sum()), **_shared(alike[:main], equal[:main], of, before)}
    others, start = [], main
    everything = np.arange(len(alike))
    for other in pool.datasets[1:]:
        there = (everything >= start) & (everything < start + len(other))
        others.append({"dataset": other.name, **_shared(alike, equal, everything < main, there)})
        start += len(other)
    return {**found, "others": others}


def rows_to_drop(pool: Pool, duplicates: Duplicates, unreadable: Mapping[int, str]) -> dict[str, list[int]]:
    """Return rows of the audited dataset to leave out, by reason.

    Of several copies one is kept: that of the test part, else of validation, else the first. Equal files with
    different labels are all dropped, as it is unknown which label is right.
    """
    main, parts = len(pool.datasets[0]), pool.parts[0]
    exact: list[int] = []
    for group in duplicates.exact:
        rows = group.rows[group.sources == 0].tolist()
        kept = None if group.conflict else _kept(rows, parts)
        exact += [row for row in rows if row != kept]
    everyone = photographs(pool, duplicates.near)
    near = _all_but_one(everyone[:main], parts, {*exact, *unreadable})
    shared = np.flatnonzero(np.isin(everyone[:main], everyone[main:])).tolist()
    return {"unreadable": sorted(unreadable), "exact": sorted(exact), "near": near, "shared": shared}


def _shared(alike: np.ndarray, equal: np.ndarray, of: np.ndarray, among: np.ndarray) -> dict[str, int]:
    """Count the images `of` one part that have an equal, or only a near, copy `among` others."""
    exact = np.isin(equal[of], equal[among])
    near = np.isin(alike[of], alike[among]) & ~exact
    return {"exact": int(exact.sum()), "near": int(near.sum())}


def _all_but_one(photograph: np.ndarray, parts: np.ndarray, gone: set[int]) -> list[int]:
    members: dict[int, list[int]] = {}
    for row, number in enumerate(photograph.tolist()):
        if row not in gone:
            members.setdefault(number, []).append(row)
    return sorted(row for rows in members.values() for row in rows if row != _kept(rows, parts))


def _kept(rows: Sequence[int], parts: np.ndarray) -> int:
    return min(rows, key=lambda row: (_KEPT_FIRST.get(str(parts[row]), 3), row))
