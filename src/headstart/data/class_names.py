"""Class names: written in one Unicode form, and no two of them that a person would take for the same."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import numpy as np

from headstart.data.dataset import Dataset
from headstart.errors import DataError


def normal_form(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), without blanks around it.

    macOS writes file names decomposed, other systems composed: the same letters, other bytes.
    """
    return unicodedata.normalize("NFC", name).strip()


def check_lookalikes(dataset: Dataset) -> Dataset:
    """Return the dataset, with a note on class names that differ only by case or blanks.

    Raises:
        DataError: two such names are in different parts of a given split, so that each part has a class of its own
            where one was meant.
    """
    by_look: dict[str, list[int]] = {}
    for code, name in enumerate(dataset.classes):
        by_look.setdefault("".join(normal_form(name).casefold().split()), []).append(code)
    alike = [codes for codes in by_look.values() if len(codes) > 1]
    for codes in alike:
        parts = [_parts_of(dataset, code) for code in codes]
        if any(parts) and not set.intersection(*parts):
            first, second = (dataset.classes[code] for code in codes[:2])
            where = [" and ".join(sorted(part)) for part in parts[:2]]
            raise DataError(
                f"{dataset.name}: {first!r} (in {where[0]}) and {second!r} (in {where[1]}) differ only by case or"
                " blanks; give both parts the same class names"
            )
    if not alike:
        return dataset
    pairs = "; ".join(", ".join(repr(dataset.classes[code]) for code in codes) for codes in alike)
    about = {**dataset.about, "similar class names": f"kept as different classes: {pairs}"}
    return replace(dataset, about=about)


def _parts_of(dataset: Dataset, code: int) -> set[str]:
    """Return the parts of the given split that have images of a class."""
    if dataset.given_split is None:
        return set()
    rows = dataset.labels[:, code] if dataset.multi_label else dataset.labels == code
    return {str(part) for part in np.unique(dataset.given_split[rows]) if part}
