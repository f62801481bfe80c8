"""Images and labels from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset, Skip
from headstart.data.decoding.pictures import batch_of
from headstart.data.sources.array_labels import labels_of
from headstart.data.sources.in_memory import PictureReader
from headstart.data.sources.parts import part_of
from headstart.errors import DataError, unknown_name

KEYS = ("images", "labels", "classes", "split", "groups")


def from_mapping(source: Mapping[str, Any], name: str | None = None) -> Dataset:
    """Return the dataset of {"images": …, "labels": …} with, if wanted, "classes", "split" and "groups".

    Raises:
        DataError: an unknown or a missing key, or arrays that do not fit together.
    """
    for key in source:
        if key not in KEYS:
            raise DataError(unknown_name("key of a dataset from arrays", key, KEYS))
    if "images" not in source or "labels" not in source:
        raise DataError("a dataset from arrays needs 'images' and 'labels'")
    return from_arrays(**source, name=name)


def from_arrays(
    images: Any,
    labels: Any,
    classes: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    groups: Sequence[object] | None = None,
    name: str | None = None,
) -> Dataset:
    """Return a dataset of images in memory, or of paths.

    Args:
        images: an array or tensor [n, …], or a sequence of paths, bytes, open files, PIL images, arrays or tensors;
            see `pictures`.
        labels: [n] class names, or numbers into `classes`; bool [n, C] where an image may have several. An image
            whose label, or one of them, is missing (None, NaN) is left out.
        classes: the class names; without them the labels' own values, sorted by name.
        split: "train", "validation" or "test" of each image.
        groups: images of one group stay on one side of a split.

    Raises:
        ImageTypeError: one of the images is not an image.
        DataError: they do not fit together.
    """
    for what, each in (("labels", labels), ("classes", classes), ("split", split), ("groups", groups)):
        if each is not None or what == "labels":
            _check_listed(what, each)
    values = _column(labels)
    pictures = batch_of(images, count=len(values) if values.ndim else None)
    for what, column in (("labels", values), ("split", split), ("groups", groups)):
        if column is not None and len(column) != len(pictures):
            raise DataError(f"{len(pictures)} images, but {len(column)} {what}; there must be one for each image")
    if not pictures:
        raise DataError("there are no images in the array")
    numbers, names, unlabelled = labels_of(values, classes)
    parts = None
    if split is not None:
        for part in set(split):
            if part_of(str(part)) is None:
                raise DataError(unknown_name("part of a split", part, ("train", "validation", "test")))
        parts = np.array([part_of(str(part)) for part in split], dtype="U10")
    dataset = Dataset(
        name=name or "arrays",
        reader=PictureReader(pictures),
        labels=numbers,
        classes=names,
        given_split=parts,
        groups=None if groups is None else np.array([str(group) for group in groups], dtype=np.str_),
        about={"source": "images from Python"},
    )
    if not len(unlabelled):
        return dataset
    why = "has no label" if values.ndim == 1 else "has a missing label"
    return dataset.without(unlabelled, *(Skip(dataset.reader.name(row), why) for row in unlabelled.tolist()))


def _check_listed(what: str, values: Any) -> None:
    """Refuse a single value, a text or a mapping where there is one value for each image."""
    if (
        isinstance(values, str | bytes | Mapping | Set)
        or getattr(values, "ndim", 1) == 0
        or not hasattr(values, "__len__")
    ):
        shown = " ".join(repr(values).split())
        raise DataError(f"{what} are a list or an array, not {type(values).__name__} {shown:.40}")


def _column(labels: Any) -> npt.NDArray[Any]:
    """Return labels as an array in which a missing one beside texts is still what it was."""
    try:
        values = np.asarray(labels)
    except ValueError as error:  # rows of different lengths
        raise DataError(
            "labels are lists of different lengths; give one label an image, or, for several, a row of 0 and 1 over all"
            " classes"
        ) from error
    listed = isinstance(labels, list | tuple) and values.ndim == 1 and values.dtype.kind in "US"
    return np.array(labels, dtype=object) if listed else values
