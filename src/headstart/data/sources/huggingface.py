"""Datasets of the Hugging Face hub, by `hf:NAME`; needs the extra `huggingface`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset, Skip
from headstart.data.image_files import read_file
from headstart.data.sources.in_memory import NumberedRows
from headstart.data.sources.numbered_labels import UNLABELLED, class_numbers
from headstart.data.sources.parts import part_of
from headstart.errors import DataError, MissingExtra
from headstart.progress import say


def from_huggingface(address: str, label: str | None = None, name: str | None = None) -> Dataset:
    """Return a dataset of the hub: `NAME`, `NAME:CONFIG` or `NAME:CONFIG@REVISION`.

    Its one image column and its one class column are used; `label` names another class column.

    Raises:
        MissingExtra: the package datasets is not installed.
        DataError: it cannot be loaded, or has no image or class column.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("a Hugging Face dataset", "huggingface") from error
    where, _, revision = address.partition("@")
    hub_name, _, config = where.partition(":")
    try:
        parts = datasets.load_dataset(hub_name, config or None, revision=revision or None)
    except Exception as error:  # the hub's client raises anything; the reason is passed on
        said = (str(error).strip() or repr(error)).splitlines()[0]
        raise DataError(f"hf:{address} cannot be loaded: {said}") from error
    chosen = {part: rows for part, rows in parts.items() if part_of(part)}
    if not chosen:
        raise DataError(f"hf:{address} has the parts {', '.join(parts)}, none of them train, validation or test")
    features = next(iter(chosen.values())).features
    image = _column(address, features, "Image", None)
    target = _column(address, features, "ClassLabel", label)
    titles = [str(each) for each in features[target].names]
    order = sorted(range(len(titles)), key=titles.__getitem__)
    place = np.empty(len(titles), dtype=np.int64)
    place[order] = np.arange(len(titles))
    numbers, splits, kept = [], [], []
    for part, rows in chosen.items():
        given = rows[target]
        values = class_numbers(given, titles, f"hf:{address}, {part}", range(1, len(given) + 1))
        if len(values) and (values < 0).all():  # a part without labels, as many test parts are
            say(f"hf:{address}: {part} has no labels, and is left out")
            continue
        numbers.append(np.where(values < 0, UNLABELLED, place[values]))
        splits.append(np.full(len(values), part_of(part), dtype="U10"))
        kept.append(rows.cast_column(image, datasets.Image(decode=False)))
    if not numbers:
        raise DataError(f"hf:{address}: no image has a label in column {target!r}")
    labels = np.concatenate(numbers)
    dataset = Dataset(
        name=name or hub_name,
        reader=HubReader(kept, image),
        labels=np.maximum(labels, 0),
        classes=tuple(titles[index] for index in order),
        given_split=np.concatenate(splits),
        about={"source": f"Hugging Face {address}"},
    )
    without = np.flatnonzero(labels == UNLABELLED)
    return dataset.without(without, *(Skip(f"#{row}", "has no label") for row in without.tolist()))


class HubReader(NumberedRows):
    """Encoded images in the image column of Hugging Face datasets, one after the other."""

    def __init__(self, parts: Sequence[Any], column: str) -> None:
        super().__init__([len(part) for part in parts])
        self.parts, self.column = parts, column

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the image's bytes."""
        part, place = self.at(row)
        value = self.parts[part][place][self.column]
        data: bytes = value["bytes"] if value["bytes"] is not None else read_file(value["path"])
        return data


def _column(address: str, features: Any, kind: str, wanted: str | None) -> str:
    found = [name for name, feature in features.items() if type(feature).__name__ == kind]
    if wanted is not None and wanted in found:
        return wanted
    if wanted is not None or not found:
        what = "image" if kind == "Image" else "class"
        named = f" {wanted!r}" if wanted else ""
        raise DataError(f"hf:{address} has no {what} column{named}; the columns are {', '.join(features)}")
    return str(found[0])
