"""Stored pixels are compared with the CRC-32 they were written with: each image when it is first read."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart.errors import StoreError
from headstart.storage.store import MANIFEST

NAME = "crc32.npy"


class PixelChecks:
    """The checksums of the images of one store entry, and which of them have been compared in this process.

    Args:
        folder: of the entry; holds `crc32.npy`, uint32 [m].
        compared: all of them have been.
    """

    def __init__(self, folder: Path, *, compared: bool = False) -> None:
        self.folder = folder
        self._sums = np.load(folder / NAME)
        self._seen = np.full(len(self._sums), compared)

    def compare(self, codes: npt.NDArray[np.int64], pixels: Callable[[int], npt.NDArray[np.uint8]]) -> None:
        """Compare those of these images that have not been read before.

        Args:
            codes: which images, by their place in the store.
            pixels: returns those of one of them.

        Raises:
            StoreError: an image has changed since it was written; the entry then counts as damaged.
        """
        if self._seen[codes].all():
            return
        for code in np.unique(codes[~self._seen[codes]]).tolist():
            if zlib.crc32(np.ascontiguousarray(pixels(code)).data) != self._sums[code]:
                with contextlib.suppress(OSError):
                    (self.folder / MANIFEST).unlink()
                raise StoreError(
                    f"{self.folder / 'pixels.u8'}: image {code} has changed since it was written;"
                    " run the command again to decode the images anew"
                )
            self._seen[code] = True


def checksums(data: bytes, sizes: Sequence[int]) -> list[int]:
    """Return the CRC-32 of consecutive stretches of `data`, of these sizes."""
    found, start = [], 0
    view = memoryview(data)
    for size in sizes:
        found.append(zlib.crc32(view[start : start + size]))
        start += size
    return found
