"""The images of a finished study and those that arrived since, as one dataset in which each image has its part.

The study's images keep their part. A new image takes the part of its group where the study has images of it; any other
gets one by a hash of its group's name, or of its content, the same one whenever and in whatever order it comes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset, JoinedRows, fingerprint_of
from headstart.errors import DataError
from headstart.study.results.tested import Tested

_ALONE = re.compile(r"row \d+")  # what a manifest's reader calls the group of a row that has none


def joined(old: Dataset, given: Dataset, former: Tested) -> tuple[Dataset, list[str]]:
    """Return the old images, then those of `given` that are new, all with their parts, and what to tell.

    Raises:
        DataError: no image is new, or the labels are of another kind.
    """
    assert old.digests is not None and given.digests is not None
    if old.multi_label != given.multi_label:
        raise DataError(f"{given.name}: labels are of another kind than those of {old.name}")
    old_digests, given_digests = _texts(old.digests), _texts(given.digests)
    there = set(old_digests)
    known = np.array([digest in there for digest in given_digests], dtype=bool)
    fresh = given.select(np.flatnonzero(~known))
    if not len(fresh):
        raise DataError(f"{given.name}: has no image that the study does not know already")
    classes = tuple(sorted({*old.classes, *(c for c, n in zip(given.classes, given.counts(), strict=True) if n)}))
    notes = [f"in the study already: {known.sum():,} of these images"] if known.any() else []
    if added := [name for name in classes if name not in old.classes]:
        notes.append(f"new classes: {', '.join(added)}; the previous model does not know them")
    before, relabelled = _relabelled(old.with_classes(classes), given.with_classes(classes).select(known.nonzero()[0]))
    if relabelled:
        notes.append(f"{relabelled} images have a different label than in the study; the new one is used")
    assert fresh.digests is not None
    digests = np.concatenate([old.digests, fresh.digests])
    labels = np.concatenate([before, fresh.with_classes(classes).labels])
    groups = [*_groups(old), *_groups(fresh)]
    parts = _parts(zip(_groups(old), old_digests, strict=True), zip(_groups(given), given_digests, strict=True), former)
    share = len(former.test) / len(old)
    units = [_key(group, digest) for group, digest in zip(groups, _texts(digests), strict=True)]
    data = Dataset(
        name=old.name,
        reader=JoinedRows(old.reader, fresh.reader),
        labels=labels,
        classes=classes,
        given_split=np.array([parts.get(unit) or _drawn(unit, share) for unit in units], dtype=np.str_),
        groups=None if old.groups is None and fresh.groups is None else np.array(groups, dtype=np.str_),
        fingerprint=fingerprint_of(digests, labels, classes),
        digests=digests,
    )
    return data, notes


def as_old_and_new(old: Dataset, given: Dataset) -> Dataset:
    """Return both with the old images as test images: of several copies, the one in the test part is kept."""
    classes = tuple(sorted({*old.classes, *given.classes}))
    assert old.digests is not None and given.digests is not None
    digests = np.concatenate([old.digests, given.digests])
    labels = np.concatenate([old.with_classes(classes).labels, given.with_classes(classes).labels])
    return Dataset(
        name=given.name,
        reader=JoinedRows(old.reader, given.reader),
        labels=labels,
        classes=classes,
        given_split=np.array(["test"] * len(old) + ["train"] * len(given), dtype=np.str_),
        fingerprint=fingerprint_of(digests, labels, classes),
        digests=digests,
    )


def _texts(digests: npt.NDArray[np.bytes_]) -> list[str]:
    return [digest.decode() for digest in digests.tolist()]


def _relabelled(old: Dataset, known: Dataset) -> tuple[npt.NDArray[np.int64] | npt.NDArray[np.bool_], int]:
    """Return the labels of the old images, those of `known` where it has other ones, and of how many that is so."""
    assert old.digests is not None and known.digests is not None
    rows: dict[bytes, list[int]] = {}
    for row, digest in enumerate(old.digests.tolist()):
        rows.setdefault(digest, []).append(row)
    labels, changed = old.labels.copy(), set()
    for digest, label in zip(known.digests.tolist(), known.labels, strict=True):
        mine = rows[digest]
        if not all(np.array_equal(labels[row], label) for row in mine):
            labels[mine] = label
            changed.add(digest)
    return labels, len(changed)


def _groups(dataset: Dataset) -> list[str]:
    """Return the name of each row's group; of a row without one, its digest."""
    assert dataset.digests is not None
    digests = _texts(dataset.digests)
    if dataset.groups is None:
        return digests
    names: Sequence[str] = dataset.groups.tolist()
    return [digest if _ALONE.fullmatch(name) else name for name, digest in zip(names, digests, strict=True)]


def _key(group: str, digest: str) -> str:
    """Return 32 hex digits by which a group is drawn; a row without one is drawn by its content."""
    return digest if group == digest else hashlib.blake2b(group.encode(), digest_size=16).hexdigest()


def _parts(old: Iterable[tuple[str, str]], given: Iterable[tuple[str, str]], former: Tested) -> dict[str, str]:
    """Return the part of each group of which the study has tested or learned an image.

    Args:
        old: (group, digest) of the images of the study.
        given: of the images that arrived: what the study says of a group goes before what they say.
        former: which images the study tested and learned.
    """
    found: dict[str, str] = {}
    for rows in (old, given):
        seen: dict[str, set[tuple[bool, bool]]] = {}
        for group, digest in rows:
            seen.setdefault(_key(group, digest), set()).add((digest in former.test, digest in former.learned))
        for unit, states in seen.items():
            if unit not in found and states != {(False, False)}:
                only_test, only_learned = (True, False) in states, (False, True) in states
                found[unit] = "train" if only_learned and not only_test else "test"
    return found


def _drawn(unit: str, share: float) -> str:
    """Return a part by a hash: a share of all possible ones is test."""
    return "test" if int(unit[:8], 16) / 0x1_0000_0000 < share else "train"


def without_copies(old: Dataset, given: Dataset, kept: Dataset) -> Dataset:
    """Return `given` without the new images that `kept`, which was made of both, has no more."""
    assert old.digests is not None and given.digests is not None and kept.digests is not None
    stay = np.isin(given.digests, np.concatenate([old.digests, kept.digests]))
    return replace(given.select(np.flatnonzero(stay)), name=given.name)
