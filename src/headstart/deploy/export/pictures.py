"""The pictures that an export is checked on, and those from which an int8 model is calibrated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headstart.addresses import as_given, is_address, needs_path
from headstart.bands import Bands
from headstart.data.dataset import Dataset, IntArray
from headstart.data.decoding.decode import SUFFIXES, Pixels, UndecodableError, View, decode
from headstart.errors import DataError

NOISE = 16  # pictures


@dataclass(frozen=True)
class Pictures:
    """Encoded pictures, read one at a time.

    Args:
        what: which pictures, in words.
        count: how many.
        read: gives the encoded bytes, or pixels, of picture k.
        labels: their classes: int64 [count], of multi-label models bool [count, C]; or None.
    """

    what: str
    count: int
    read: Callable[[int], bytes | Pixels]
    labels: np.ndarray | None = None

    def __iter__(self) -> Iterator[bytes | Pixels]:
        return (self.read(k) for k in range(self.count))

    def first(self, count: int) -> Pictures:
        """Return `count` of them, evenly spread; all where there are no more."""
        if count >= self.count:
            return self
        rows = np.linspace(0, self.count - 1, count).round().astype(np.int64)
        labels = None if self.labels is None else self.labels[rows]
        return Pictures(f"{count:,} of {self.what}", count, lambda k: self.read(int(rows[k])), labels)


@dataclass(frozen=True)
class Material:
    """What is known about a model beside its file.

    Args:
        test: the pictures that an export is checked on.
        train, validation: those that an int8 model is calibrated and measured on; None without the study's images.
        seen: the model that is exported has learned from the validation images too.
        results: metrics of the test part with intervals, as result.json has them; or nothing.
        data: facts about the dataset: name, licence, fingerprint, number of images of each part; or nothing.
    """

    test: Pictures
    train: Pictures | None = None
    validation: Pictures | None = None
    seen: bool = False
    results: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


def rows_of(dataset: Dataset, rows: IntArray, what: str) -> Pictures:
    """Return some rows of a dataset as pictures with labels."""
    return Pictures(what, len(rows), lambda k: dataset.reader.read(int(rows[k])), dataset.labels[rows])


def folder_of(place: str | Path, bands: Bands | None = None) -> Pictures:
    """Return the pictures in a folder and the folders in it, read in these bands if any; they have no labels.

    Raises:
        DataError: no such folder, no picture in it, or one that cannot be decoded.
    """
    folder = Path(place).expanduser()
    if not folder.is_dir():
        if is_address(str(place)):
            raise DataError(f"images {as_given(place)}: {needs_path(place, 'images', 'their folder')}")
        raise DataError(f"images {folder}: no such folder")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    readable = [path for path in files if _decodes(path, bands)]
    if not readable:
        raise DataError(f"images {folder}: holds no picture that can be read")
    return Pictures(f"{len(readable):,} pictures in {folder}", len(readable), lambda k: readable[k].read_bytes())


def noise(seed: int = 0, bands: Bands | None = None) -> Pictures:
    """Return smooth random pictures of several shapes, for a model whose pictures are not at hand.

    Args:
        seed: of the pictures.
        bands: what the model takes: its pictures are within their ranges; None: red, green and blue.
    """
    generator = np.random.default_rng(seed)
    if bands is not None:
        return Pictures(
            f"{NOISE} pictures of random noise", NOISE, lambda k: _banded(np.random.default_rng([seed, k]), bands)
        )
    shapes = generator.integers(200, 600, (NOISE, 2)).tolist()
    made = [_smooth(generator, height, width) for height, width in shapes]
    return Pictures(f"{NOISE} pictures of random noise", NOISE, lambda k: made[k])


def _smooth(generator: np.random.Generator, height: int, width: int) -> Pixels:
    from PIL import Image

    coarse = generator.integers(0, 256, (12, 12, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _banded(generator: np.random.Generator, bands: Bands) -> Any:
    """Return numbers [h, w, bands of a file] within the ranges of the chosen bands, zero elsewhere."""
    height, width = generator.integers(32, 128, 2).tolist()
    numbers = np.zeros((height, width, bands.choice.of))
    for place, index in enumerate(bands.choice.indices):
        numbers[:, :, index] = generator.uniform(bands.low[place], bands.high[place], (height, width))
    return numbers


def _decodes(path: Path, bands: Bands | None) -> bool:
    try:
        decode(path, None if bands is None else View(8, 8, bands=bands))
    except UndecodableError:
        return False
    return True
