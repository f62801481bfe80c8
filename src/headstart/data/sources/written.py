"""Images and labels from Python, written as a manifest, so that a study and its worker processes can name them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.data.dataset import ChosenRows, Dataset, JoinedRows
from headstart.data.decoding.decode import UndecodableError
from headstart.data.decoding.digests import digest_of
from headstart.data.readers import FileReader
from headstart.data.reasons import counted_reasons
from headstart.data.sources.arrays import from_mapping
from headstart.data.sources.in_memory import PictureReader
from headstart.data.sources.manifest import SEPARATOR, WRITTEN
from headstart.errors import DataError
from headstart.progress import say
from headstart.storage.arrow import arrow, arrow_parquet
from headstart.storage.files import atomic_file
from headstart.storage.store import cache_root

FOLDER = "from-python"  # in the cache
_FORMAT = 2  # raise it when the same images would be written differently
_ROWS = 256  # in a group of the file


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
    dataset = data if isinstance(data, Dataset) else from_mapping(data)
    if not isinstance(data, Dataset) and dataset.skipped:
        say(f"left out: {counted_reasons(skip.reason for skip in dataset.skipped)}")
    texts = _texts(dataset)
    name = f"images-{_content_of(dataset, texts)}.parquet"
    place = (folder or cache_root() / FOLDER) / name
    if not place.is_file():
        with atomic_file(place) as file:
            _write(file, dataset, texts)
    return place


def _texts(dataset: Dataset) -> dict[str, list[Any]]:
    """Return all columns but the images' bytes."""
    columns: dict[str, list[Any]] = {"label": _labels(dataset)}
    paths = [_path(dataset, row) for row in range(len(dataset))]
    if all(path is not None for path in paths):
        columns["path"] = [str(path) for path in paths]
    if dataset.given_split is not None:
        columns["split"] = dataset.given_split.tolist()
    if dataset.groups is not None:
        columns["group"] = dataset.groups.tolist()
    return columns


def _content_of(dataset: Dataset, texts: Mapping[str, list[Any]]) -> str:
    """Return ten digits that depend on all that is written."""
    state = hashlib.blake2b(repr((_FORMAT, texts)).encode("utf-8", "surrogatepass"), digest_size=5)
    if "path" not in texts:
        for row in range(len(dataset)):
            known = None if dataset.digests is None else dataset.digests[row]
            state.update(known or digest_of(_content(dataset, row)).encode())
    return state.hexdigest()


def _write(file: BinaryIO, dataset: Dataset, texts: Mapping[str, list[Any]]) -> None:
    """Write the table in groups of rows, of which only one is in memory."""
    pyarrow = arrow()
    text, bytes_ = pyarrow.string(), [] if "path" in texts else [("bytes", pyarrow.binary())]
    kinds = {"label": pyarrow.list_(text) if dataset.multi_label else text}
    fields = [*((name, kinds.get(name, text)) for name in texts), *bytes_]
    schema = pyarrow.schema(fields, metadata={WRITTEN: str(_FORMAT)})
    with arrow_parquet().ParquetWriter(file, schema) as writer:
        for start in range(0, len(dataset), _ROWS):
            rows = range(start, min(start + _ROWS, len(dataset)))
            columns = {name: column[rows.start : rows.stop] for name, column in texts.items()}
            if bytes_:
                columns["bytes"] = [_bytes(dataset, row) for row in rows]
            writer.write_table(arrow().table(columns, schema=schema))


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


def _content(dataset: Dataset, row: int) -> bytes | npt.NDArray[np.uint8]:
    """Return an image's bytes or pixels; no bytes where it cannot be read."""
    try:
        content = dataset.reader.read(row)
    except (OSError, UndecodableError):
        return b""
    return content if isinstance(content, bytes) or content.size else b""


def _bytes(dataset: Dataset, row: int) -> bytes:
    content = _content(dataset, row)
    if isinstance(content, bytes):
        return content
    buffer = io.BytesIO()
    Image.fromarray(content).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
