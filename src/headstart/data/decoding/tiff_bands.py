"""TIFF files of any number of bands and any depth, read by tifffile: their shape first, then their numbers."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import logging
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.decoding.bounds import MAX_MEMORY, MAX_PIXELS, ROOM, check_bytes
from headstart.data.decoding.faults import LacksMemoryError, UndecodableError

EXTRA = "bands"
MAX_BANDS = 1024
_DESCRIPTIONS = 42112  # GDAL's tag: XML with the bands' names
_REDUCED = 1  # bit of NewSubfileType: a smaller copy of the picture
_ITEM = re.compile(r'<Item\s+([^>]*name="DESCRIPTION"[^>]*)>([^<]*)</Item>')
_SAMPLE = re.compile(r'sample="(\d+)"')
_KINDS = "uif"


@dataclass(frozen=True)
class TiffBands:
    """A TIFF's header.

    Args:
        height, width, bands: its shape.
        dtype: of its numbers.
        names: of its bands; a band without one is called by its number.
    """

    height: int
    width: int
    bands: int
    dtype: str
    names: tuple[str, ...]

    @property
    def memory(self) -> int:
        """About how many bytes reading takes at its height: the numbers, their encoded parts and a copy."""
        return 3 * self.height * self.width * self.bands * np.dtype(self.dtype).itemsize


@cache
def tifffile_version() -> str:
    """Return the version of the package that reads these files, or "" where it is not installed."""
    return "" if importlib.util.find_spec("tifffile") is None else importlib.metadata.version("tifffile")


def read_tiff(data: bytes) -> tuple[TiffBands, npt.NDArray[Any]]:
    """Return a TIFF's header and its numbers, [height, width, bands], as the file has them; it is opened once.

    Raises:
        UndecodableError: it is no TIFF, is cut short, is out of bounds, which its header shows before any pixel is
            read, or its pixels are damaged.
    """
    with _opened(data) as file:
        header = _header(file, len(data))
        with ROOM.of(header.memory):
            return header, _numbers(file, header)


def _numbers(file: Any, header: TiffBands) -> npt.NDArray[Any]:
    try:
        planes = [page.asarray(maxworkers=1) for page in _pages(file)]
    except MemoryError as error:
        raise LacksMemoryError from error
    except Exception as error:  # the codecs raise anything on damaged files; the reason is passed on
        raise UndecodableError(_reason(error)) from error
    separate = len(planes) > 1 or file.pages.first.planarconfig == 2
    numbers = np.stack(planes) if len(planes) > 1 else planes[0]
    numbers = numbers[:, :, None] if numbers.ndim == 2 else np.moveaxis(numbers, 0, -1) if separate else numbers
    if numbers.shape != (header.height, header.width, header.bands):
        raise UndecodableError(f"has numbers of shape {list(numbers.shape)} where its header says another")
    if numbers.dtype.kind == "f":
        empty = np.flatnonzero(~np.isfinite(numbers).any(axis=(0, 1)))
        if len(empty):
            raise UndecodableError(f"has no finite number in band {int(empty[0])}")
    return numbers


def _opened(data: bytes) -> Any:
    if not tifffile_version():
        raise UndecodableError(f"is a TIFF of which bands are chosen: pip install 'headstart[{EXTRA}]'")
    check_bytes(data)
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it says of damaged files is said here
    try:
        return tifffile.TiffFile(io.BytesIO(data))
    except Exception as error:
        raise UndecodableError("is not a TIFF, or its directory is damaged") from error


def _pages(file: Any) -> list[Any]:
    """Return the pages that are bands: one with all of them, or several of the same shape and type."""
    first = file.pages.first
    if first.samplesperpixel > 1:
        return [first]
    alike = [
        page
        for page in file.pages
        if page.shape == first.shape and page.dtype == first.dtype and not int(page.subfiletype) & _REDUCED
    ]
    return alike[: MAX_BANDS + 1]


def _header(file: Any, size: int) -> TiffBands:
    try:
        pages = _pages(file)
        first = pages[0]
        height, width = int(first.imagelength), int(first.imagewidth)
        bands = len(pages) if len(pages) > 1 else int(first.samplesperpixel)
        dtype = first.dtype
        places = [place for page in pages for place in zip(page.dataoffsets, page.databytecounts, strict=True)]
        description = first.tags.valueof(_DESCRIPTIONS)
    except Exception as error:
        raise UndecodableError("has a damaged directory") from error
    if dtype is None or np.dtype(dtype).kind not in _KINDS:
        raise UndecodableError("has numbers of a type that is not read; save it as whole numbers or floats")
    if min(height, width, bands) < 1 or int(first.imagedepth) != 1:
        raise UndecodableError("has no pixels, or more than two dimensions")
    header = TiffBands(height, width, bands, np.dtype(dtype).name, _names(description, bands))
    _check_bounds(header)
    if not places or any(count < 1 or offset + count > size for offset, count in places):
        raise UndecodableError("is cut short (a part of its pixels is beyond its end)")
    return header


def _check_bounds(header: TiffBands) -> None:
    if header.bands > MAX_BANDS:
        raise UndecodableError(f"has {header.bands:,} bands, more than {MAX_BANDS:,}")
    if header.height * header.width > MAX_PIXELS:
        raise UndecodableError(
            f"is a decompression bomb: {header.width} × {header.height} pixels, more than {MAX_PIXELS:,}; make it"
            " smaller"
        )
    if header.memory > MAX_MEMORY:
        raise UndecodableError(
            f"would take {header.memory / 1e9:.1f} GB of memory to decode, more than {MAX_MEMORY / 1e9:.1f} GB; make"
            " it smaller"
        )


def _names(description: Any, bands: int) -> tuple[str, ...]:
    """Return the bands' names in GDAL's metadata; a band without one, or with another's, is called by its number."""
    names = [str(number) for number in range(bands)]
    if isinstance(description, str):
        for attributes, name in _ITEM.findall(description):
            sample = _SAMPLE.search(attributes)
            place = int(sample[1]) if sample else -1
            if 0 <= place < bands and name.strip() and name.strip() not in names:
                names[place] = name.strip()
    return tuple(names)


def _reason(error: Exception) -> str:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "imagecodecs" in said:
        return f"is compressed in a way that needs another package: pip install 'headstart[{EXTRA}]'"
    return f"cannot be decoded ({said})"
