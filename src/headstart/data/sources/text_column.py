"""A column of text in a table: its distinct values and a code for each row, without the many words for "missing"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.class_names import normal_form
from headstart.data.dataset import IntArray
from headstart.storage.arrow import arrow

MISSING = frozenset(  # what pandas reads as missing: how tables from elsewhere write it
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"}
    | {"NULL", "NaN", "None", "n/a", "nan", "null"}
)


@dataclass(frozen=True)
class Encoded:
    """A column of text as codes into its distinct values.

    Args:
        codes: int64 [n]; -1 where the cell is empty.
        values: the distinct values, stripped.
    """

    codes: IntArray
    values: list[str]


def encode(column: Any, tidy: Callable[[str], str] = normal_form, *, exact: bool = False) -> Encoded:
    """Return a column's distinct values and each row's code; missing cells, in any spelling, have the code -1.

    Args:
        tidy: what becomes of a value.
        exact: take values as they are: only a cell without any is missing.
    """
    pyarrow = arrow()
    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = column.cast(pyarrow.string()).combine_chunks().dictionary_encode()
    if isinstance(encoded, pyarrow.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    order: dict[str, int] = {}
    values = encoded.dictionary.to_pylist()
    tidied, missing = (values, frozenset[str]()) if exact else ([tidy(value) for value in values], MISSING)
    place = [-1 if value in missing else order.setdefault(value, len(order)) for value in tidied]
    return Encoded(np.array([*place, -1], dtype=np.int64)[codes], list(order))
