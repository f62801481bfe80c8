"""Readers of images from Python: pictures of any kind, and map-style datasets of PIL images."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.data.decoding.decode import content_of
from headstart.data.decoding.pictures import Picture
from headstart.data.image_files import file_identity, read_file

_LOADING = threading.Lock()


class PictureReader:
    """Images from Python, of any kind that `pictures` takes; arrays must be uint8.

    Args:
        images: an array uint8 [n, h, w] or [n, h, w, 1, 3 or 4], or a sequence of pictures.
    """

    def __init__(self, images: npt.NDArray[np.uint8] | Sequence[Picture]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def name(self, row: int) -> str:
        """Return the path, where the image has one, or the row number."""
        image = self.images[row]
        return str(image) if isinstance(image, str | Path) else f"#{row}"

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the bytes of a path, or pixels.

        Raises:
            UndecodableError: the pixels of a PIL image cannot be loaded.
        """
        image = self.images[row]
        if isinstance(image, str | Path):
            return read_file(Path(image).expanduser())
        if isinstance(image, Image.Image):
            with _LOADING:  # the same object may be in several rows, which threads read at once
                return content_of(image)
        return content_of(image)

    def identity(self, row: int) -> str:
        """Return a path and the state of its file; nothing for what is in memory."""
        image = self.images[row]
        if not isinstance(image, str | Path):
            return ""
        return file_identity(Path(image).expanduser().absolute())


class NumberedRows:
    """The rows of several parts, one after the other, named by their number; no part says when it changes.

    Args:
        sizes: number of rows of each part.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self._starts = np.cumsum([0, *sizes])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def at(self, row: int) -> tuple[int, int]:
        """Return which part a row is in, and its number there."""
        part = int(np.searchsorted(self._starts, row, side="right")) - 1
        return part, row - int(self._starts[part])

    def name(self, row: int) -> str:
        """Return the row number."""
        return f"#{row}"

    def identity(self, row: int) -> str:
        """Return nothing: such images do not say when they change."""
        return ""


class ItemReader(NumberedRows):
    """Images of map-style datasets (`dataset[row][0]` is a PIL image), one after the other.

    Args:
        datasets: each with its number of rows.
        name: the display name.
    """

    def __init__(self, datasets: Sequence[tuple[Any, int]], name: str) -> None:
        super().__init__([count for _, count in datasets])
        self.datasets, self.title = [each for each, _ in datasets], name

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the pixels."""
        part, place = self.at(row)
        return content_of(self.datasets[part][place][0])
