"""Images and labels from Python, written as a manifest, so that a study and its worker processes can name them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headstart.data.dataset import ChosenRows, Dataset, JoinedRows
from headstart.data.decoding.decode import UndecodableError
from headstart.data.readers import FileReader
from headstart.data.sources.arrays import from_mapping
from headstart.data.sources.in_memory import PictureReader
from headstart.data.sources.manifest import SEPARATOR
from headstart.errors import DataError
from headstart.storage.files import write_atomic
from headstart.storage.store import cache_root

FOLDER = "from-python"  # in the cache


def written(data: Mapping[str, Any] | Dataset, folder: Path | None = None) -> Path:
    """Return a Parquet manifest with these images, labels, parts and groups, named by its content.

    Images that all are files are named by their paths; of all others the file's bytes, or the pixels as PNG, are
    written. Rows that cannot be read are written too: whoever loads the manifest says so.

    Args:
        data: {"images": …, "labels": …} as `load_dataset` takes it, or a dataset.
        folder: where to write; by default in the cache.

    Raises:
        DataError: the images and labels do not fit together, or a class name contains the mark between labels.
    """
    import pyarrow
    import pyarrow.parquet

    dataset = data if isinstance(data, Dataset) else from_mapping(data)
    columns: dict[str, Any] = {"label": _labels(dataset)}
    paths = [_path(dataset, row) for row in range(len(dataset))]
    if all(path is not None for path in paths):
        columns["path"] = [str(path) for path in paths]
    else:
        columns["bytes"] = [_bytes(dataset, row) for row in range(len(dataset))]
    if dataset.given_split is not None:
        columns["split"] = dataset.given_split.tolist()
    if dataset.groups is not None:
        columns["group"] = dataset.groups.tolist()
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), buffer, row_group_size=256)
    content = buffer.getvalue()
    place = (folder or cache_root() / FOLDER) / f"images-{hashlib.blake2b(content, digest_size=5).hexdigest()}.parquet"
    if not place.is_file():
        write_atomic(place, content)
    return place


def _labels(dataset: Dataset) -> list[Any]:
    for name in dataset.classes:
        if SEPARATOR in name:
            raise DataError(f"class {name!r}: {SEPARATOR!r} separates several labels of an image; rename the class")
    if dataset.multi_label:
        return [[dataset.classes[code] for code in np.flatnonzero(row)] for row in dataset.labels]
    return [dataset.classes[code] for code in dataset.labels.tolist()]


def _path(dataset: Dataset, row: int) -> Path | None:
    """Return the file of a row, or None where it has none."""
    reader, place = dataset.reader, row
    while isinstance(reader, ChosenRows | JoinedRows):
        reader, place = reader.at(place)
    if isinstance(reader, FileReader):
        return reader.path(place).absolute()
    image = reader.images[place] if isinstance(reader, PictureReader) else None
    return Path(image).expanduser().absolute() if isinstance(image, str | Path) else None


def _bytes(dataset: Dataset, row: int) -> bytes:
    try:
        content = dataset.reader.read(row)
    except (OSError, UndecodableError):
        return b""
    if isinstance(content, bytes) or not content.size:
        return content if isinstance(content, bytes) else b""
    buffer = io.BytesIO()
    Image.fromarray(content).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
