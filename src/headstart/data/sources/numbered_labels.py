"""Labels that are numbers of named classes, as Hugging Face stores them: -1 is an image without a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.data.dataset import IntArray
from headstart.errors import DataError

UNLABELLED = -1


def class_numbers(values: Sequence[Any], names: Sequence[str], where: str, rows: Sequence[int]) -> IntArray:
    """Return labels as numbers of classes, int64 [n]; -1 where an image has none.

    Args:
        values: numbers, or their text; None is no label.
        names: of the classes.
        where: the table and its column, for the message.
        rows: the row of each value, counted from 1, for the message.

    Raises:
        DataError: a label is no number, or is not that of a class; the message names the row.
    """
    found = np.empty(len(values), dtype=np.int64)
    for place, (value, row) in enumerate(zip(values, rows, strict=True)):
        number = UNLABELLED if value is None else _whole(value)
        if number is None or not UNLABELLED <= number < len(names):
            raise DataError(
                f"{where}, row {row}: the label {str(value)[:80]!r} is not the number of a class;"
                f" there are {len(names)} classes, 0 to {len(names) - 1}, and -1 is an image without a label"
            )
        found[place] = number
    return found


def _whole(value: Any) -> int | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() else None
