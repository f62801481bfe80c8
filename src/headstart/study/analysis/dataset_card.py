"""Writes a dataset's facts, items and thumbnails for the report."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.data.dataset import Dataset, Split
from headstart.data.decoding.decode import View
from headstart.data.decoding.image_store import ImageArray
from headstart.data.decoding.thumbnail import thumbnail
from headstart.models.preprocessing import Preprocessing
from headstart.storage.arrow import arrow, arrow_parquet
from headstart.storage.files import write_atomic
from headstart.study.execution.session import Session
from headstart.study.results.facts import known_facts, write_facts
from headstart.study.results.folder import npz_bytes
from headstart.study.task import class_counts

THUMBNAIL = 96  # px, longest side


_SMALL = Preprocessing(size=128, resize=128)


def write_data(session: Session, data: Any, dataset: Dataset, split: Split) -> None:
    """Write the facts, items and thumbnails of a dataset of the study."""
    folder = session.folder.data_folder(dataset.fingerprint)
    if known_facts(folder / "dataset.json", dataset.fingerprint) is None:
        bad = session.resources.bad_rows(dataset)
        needs, bands = _decoded_preprocessing(session, dataset), session.resources.bands(data)
        images = session.resources.images(data, needs if bands is None else needs.of_bands(bands))
        write_card(folder, dataset, split, images, bad, in_turn=data.split.fold == "seed")


def write_card(
    folder: Path,
    dataset: Dataset,
    split: Split,
    images: ImageArray,
    bad: Mapping[int, str],
    *,
    in_turn: bool = False,
) -> None:
    """Write a dataset's facts, its items and thumbnails of its test images.

    Args:
        folder: where to.
        dataset, split: the images and their parts.
        images: as they were decoded.
        bad: rows that cannot be decoded, and why.
        in_turn: every image is tested, in one fold or another.
    """
    skipped = [{"name": skip.name, "reason": skip.reason} for skip in dataset.skipped]
    skipped += [{"name": dataset.reader.name(row), "reason": why} for row, why in sorted(bad.items())]
    facts = {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "key": dataset.fingerprint,
        "classes": list(dataset.classes),
        "multi_label": dataset.multi_label,
        "n": len(dataset),
        "about": dataset.about,
        "bands": None if dataset.bands is None else dataset.bands.words,
        "skipped": skipped,
        "corrected": [asdict(each) for each in dataset.corrected],
        "split": split.rule,
        "counts": {side: class_counts(dataset, getattr(split, side)) for side in ("train", "validation", "test")},
    }
    _write_items(folder / "items.parquet", dataset)
    tested = np.concatenate([split.train, split.validation, split.test]) if in_turn else split.test
    rows = np.setdiff1d(tested, np.array(sorted(bad), dtype=np.int64))
    write_atomic(folder / "thumbnails.npz", thumbnails(images, rows))
    write_facts(folder / "dataset.json", facts, ["items.parquet", "thumbnails.npz"])


def thumbnails(images: Any, rows: npt.NDArray[np.int64]) -> bytes:
    """Return JPEGs of at most 96 px of some rows: rows, offsets and data, as one npz."""
    view = getattr(images, "view", None)  # an array's is a method
    bands = view.bands if isinstance(view, View) else None
    shown = (images[int(row)] for row in rows)
    pictures = (Image.fromarray(each if bands is None else bands.picture(each)) for each in shown)
    parts = [thumbnail(picture, THUMBNAIL, 72) for picture in pictures]
    offsets = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)
    return npz_bytes(rows=rows, offsets=offsets, data=np.frombuffer(b"".join(parts), dtype=np.uint8))


def _write_items(path: Any, dataset: Dataset) -> None:
    names = [dataset.reader.name(row) for row in range(len(dataset))]
    labels = dataset.labels.argmax(1) if dataset.multi_label else dataset.labels
    columns = {"row": np.arange(len(dataset)), "name": names, "label": labels}
    if dataset.digests is not None:
        columns["digest"] = [digest.decode() for digest in dataset.digests.tolist()]
    table = arrow().table(columns)
    buffer = io.BytesIO()
    arrow_parquet().write_table(table, buffer)
    write_atomic(path, buffer.getvalue())


def _decoded_preprocessing(session: Session, dataset: Dataset) -> Preprocessing:
    """Return the largest view in which these images are already decoded, or else a small one."""
    views = [
        view for (fingerprint, view) in session.resources.decoded if fingerprint == dataset.fingerprint and view.crop
    ]
    if not views:
        return _SMALL
    view = max(views, key=lambda v: v.crop or 0)
    return Preprocessing(size=view.crop or view.resize, resize=view.resize, interpolation=view.interpolation)
