"""The compact letter display: many pairwise comparisons in one column of a table."""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool


def compact_letters(differs: Bool[np.ndarray, "r r"]) -> list[str]:
    """Return letters for each of r runs, best first: two runs share a letter where they do not differ.

    Source: the insert-and-absorb algorithm of Piepho 2004, "An algorithm for a letter-based
    representation of all-pairwise comparisons".
    """
    runs = len(differs)
    columns = [frozenset(range(runs))]
    for a in range(runs):
        for b in range(a + 1, runs):
            if differs[a, b]:
                columns = _absorb([part for column in columns for part in _split(column, a, b)])
    columns.sort(key=sorted)
    names = _names(len(columns))
    return ["".join(name for name, column in zip(names, columns, strict=True) if run in column) for run in range(runs)]


def _split(column: frozenset[int], a: int, b: int) -> Sequence[frozenset[int]]:
    return [column - {a}, column - {b}] if a in column and b in column else [column]


def _absorb(columns: list[frozenset[int]]) -> list[frozenset[int]]:
    distinct = sorted(set(columns), key=lambda column: (-len(column), sorted(column)))
    kept: list[frozenset[int]] = []
    for column in distinct:
        if not any(column <= other for other in kept):
            kept.append(column)
    return kept


def _names(count: int) -> list[str]:
    single = string.ascii_lowercase + string.ascii_uppercase
    return [single[place] if place < len(single) else f"[{place + 1}]" for place in range(count)]
