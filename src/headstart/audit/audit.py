"""The audit: can these images and labels be trusted? Files, class counts, duplicates, leaks and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.audit.class_counts import count_classes, imbalance
from headstart.audit.duplicates import Duplicates, find_duplicates, leaks, rows_to_drop
from headstart.audit.file_checks import describe_files, unreadable_rows
from headstart.audit.findings import findings
from headstart.audit.label_errors import LabelErrors, find_label_errors
from headstart.audit.near_duplicates import NearPair
from headstart.audit.pool import Pool, make_pool, photographs
from headstart.audit.tables import exact_rows, label_rows, near_rows, thumbnails
from headstart.data.dataset import Dataset, IntArray, Split
from headstart.data.sources.layout import with_note
from headstart.errors import DataError
from headstart.notebook import Shown
from headstart.storage.store import Store


class Audit(Shown, dict[str, Any]):
    """What `audit_dataset` returns; it can be written as JSON.

    name, fingerprint, n, others     what was audited
    classes, imbalance               rows of class, n and the count in each part; how uneven they are
    unreadable, skipped, files       files that do not decode; items left out at loading; modes, formats and sizes
    exact, near, leaks               groups of equal files; pairs of near duplicates, most alike first; images shared
                                     between parts and with other datasets
    label_errors, label_check        labels that look wrong, the least likely first; accuracy of the classifier that
                                     judges them, or None
    drop                             rows of this dataset, by reason: unreadable, exact, near, shared
    findings, notes                  level, kind and text of each finding; what was not checked
    counts                           of exact (groups), copies, near and label_errors, as long tables are cut
    thumbnails                       key → base64 JPEG, at most 96 px
    """


@dataclass(frozen=True)
class Other:
    """Another dataset that should share no image with the audited one, such as the source of a transfer.

    Args:
        dataset: its images.
        features: float [n, …] by the same network as those of the audited dataset, or None.
    """

    dataset: Dataset
    features: np.ndarray | None = None


def audit_dataset(
    dataset: Dataset,
    *,
    bad: Mapping[int, str] | None = None,
    features: np.ndarray | None = None,
    split: Split | None = None,
    others: Sequence[Other] = (),
    store: Store | None = None,
    seed: int = 0,
) -> Audit:
    """Audit a dataset, alone or against others.

    Args:
        dataset: the images and labels.
        bad: rows that did not decode, and why, where they were decoded already.
        features: float [n, …] of a pretrained network. Without them, neither cut-outs nor labels that look
            wrong are searched for.
        split: whose parts should share no image; by default the dataset's given split.
        others: datasets that should share no image with this one.
        store: where the inspection of the files is cached.
        seed: of the approximate index and the cross-validation.

    Raises:
        DataError: the features or the split belong to another dataset.
    """
    _check(dataset, features, split)
    pool = make_pool(dataset, [other.dataset for other in others], split, store)
    unreadable = unreadable_rows(pool.inspections[0], bad or {})
    together, note = _pooled_features(pool, features, others)
    duplicates = find_duplicates(pool, together, seed)
    labels = _label_errors(pool, features, duplicates.near, seed)
    classes = count_classes(dataset, pool.parts[0])
    audit = Audit(
        {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "n": len(dataset),
            "others": [other.dataset.name for other in others],
            "classes": classes,
            "imbalance": imbalance(classes),
            "unreadable": [{**pool.place(0, row), "reason": why} for row, why in sorted(unreadable.items())],
            "skipped": [{"name": skip.name, "reason": skip.reason} for skip in dataset.skipped],
            "files": describe_files(pool.inspections[0], dataset),
            "exact": exact_rows(pool, duplicates.exact),
            "near": near_rows(pool, duplicates.near),
            "leaks": leaks(pool, duplicates.near),
            "label_errors": [] if labels is None else label_rows(pool, labels),
            "label_check": None if labels is None else {"accuracy": labels.accuracy},
            "drop": rows_to_drop(pool, duplicates, unreadable),
            "notes": [*note, *duplicates.notes],
            "counts": _counts(duplicates, labels),
        }
    )
    audit.update(findings=findings(audit), thumbnails=thumbnails(pool, audit))
    return audit


def _counts(duplicates: Duplicates, labels: LabelErrors | None) -> dict[str, int]:
    """Return how many there are of what the tables show the first of."""
    return {
        "exact": len(duplicates.exact),
        "copies": sum(len(group.rows) - 1 for group in duplicates.exact),
        "near": len(duplicates.near),
        "label_errors": 0 if labels is None else len(labels.rows),
    }


def without_near_duplicates(dataset: Dataset, store: Store | None = None) -> Dataset:
    """Return the dataset with one image of each photograph, with a note that says how many were dropped.

    The copy in the test part is kept, else the one in validation, else the first. No features are used, so that
    cut-outs of less than about 85 % of a photograph are not found.
    """
    pool = make_pool(dataset, [], None, store)
    drop = rows_to_drop(pool, find_duplicates(pool, None, seed=0), {})
    gone = sorted({*drop["exact"], *drop["near"]})
    if not gone:
        return dataset
    return with_note(dataset.without(gone), "near duplicates", f"{len(gone)} near duplicates dropped")


def near_copies(dataset: Dataset, others: Dataset, store: Store | None = None) -> IntArray:
    """Return the rows of the others that show a photograph of the dataset, copies of equal content among them.

    As for `without_near_duplicates`, no features are used.
    """
    pool = make_pool(dataset, [others], None, store)
    same = photographs(pool, find_duplicates(pool, None, seed=0).near)
    return np.flatnonzero(np.isin(same[len(dataset) :], same[: len(dataset)]))


def _pooled_features(
    pool: Pool, features: np.ndarray | None, others: Sequence[Other]
) -> tuple[np.ndarray | None, list[str]]:
    """Return the features of the pool's distinct images, if all datasets have comparable ones, and notes."""
    if features is None:
        return None, ["without features, cut-outs and labels that look wrong were not searched for"]
    tables = [features, *(other.features for other in others)]
    width = int(np.prod(features.shape[1:]))
    if any(table is None or int(np.prod(table.shape[1:])) != width for table in tables):
        return None, ["a dataset has no features of the same network: cut-outs were not searched for"]
    flat = [table.reshape(len(table), -1) for table in tables if table is not None]
    if len(flat) == 1 and len(pool.row) == len(features):
        return flat[0], []
    return np.concatenate([table[pool.row[pool.source == s]] for s, table in enumerate(flat)]), []


def _label_errors(pool: Pool, features: np.ndarray | None, near: Sequence[NearPair], seed: int) -> LabelErrors | None:
    """Return the labels that look wrong; copies of one photograph are held out together."""
    dataset = pool.datasets[0]
    if features is None or dataset.multi_label:
        return None
    groups = photographs(pool, near)[: len(dataset)]
    flat = features.reshape(len(features), -1)
    return find_label_errors(flat, dataset.labels, len(dataset.classes), groups=groups, seed=seed)


def _check(dataset: Dataset, features: np.ndarray | None, split: Split | None) -> None:
    if features is not None and len(features) != len(dataset):
        raise DataError(f"{dataset.name}: {len(features)} features for {len(dataset)} images; extract them again")
    if split is not None:
        rows = np.concatenate([split.train, split.validation, split.test])
        if len(rows) and (rows.min() < 0 or rows.max() >= len(dataset)):
            raise DataError(
                f"{dataset.name}: the split has row {int(rows.max())}, the dataset only {len(dataset)} rows;"
                " use the split of this dataset"
            )
