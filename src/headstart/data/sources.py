"""Images in: one function that understands every kind of source and looks at every image once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset, Skip, fingerprint_of
from headstart.data.fingerprint import examine
from headstart.data.folders import from_folder
from headstart.data.layout import with_note
from headstart.errors import DataError

_LIMIT_STREAM = 5


def load_dataset(
    source: str | Path | Mapping[str, Any],
    *,
    label: str | None = None,
    lists: Sequence[str | Path] | Mapping[str, str | Path] | None = None,
    limit: int | None = None,
    drop_duplicates: bool = False,
    strict: bool = False,
    name: str | None = None,
) -> Dataset:
    """Return the images and labels of a source; every image has been looked at (see `Dataset.digests`).

    Raises:
        DataError: the source cannot be used as it is; with `strict` also if any image had to be left out.
    """
    found = from_folder(Path(source), name)  # type: ignore[arg-type]
    if strict and found.skipped:
        raise DataError(_refusal(found, found.skipped[0], len(found.skipped)))
    return _limited(_looked_at(found, strict=strict, drop_duplicates=drop_duplicates), limit)


def _looked_at(dataset: Dataset, *, strict: bool, drop_duplicates: bool) -> Dataset:
    """Return the dataset less what is no image, with digests and fingerprint."""
    seen = examine(dataset.reader)
    dataset = replace(dataset, digests=seen.digests)
    if seen.problems:
        skips = [Skip(dataset.reader.name(row), why) for row, why in sorted(seen.problems.items())]
        if strict:
            raise DataError(_refusal(dataset, skips[0], len(skips)))
        dataset = dataset.without(np.fromiter(seen.problems, dtype=np.int64), *skips)
        if not len(dataset):
            raise DataError(f"{dataset.name}: no usable image: {skips[0].name} {skips[0].reason}, and so on")
    if drop_duplicates:
        dataset = without_duplicates(dataset)
    dataset = _with_present_classes(dataset)
    if len(dataset.classes) < 2:
        raise DataError(
            f"{dataset.name}: there is only one class, {dataset.classes[0]!r}; at least two are needed"
        )
    assert dataset.digests is not None
    return replace(dataset, fingerprint=fingerprint_of(dataset.digests, dataset.labels, dataset.classes))


def without_duplicates(dataset: Dataset) -> Dataset:
    """Return the dataset with the first of all images of equal content, and say how many went.

    Raises:
        DataError: equal images have two labels.
    """
    assert dataset.digests is not None
    _, first, inverse = np.unique(dataset.digests, return_index=True, return_inverse=True)
    differs = dataset.labels != dataset.labels[first][inverse]
    differs = differs.any(axis=1) if differs.ndim == 2 else differs
    if differs.any():
        row = int(np.flatnonzero(differs)[0])
        twin = int(first[inverse[row]])
        raise DataError(
            f"{dataset.name}: {dataset.reader.name(row)} and {dataset.reader.name(twin)} are the same image "
            f"with two labels; correct one of them"
        )
    gone = len(dataset) - len(first)
    if not gone:
        return dataset
    return with_note(dataset.select(np.sort(first)), "duplicates", f"{gone} exact duplicates dropped")


def _with_present_classes(dataset: Dataset) -> Dataset:
    """Return the dataset less the classes that have no image."""
    counts = dataset.counts()
    if counts.all():
        return dataset
    kept = np.flatnonzero(counts)
    gone = [dataset.classes[code] for code in np.flatnonzero(counts == 0)]
    place = np.cumsum(counts > 0) - 1
    labels = dataset.labels[:, kept] if dataset.multi_label else place[dataset.labels]
    slimmer = replace(dataset, labels=labels, classes=tuple(dataset.classes[code] for code in kept))
    return with_note(slimmer, "classes", f"without a usable image, left out: {', '.join(gone)}")


def _limited(dataset: Dataset, limit: int | None) -> Dataset:
    """Return at most `limit` images of each class and each given part, always the same ones."""
    if limit is None:
        return dataset
    if limit < 1:
        raise DataError(f"a limit of images per class is at least 1, not {limit}")
    from headstart.data.splits import rank_in_stratum, strata_of

    strata = strata_of(dataset.labels)
    if dataset.given_split is not None:
        strata = strata * 4 + np.unique(dataset.given_split, return_inverse=True)[1]
    order, rank = rank_in_stratum(strata, np.random.default_rng([0, _LIMIT_STREAM]))
    rows = np.sort(order[rank < limit])
    note = f"at most {limit} images of each class: {len(rows)} of {len(dataset)}"
    return with_note(dataset.select(rows), "limit", note)


def _refusal(dataset: Dataset, skip: Skip, count: int) -> str:
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"{dataset.name}: {skip.name} {skip.reason}{more}; remove it, or drop strict to skip it"
