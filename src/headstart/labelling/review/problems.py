"""What a person should look at before training: copies, labels that look wrong, odd images, groups across a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.audit.duplicates import Duplicates, find_duplicates
from headstart.audit.label_errors import FOLDS, LabelErrors, find_label_errors
from headstart.audit.odd_images import OddImage, find_odd_images
from headstart.audit.pool import Pool, make_pool, photographs
from headstart.data.dataset import Dataset
from headstart.data.sources.corrections import label_text
from headstart.labelling.review.look_alikes import look_alikes, outliers
from headstart.storage.store import Store
from headstart.units import percent

LEAK, LABEL, DUPLICATE, GROUP, OUTLIER = "leak", "label", "duplicate", "group", "outlier"
KINDS = {
    LEAK: "copies across the split",
    LABEL: "labels that look wrong",
    DUPLICATE: "copies",
    GROUP: "groups that look alike",
    "blank": "nearly blank",
    "dark": "too dark",
    "bright": "too bright",
    "blurred": "blurred",
    "shape": "odd shape",
    "size": "odd size",
    OUTLIER: "unlike all others",
}
MOST = 12  # images of one problem
_KEPT_FIRST = {"test": 0, "validation": 1, "train": 2, "": 3}  # which of several copies is kept, as in the audit


@dataclass(frozen=True)
class ReviewItem:
    """Images that one decision is about.

    Args:
        kind: a key of `KINDS`.
        rows: of the dataset; at least one.
        words: why they are shown.
        marked: rows that should go, or get the proposed label, if the finding is right.
        proposed: the label that the image looks like, or "".
    """

    kind: str
    rows: tuple[int, ...]
    words: str
    marked: tuple[int, ...]
    proposed: str = ""


def find_problems(
    dataset: Dataset, features: npt.NDArray[np.floating], store: Store, *, seed: int = 0
) -> list[ReviewItem]:
    """Return the problems, by kind in the order of `KINDS`; the most striking of each kind first.

    Args:
        dataset: with digests; images that do not decode are left out beforehand.
        features: float [n, d] of a pretrained network.
        store: caches what is seen of the images.
        seed: of the folds and of the approximate search.
    """
    pool = make_pool(dataset, [], None, store)
    flat = features.reshape(len(features), -1)
    duplicates = find_duplicates(pool, flat[pool.row], seed)
    same = photographs(pool, duplicates.near)
    errors = None
    if not dataset.multi_label:
        errors = find_label_errors(flat, dataset.labels, len(dataset.classes), groups=same, seed=seed)
    found = [
        *_copies(pool, duplicates, errors),
        *_labels(dataset, errors),
        *_groups(pool, flat, same, seed),
        *(ReviewItem(odd.kind, (odd.row,), odd.words, (odd.row,)) for odd in _odd(pool, store)),
        *(ReviewItem(OUTLIER, (row,), words, (row,)) for row, words in outliers(flat, seed)),
    ]
    order = list(KINDS)
    return sorted(found, key=lambda each: order.index(each.kind))


def _odd(pool: Pool, store: Store) -> Iterator[OddImage]:
    yield from find_odd_images(pool.datasets[0], pool.inspections[0], store)


def _copies(pool: Pool, duplicates: Duplicates, errors: LabelErrors | None) -> Iterator[ReviewItem]:
    """Yield groups of equal files, then pairs of near duplicates; those with different labels first.

    Of copies with different labels in one part, the one with the likeliest label is kept, unless one of the classes
    has too few images to be judged.
    """
    dataset = pool.datasets[0]
    judged = None if errors is None else np.bincount(dataset.labels)[dataset.labels] >= FOLDS
    equal = [([int(row) for row in group.rows], group.conflict, "equal files") for group in duplicates.exact]
    near = []
    for pair in duplicates.near:
        rows = [int(pool.row[pair.a]), int(pool.row[pair.b])]
        labels = {label_text(dataset, row) for row in rows}
        near.append((rows, len(labels) > 1, f"{pair.kind}, {percent(pair.similarity, 0)} alike"))
    for rows, conflict, words in sorted((*equal, *near), key=lambda each: not each[1]):
        parts = [str(pool.parts[0][row]) for row in rows]
        kind = LEAK if len(set(parts)) > 1 else DUPLICATE
        likely = dict.fromkeys(rows, 0.0)
        if conflict and errors is not None and judged is not None and judged[rows].all():
            likely = {row: float(errors.probabilities[row, dataset.labels[row]]) for row in rows}
            words += f", labels differ: {label_text(dataset, max(rows, key=lambda row: likely[row]))} is likelier"
        elif conflict:
            words += ", labels differ"
        kept = min(rows, key=lambda row: (_KEPT_FIRST.get(str(pool.parts[0][row]), 3), -likely[row], row))
        marked = tuple(row for row in rows if row != kept)
        words += f", in {_listed(sorted(set(parts)))}" if kind == LEAK else ""
        yield ReviewItem(kind, tuple(rows[:MOST]), words, tuple(row for row in marked if row in rows[:MOST]))


def _labels(dataset: Dataset, errors: LabelErrors | None) -> Iterator[ReviewItem]:
    """Yield the images whose label looks wrong, the least likely label first."""
    if errors is None:
        return
    for row, suggested in zip(errors.rows.tolist(), errors.suggested.tolist(), strict=True):
        own, other = (float(errors.probabilities[row, code]) for code in (dataset.labels[row], suggested))
        given, proposed = dataset.classes[dataset.labels[row]], dataset.classes[suggested]
        words = f"labelled {given} ({percent(own, 0)}), looks like {proposed} ({percent(other, 0)})"
        yield ReviewItem(LABEL, (row,), words, (row,), proposed)


def _groups(
    pool: Pool, features: npt.NDArray[np.floating], same: npt.NDArray[np.int64], seed: int
) -> Iterator[ReviewItem]:
    """Yield groups that look alike and are in several parts; without a given split, any: a random one divides them."""
    dataset, given = pool.datasets[0], pool.parts[0]
    if dataset.multi_label:
        return
    divided = dataset.given_split is not None
    for rows, cosine in look_alikes(features, dataset.labels.astype(np.int64), same, seed):
        parts = Counter(str(given[row]) for row in rows)
        if divided and len(parts) < 2:
            continue
        where = f"in {_listed(sorted(parts))}" if divided else "a random split would divide them"
        shown = rows[:MOST]
        apart = [row for row in shown if str(given[row]) not in ("test", "")] if divided else shown[1:]
        words = f"{len(rows)} images, {percent(cosine, 0)} alike, {where}"
        yield ReviewItem(GROUP, tuple(shown), words, tuple(apart))


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(part or "no part" for part in parts)
