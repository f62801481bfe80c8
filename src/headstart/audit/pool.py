"""All images of the audited dataset and of those that it is compared with, each distinct one once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from headstart.audit.inspect import inspect_images
from headstart.audit.inspection_store import Inspection
from headstart.audit.near_duplicates import Copies, NearPair
from headstart.audit.small_copies import ChosenCopies
from headstart.data.dataset import Dataset, IntArray, Split
from headstart.storage.store import Store

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Pool:
    """All distinct images of all datasets; the audited dataset is source 0.

    Args:
        datasets: the audited one first.
        parts: str [n] for each dataset: "train", "validation", "test" or "".
        inspections: facts about the images of each dataset.
        source, row: int64 [m], dataset and row of the first copy of each distinct image that decodes.
    """

    datasets: tuple[Dataset, ...]
    parts: tuple[np.ndarray, ...]
    inspections: tuple[Inspection, ...]
    source: np.ndarray
    row: np.ndarray

    def read(self, place: int) -> bytes | np.ndarray:
        """Return the encoded bytes or pixels of a distinct image."""
        data: bytes | np.ndarray = self.datasets[self.source[place]].reader.read(int(self.row[place]))
        return data

    def copies(self) -> Copies:
        """Return the small copies of all distinct images; they stay on the disk."""
        short = np.empty(len(self.row), dtype=np.int64)
        for number, seen in enumerate(self.inspections):
            here = self.source == number
            short[here] = np.minimum(seen.width, seen.height)[self.row[here]]
        grey = ChosenCopies([seen.grey for seen in self.inspections], self.source, self.row)
        colour = ChosenCopies([seen.colour for seen in self.inspections], self.source, self.row)
        return Copies(grey, colour, short)

    def of_interest(self, a: IntArray, b: IntArray) -> np.ndarray:
        """Return which pairs of distinct images concern the audited dataset."""
        concern: np.ndarray = (self.source[a] == 0) | (self.source[b] == 0)
        return concern

    def differently_labelled(self, a: IntArray, b: IntArray) -> np.ndarray:
        """Return which pairs of distinct images are of the audited dataset and have different labels."""
        labels = self.datasets[0].labels
        if labels.ndim > 1:
            return np.zeros(len(a), dtype=bool)
        own = (self.source[a] == 0) & (self.source[b] == 0)
        first, second = (np.where(own, self.row[at], 0) for at in (a, b))
        differ: np.ndarray = own & (labels[first] != labels[second])
        return differ

    def place(self, source: int, row: int) -> dict[str, Any]:
        """Return what a person or the report needs to know about one row."""
        dataset = self.datasets[source]
        return {
            "dataset": dataset.name,
            "row": row,
            "name": dataset.reader.name(row),
            "label": label_of(dataset, row),
            "split": str(self.parts[source][row]),
            "thumbnail": f"{source}:{row}",
        }


def make_pool(dataset: Dataset, others: Sequence[Dataset], split: Split | None, store: Store | None) -> Pool:
    """Inspect all images and return the pool; parts are those of the split, else of the dataset's own."""
    datasets = (dataset, *others)
    inspections = tuple(inspect_images(each, store) for each in datasets)
    digests = np.concatenate([each.digests for each in inspections])
    decodes = np.concatenate([each.problem == "" for each in inspections])
    source = np.repeat(np.arange(len(datasets)), [len(each) for each in datasets])
    row = np.concatenate([np.arange(len(each)) for each in datasets])
    first = np.sort(np.unique(digests, return_index=True)[1])
    first = first[decodes[first]]
    parts = (_parts(dataset, split), *(_parts(other, None) for other in others))
    return Pool(datasets, parts, inspections, source[first], row[first])


def label_of(dataset: Dataset, row: int) -> str:
    """Return the class name of a row; several are joined."""
    label = dataset.labels[row]
    if dataset.multi_label:
        return ", ".join(dataset.classes[code] for code in np.flatnonzero(label))
    return dataset.classes[int(label)]


def photographs(pool: Pool, pairs: Sequence[NearPair]) -> np.ndarray:
    """Return a number for every row of every dataset, the same for rows that show the same photograph."""
    digests = np.concatenate([each.digests for each in pool.inspections])
    unique, codes = np.unique(digests, return_inverse=True)
    starts = np.cumsum([0, *(len(each) for each in pool.datasets)])
    own = codes[starts[pool.source] + pool.row]
    a, b = (own[np.array([getattr(pair, side) for pair in pairs], dtype=np.int64)] for side in ("a", "b"))
    links = coo_matrix((np.ones(len(a)), (a, b)), shape=(len(unique), len(unique)))
    groups: np.ndarray = connected_components(links, directed=False)[1]
    return groups[codes].astype(np.int64)


def _parts(dataset: Dataset, split: Split | None) -> np.ndarray:
    if split is None:
        return np.full(len(dataset), "", dtype="U10") if dataset.given_split is None else dataset.given_split
    parts = np.full(len(dataset), "", dtype="U10")
    for name in PARTS:
        parts[getattr(split, name)] = name
    return parts
