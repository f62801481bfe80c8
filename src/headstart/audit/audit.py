"""The audit: can these images and labels be trusted? One pass over files, hashes, features and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.audit.file_checks import describe_files, unreadable_rows
from headstart.audit.findings import findings
from headstart.audit.inspect import look
from headstart.audit.label_errors import Disputed, disputed_labels
from headstart.audit.near_duplicates import NearPair, near_duplicates
from headstart.audit.pool import PARTS, Pool, photographs
from headstart.audit.tables import disputed_rows, equal_rows, exact_rows, leaks, near_rows, rows_to_drop, thumbnails
from headstart.data.dataset import Dataset, Split
from headstart.data.sources.layout import with_note
from headstart.errors import DataError
from headstart.storage.store import Store

Audit = dict[str, Any]


@dataclass(frozen=True)
class Other:
    """Another dataset that the audited one should share nothing with, such as the source of a transfer.

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
        bad: rows that would not decode, and why, where they were decoded already.
        features: float [n, …] of some pretrained network. Without them neither cut-outs nor disputed
            labels are looked for.
        split: whose parts should share nothing; by default the dataset's given split.
        others: datasets that should share nothing with this one.
        store: where what was seen of the files is kept.
        seed: of the approximate index and the cross-validation.

    Returns:
        A dict that JSON can hold:
        name, fingerprint, n; classes (rows of class, n and the part counts), imbalance;
        unreadable, skipped; files (modes, formats, sizes, odd ones);
        exact (groups of equal files), near (pairs, most alike first), leaks;
        disputed (most doubtful first) and label_check (accuracy of the heads that dispute them); drop (rows
        of this dataset, by reason: unreadable, exact, near, shared); thumbnails (key → base64 JPEG, at most
        96 px); findings (level, text); notes; counts of exact, near and disputed, as long lists are cut.

    Raises:
        DataError: features or split of another dataset.
    """
    _check(dataset, features, split)
    pool, notes = _pool(dataset, others, split, store), []
    unreadable = unreadable_rows(pool.looks[0], bad or {})
    together, note = _features_of(pool, features, others)
    pairs, more = near_duplicates(
        np.concatenate([pool.looks[s].grey[pool.row[pool.source == s]] for s in range(len(pool.datasets))]),
        pool.read,
        together,
        allowed=lambda a, b: (pool.source[a] == 0) | (pool.source[b] == 0),
        seed=seed,
    )
    notes += note + more
    groups = equal_rows(pool)
    check, disputed = None, 0
    rows: list[dict[str, Any]] = []
    if features is not None and not dataset.multi_label:
        found = _disputed(pool, features, pairs, seed)
        rows, disputed = disputed_rows(pool, found), len(found.rows)
        check = {"accuracy": float((found.probabilities.argmax(axis=1) == dataset.labels).mean())}
    audit: Audit = {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "n": len(dataset),
        "others": [other.dataset.name for other in others],
        **_classes(dataset, pool.parts[0]),
        "unreadable": [{**pool.place(0, row), "reason": why} for row, why in sorted(unreadable.items())],
        "skipped": [{"name": skip.name, "reason": skip.reason} for skip in dataset.skipped],
        "files": describe_files(pool.looks[0], dataset),
        "exact": exact_rows(pool, groups),
        "near": near_rows(pool, pairs),
        "leaks": leaks(pool, pairs),
        "disputed": rows,
        "label_check": check,
        "drop": rows_to_drop(pool, groups, pairs, unreadable),
        "notes": notes,
    }
    audit["counts"] = {"exact": len(groups), "near": len(pairs), "disputed": disputed}
    audit["findings"] = findings(audit)
    audit["thumbnails"] = thumbnails(pool, audit)
    return audit


def without_near_duplicates(dataset: Dataset, store: Store | None = None) -> Dataset:
    """Return the dataset with one of all images of each photograph, and say how many went.

    The one in the test part stays, else the one in validation, else the first. Copies are found by their
    hashes and pixels, without features: saved again, resized, mirrored; cut-outs are not.
    """
    drop = audit_dataset(dataset, store=store)["drop"]
    gone = sorted({*drop["exact"], *drop["near"]})
    if not gone:
        return dataset
    return with_note(dataset.without(gone), "near duplicates", f"{len(gone)} near duplicates dropped")


def _pool(dataset: Dataset, others: Sequence[Other], split: Split | None, store: Store | None) -> Pool:
    datasets = (dataset, *(other.dataset for other in others))
    looks = tuple(look(each, store) for each in datasets)
    digests = np.concatenate([each.digests for each in looks])
    source = np.repeat(np.arange(len(datasets)), [len(each) for each in datasets])
    row = np.concatenate([np.arange(len(each)) for each in datasets])
    good = np.concatenate([(each.problem == "") for each in looks])
    _, first = np.unique(digests, return_index=True)
    first = np.sort(first)
    first = first[good[first]]
    parts = (_parts(dataset, split), *(_parts(other.dataset, None) for other in others))
    return Pool(datasets, parts, looks, source[first], row[first])


def _parts(dataset: Dataset, split: Split | None) -> np.ndarray:
    if split is None:
        return np.full(len(dataset), "", dtype="U10") if dataset.given_split is None else dataset.given_split
    parts = np.full(len(dataset), "", dtype="U10")
    for name in PARTS:
        parts[getattr(split, name)] = name
    return parts


def _features_of(
    pool: Pool, features: np.ndarray | None, others: Sequence[Other]
) -> tuple[np.ndarray | None, list[str]]:
    """Return the features of the distinct images, if all datasets have comparable ones, and notes."""
    if features is None:
        return None, ["without features, cut-outs and disputed labels were not looked for"]
    tables = [features, *(other.features for other in others)]
    width = int(np.prod(features.shape[1:]))
    if any(table is None or int(np.prod(table.shape[1:])) != width for table in tables):
        return None, ["a dataset without features of the same network: cut-outs were not looked for"]
    flat = [table.reshape(len(table), -1) for table in tables if table is not None]
    if len(flat) == 1 and len(pool.row) == len(features):
        return flat[0], []
    return np.concatenate([table[pool.row[pool.source == s]] for s, table in enumerate(flat)]), []


def _disputed(pool: Pool, features: np.ndarray, pairs: Sequence[NearPair], seed: int) -> Disputed:
    dataset = pool.datasets[0]
    groups = photographs(pool, pairs)[: len(dataset)]
    return disputed_labels(
        features.reshape(len(features), -1), dataset.labels, len(dataset.classes), groups=groups, seed=seed
    )


def _classes(dataset: Dataset, parts: np.ndarray) -> dict[str, Any]:
    counts = dataset.counts()
    by_part = {part: dataset.counts(np.flatnonzero(parts == part)) for part in PARTS if (parts == part).any()}
    rows = [
        {"class": name, "n": int(counts[c]), **{part: int(each[c]) for part, each in by_part.items()}}
        for c, name in enumerate(dataset.classes)
    ]
    share = counts / max(1, counts.sum())
    even = -float((share[share > 0] * np.log(share[share > 0])).sum())
    imbalance = {
        "largest": dataset.classes[int(counts.argmax())],
        "most": int(counts.max()),
        "smallest": dataset.classes[int(counts.argmin())],
        "fewest": int(counts.min()),
        "ratio": float(counts.max() / max(1, counts.min())),
        "effective_classes": float(np.exp(even)),
    }
    return {"classes": rows, "imbalance": imbalance}


def _check(dataset: Dataset, features: np.ndarray | None, split: Split | None) -> None:
    if features is not None and len(features) != len(dataset):
        raise DataError(f"{dataset.name}: {len(features)} features for {len(dataset)} images; extract them again")
    if split is not None:
        rows = np.concatenate([split.train, split.validation, split.test])
        if len(rows) and (rows.min() < 0 or rows.max() >= len(dataset)):
            raise DataError(f"{dataset.name}: the split names row {int(rows.max())} of {len(dataset)}; it is another's")
