"""Images and labels from Python."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.class_names import normal_form
from headstart.data.dataset import Dataset, IntArray, Skip
from headstart.data.decoding.pictures import batch_of
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
        labels: [n] class names, or numbers into `classes`; bool [n, C] where an image may have several.
        classes: the class names; without them the labels' own values, sorted by name.
        split: "train", "validation" or "test" of each image.
        groups: images of one group stay on one side of a split.

    Raises:
        ImageTypeError: one of the images is not an image.
        DataError: they do not fit together.
    """
    values = _column(labels)
    pictures = batch_of(images, count=len(values) if values.ndim else None)
    for what, column in (("labels", values), ("split", split), ("groups", groups)):
        if column is not None and len(column) != len(pictures):
            raise DataError(f"{len(pictures)} images, but {len(column)} {what}; there must be one for each image")
    if not pictures:
        raise DataError("there are no images in the array")
    numbers, names, unlabelled = _named(values, classes)
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
    return dataset.without(unlabelled, *(Skip(dataset.reader.name(row), "has no label") for row in unlabelled.tolist()))


def _column(labels: Any) -> npt.NDArray[Any]:
    """Return labels as an array in which a missing one beside texts is still what it was."""
    values = np.asarray(labels)
    listed = isinstance(labels, list | tuple) and values.ndim == 1 and values.dtype.kind in "US"
    return np.array(labels, dtype=object) if listed else values


def _is_missing(label: Any) -> bool:
    """Say whether it is None, NaN, or what pandas has in place of them; a text is a name, whatever it says."""
    if isinstance(label, str):
        return False
    return (
        label is None or (isinstance(label, float | np.floating) and math.isnan(label)) or str(label) in ("<NA>", "NaT")
    )


def _named(
    values: npt.NDArray[Any], classes: Sequence[str] | None
) -> tuple[npt.NDArray[np.int64] | npt.NDArray[np.bool_], tuple[str, ...], IntArray]:
    """Return the labels as numbers into sorted class names, the names, and the rows without a label."""
    if values.ndim == 2:
        titles = [normal_form(str(each)) for each in (classes if classes is not None else range(values.shape[1]))]
        if len(titles) != values.shape[1]:
            raise DataError(f"{values.shape[1]} columns of labels, but {len(titles)} class names")
        order = np.argsort(np.array(titles, dtype=np.str_), kind="stable")
        return values.astype(bool)[:, order], tuple(titles[place] for place in order), np.zeros(0, dtype=np.int64)
    if values.ndim != 1:
        raise DataError(f"labels have the shape {list(values.shape)}; [n] or [n, classes] is needed")
    if classes is not None and np.issubdtype(values.dtype, np.integer):
        if len(values) and (values.min() < 0 or values.max() >= len(classes)):
            wrong = values.max() if values.min() >= 0 else values.min()
            raise DataError(f"label {wrong} is not an index into {len(classes)} classes")
        texts = np.array([normal_form(str(each)) for each in classes], dtype=np.str_)[values]
    else:
        texts = np.array([normal_form(str(each)) for each in values.tolist()], dtype=np.str_)
    missing = np.array([_is_missing(each) for each in values.tolist()])
    if missing.all():
        raise DataError("no image has a label: all are missing (None or NaN)")
    names = np.unique(texts[~missing])
    numbers = np.where(missing, 0, np.searchsorted(names, texts))
    return numbers.astype(np.int64), tuple(str(each) for each in names), np.flatnonzero(missing)
