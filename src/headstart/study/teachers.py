"""What a distillation is given besides the study's own runs: a saved model as the teacher, images without labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart.data.dataset import Dataset, IntArray, JoinedRows, fingerprint_of
from headstart.data.sources.layout import with_note
from headstart.data.sources.without_labels import load_without_labels
from headstart.errors import DataError
from headstart.models.bundle import Ensemble, read_ensemble
from headstart.models.freeze import fingerprint
from headstart.storage.store import Store, content_key
from headstart.study.spec.schema import DataSpec

COPIES = "copies"  # of labelled images: how many were left out, among what is said about images without labels


@dataclass(frozen=True)
class SavedTeacher:
    """A saved model that teaches.

    Args:
        ensemble: its networks.
        identity: the content key of everything that its probabilities depend on.
    """

    ensemble: Ensemble
    identity: str


def read_teacher(path: str) -> SavedTeacher:
    """Read a model file, a run folder or a study folder.

    Raises:
        WeightsError: there is none, or it is damaged.
    """
    ensemble = read_ensemble(Path(path).expanduser())
    facts = [
        [fingerprint(each.network), each.temperature, each.tta, each.classes, repr(each.preprocessing)]
        for each in ensemble.members
    ]
    return SavedTeacher(ensemble, content_key([ensemble.temperature, facts]))


def with_unlabelled(labelled: Dataset, unlabelled: Dataset) -> Dataset:
    """Return the labelled images, then those without labels, whose label is -1."""
    assert unlabelled.digests is not None and labelled.digests is not None
    labels = np.concatenate([labelled.labels, unlabelled.labels])
    digests = np.concatenate([labelled.digests, unlabelled.digests])
    return Dataset(
        name=labelled.name,
        reader=JoinedRows(labelled.reader, unlabelled.reader),
        labels=labels,
        classes=labelled.classes,
        fingerprint=fingerprint_of(digests, labels, labelled.classes),
        digests=digests,
        bands=labelled.bands,
    )


def read_unlabelled(spec: DataSpec, labelled: Dataset, store: Store) -> Dataset:
    """Return the images without labels that a study file names, without copies of labelled ones; see `new_images`.

    Where the study drops near duplicates, altered copies are left out, too.

    Raises:
        DataError: none can be used, or each is a copy of a labelled one.
    """
    assert spec.unlabelled is not None
    found, near = load_without_labels(spec.unlabelled, like=labelled.bands), None
    if spec.drop_duplicates == "near":
        from headstart.audit.audit import near_copies

        near = near_copies(labelled, found, store)
    return new_images(found, labelled, near)


def new_images(unlabelled: Dataset, labelled: Dataset, near: IntArray | None = None) -> Dataset:
    """Return the images without labels that are no copies of labelled ones, each once; `about` counts the copies.

    A copy of a test image would be learned from, and a copy of a training image has a label.

    Args:
        unlabelled, labelled: the images.
        near: rows of the images without labels that show the photograph of a labelled one.

    Raises:
        DataError: none is left.
    """
    assert unlabelled.digests is not None and labelled.digests is not None
    _, first = np.unique(unlabelled.digests, return_index=True)
    equal = np.isin(unlabelled.digests, labelled.digests)
    altered = np.setdiff1d([] if near is None else near, np.flatnonzero(equal)).astype(np.int64)
    fresh = np.setdiff1d(first[~equal[first]], altered)
    if not len(fresh):
        raise DataError(
            f"data.unlabelled: each of the {len(unlabelled)} images of {unlabelled.name} is a copy of a labelled one;"
            " give others"
        )
    counts = {
        "equal to a labelled image": int(equal.sum()),
        "with the photograph of a labelled image": len(altered),
        "equal to another one": len(unlabelled) - int(equal.sum()) - len(altered) - len(fresh),
    }
    copies = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    found = replace(unlabelled.select(fresh), name=f"{unlabelled.name}, unlabelled")
    return with_note(found, COPIES, copies) if copies else found
