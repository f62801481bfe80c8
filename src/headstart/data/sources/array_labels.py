"""Labels from Python as numbers of classes: names, numbers into given classes, rows of 0 and 1, and missing ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.class_names import normal_form
from headstart.data.dataset import IntArray
from headstart.errors import DataError

Labels = npt.NDArray[np.int64] | npt.NDArray[np.bool_]
_SHOWN = 5  # classes


def labels_of(values: npt.NDArray[Any], classes: Sequence[str] | None) -> tuple[Labels, tuple[str, ...], IntArray]:
    """Return the labels as numbers into sorted class names, the names, and the rows without a label.

    Args:
        values: [n] names or numbers, or [n, C] of 0 and 1; None and NaN are missing.
        classes: the class names, by number.

    Raises:
        DataError: a label is not that of a class, or all are missing; the message names the row, counted from 0.
    """
    names = None if classes is None else _checked([normal_form(str(each)) for each in classes])
    if values.ndim == 2:
        return _several(values, names)
    if values.ndim != 1:
        raise DataError(f"labels have the shape {list(values.shape)}; [n] or [n, classes] is needed")
    listed = values.tolist()
    missing = np.array([_is_missing(each) for each in listed])
    if missing.all():
        raise DataError("no image has a label: all are missing (None or NaN)")
    if names is None:
        texts = ["" if gone else _name(each) for each, gone in zip(listed, missing, strict=True)]
    else:
        texts = [
            "" if gone else _class_of(each, names, row)
            for row, (each, gone) in enumerate(zip(listed, missing, strict=True))
        ]
    column = np.array(texts, dtype=np.str_)
    used = np.unique(column[~missing] if names is None else np.array(names, dtype=np.str_))
    numbers = np.where(missing, 0, np.searchsorted(used, column))
    return numbers.astype(np.int64), tuple(str(each) for each in used), np.flatnonzero(missing)


def _checked(names: list[str]) -> list[str]:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"the class name {twice!r} is given twice")
    return names


def _is_missing(label: Any) -> bool:
    """Return whether it is None, NaN, or what pandas has in place of them; a text is a name, whatever it says."""
    if isinstance(label, str):
        return False
    return (
        label is None or (isinstance(label, float | np.floating) and math.isnan(label)) or str(label) in ("<NA>", "NaT")
    )


def _whole(label: Any) -> int | None:
    """Return a whole number as such; beside a missing label, pandas and NumPy make floats of whole numbers."""
    if isinstance(label, float | np.floating):
        return int(label) if float(label).is_integer() else None
    return int(label) if isinstance(label, int | np.integer | np.bool_) else None


def _name(label: Any) -> str:
    """Return a label as the name of a class."""
    if isinstance(label, bytes):
        return normal_form(label.decode("utf-8", "replace"))
    number = None if isinstance(label, bool | np.bool_) else _whole(label)
    return normal_form(str(label if number is None else number))


def _class_of(label: Any, names: Sequence[str], row: int) -> str:
    """Return the class that a name or a number means."""
    number = _whole(label)
    if number is not None:
        if 0 <= number < len(names):
            return names[number]
        raise DataError(f"label {number} of image {row} is not an index into {len(names)} classes")
    name = _name(label)
    if name in names:
        return name
    known = ", ".join(names[:_SHOWN]) + (f", … ({len(names)} in all)" if len(names) > _SHOWN else "")
    raise DataError(f"label {str(label)[:80]!r} of image {row} is not one of the classes ({known})")


def _several(
    values: npt.NDArray[Any], names: Sequence[str] | None
) -> tuple[npt.NDArray[np.bool_], tuple[str, ...], IntArray]:
    """Return rows of 0 and 1 with sorted columns, and the rows in which one of them is missing."""
    titles = [str(each) for each in range(values.shape[1])] if names is None else list(names)
    if len(titles) != values.shape[1]:
        raise DataError(f"{values.shape[1]} columns of labels, but {len(titles)} class names")
    missing, positive = _cells(values)
    gone = missing.any(axis=1)
    if len(values) and gone.all():
        raise DataError("no image has all of its labels: one in every row is missing (None or NaN)")
    order = np.argsort(np.array(titles, dtype=np.str_), kind="stable")
    return positive[:, order], tuple(titles[place] for place in order), np.flatnonzero(gone)


def _cells(values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which cells are missing, and which say that an image has the label.

    Raises:
        DataError: one is neither missing nor 0 nor 1.
    """
    if values.dtype.kind in "buif":
        missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, dtype=bool)
        positive, negative = values == 1, values == 0
    else:
        cells = [[None if _is_missing(each) else _whole(each) for each in row] for row in values.tolist()]
        absent = [[_is_missing(each) for each in row] for row in values.tolist()]
        missing = np.array(absent, dtype=bool).reshape(values.shape)
        positive = np.array([[each == 1 for each in row] for row in cells], dtype=bool).reshape(values.shape)
        negative = np.array([[each == 0 for each in row] for row in cells], dtype=bool).reshape(values.shape)
    wrong = np.argwhere(~(missing | positive | negative))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise DataError(
            f"label {str(values[row, column])[:80]!r} of image {row}, column {column}, is neither 0 nor 1; where an"
            " image may have several labels, a row is 0 and 1 over all classes"
        )
    return missing, positive
