"""All images of all datasets under audit, each distinct one once, and which of them show one photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from headstart.audit.inspect import Looks
from headstart.audit.near_duplicates import NearPair
from headstart.data.dataset import Dataset

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Pool:
    """All distinct images of all datasets; the audited dataset is source 0.

    Args:
        datasets: the audited one first.
        parts: str [n] for each dataset: "train", "validation", "test" or "".
        looks: what was seen of each.
        source, row: int64 [m], where each distinct image stands first.
    """

    datasets: tuple[Dataset, ...]
    parts: tuple[np.ndarray, ...]
    looks: tuple[Looks, ...]
    source: np.ndarray
    row: np.ndarray

    def read(self, place: int) -> bytes | np.ndarray:
        """Return the encoded bytes or pixels of a distinct image."""
        data: bytes | np.ndarray = self.datasets[self.source[place]].reader.read(int(self.row[place]))
        return data

    def place(self, source: int, row: int) -> dict[str, Any]:
        """Return what people and the report want to know of one row."""
        dataset = self.datasets[source]
        return {
            "dataset": dataset.name,
            "row": row,
            "name": dataset.reader.name(row),
            "label": label_of(dataset, row),
            "split": str(self.parts[source][row]),
            "thumbnail": f"{source}:{row}",
        }


def label_of(dataset: Dataset, row: int) -> str:
    """Return the class name of a row; several are joined."""
    label = dataset.labels[row]
    if dataset.multi_label:
        return ", ".join(dataset.classes[code] for code in np.flatnonzero(label))
    return dataset.classes[int(label)]


def photographs(pool: Pool, pairs: Sequence[NearPair]) -> np.ndarray:
    """Return a number for every row of every dataset, the same for rows that show one photograph."""
    digests = np.concatenate([each.digests for each in pool.looks])
    unique, codes = np.unique(digests, return_inverse=True)
    starts = np.cumsum([0, *(len(each) for each in pool.datasets)])
    own = codes[starts[pool.source] + pool.row]
    a, b = (own[np.array([getattr(pair, side) for pair in pairs], dtype=np.int64)] for side in ("a", "b"))
    links = coo_matrix((np.ones(len(a)), (a, b)), shape=(len(unique), len(unique)))
    groups: np.ndarray = connected_components(links, directed=False)[1]
    return groups[codes].astype(np.int64)
