"""Inspection of every image file: format, size, whether it decodes completely, and two small copies to compare."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.data.dataset import Dataset, IntArray
from headstart.data.decoding.bounds import ROOM, memory_of
from headstart.data.decoding.decode import UndecodableError, load_whole, open_image, quiet_pillow, to_rgb
from headstart.data.decoding.digests import examine
from headstart.data.decoding.faults import LacksMemoryError
from headstart.errors import DataError, first_line
from headstart.progress import progress
from headstart.storage.opening import default_store
from headstart.storage.store import Store, content_key
from headstart.threads import cores

KIND = "inspections"
SIDE = 32  # of the small grey copy
COLOUR_SIDE = 16  # of the small colour copy
_VERSION = 1
_BATCH = 64

Grey = npt.NDArray[np.uint8]
Colour = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Inspection:
    """Facts about the images of a dataset, one row per image.

    Args:
        digests: bytes [n], 32 hex digits of the content.
        width, height: int32 [n], as stored, before EXIF orientation; 0 if unknown.
        mode: str [n], Pillow's mode ("RGB", "L", "P", …).
        format: str [n], "JPEG", "PNG", … ("" for arrays).
        frames: int32 [n], 1, or 2 for animations.
        problem: str [n], why it does not decode, or "".
        grey: uint8 [n, 32, 32], the whole image resized to a square.
        colour: uint8 [n, 16, 16, 3], the same in RGB.
    """

    digests: npt.NDArray[np.bytes_]
    width: npt.NDArray[np.int32]
    height: npt.NDArray[np.int32]
    mode: npt.NDArray[np.str_]
    format: npt.NDArray[np.str_]
    frames: npt.NDArray[np.int32]
    problem: npt.NDArray[np.str_]
    grey: Grey
    colour: Colour


@dataclass(frozen=True)
class _File:
    width: int = 0
    height: int = 0
    mode: str = ""
    format: str = ""
    frames: int = 1
    problem: str = ""
    grey: Grey | None = None
    colour: Colour | None = None


def inspect_images(dataset: Dataset, store: Store | None = None) -> Inspection:
    """Decode each distinct image of a dataset once, small, in threads; the result is cached in the store."""
    store = store or default_store()
    digests = examine(dataset.reader).digests if dataset.digests is None else dataset.digests
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    key = content_key({"images": hashlib.blake2b(digests[first].tobytes()).hexdigest(), "version": _VERSION})
    with store.building(KIND, key) as entry:
        if entry is not None:
            _save(entry.path / "inspection.npz", _inspect_rows(dataset, first.astype(np.int64)))
            entry.manifest.update(images=len(first))
    store.manifest(KIND, key)
    with np.load(store.path(KIND, key) / "inspection.npz") as seen:
        return Inspection(digests, **{name: seen[name][inverse] for name in seen.files})


def small(data: bytes | npt.NDArray[np.uint8], short: int) -> Grey:
    """Return the whole image as grey uint8 [h, w], upright, its shorter side `short` pixels.

    Raises:
        UndecodableError: it is not an image, or is cut short.
    """
    image = _upright(data, 2 * short)
    width, height = image.size
    scale = short / min(width, height)
    size = (max(short, round(width * scale)), max(short, round(height * scale)))
    return np.asarray(image.convert("L").resize(size, Image.Resampling.BOX if scale < 0.5 else _SMOOTH))


_SMOOTH = Image.Resampling.BILINEAR


def _upright(data: bytes | npt.NDArray[np.uint8], least: int) -> Image.Image:
    """Return the image in RGB; a JPEG is decoded at a fraction of its size, no smaller than `least`."""
    try:
        if isinstance(data, np.ndarray):
            pixels = data[:, :, 0] if data.ndim == 3 and data.shape[2] == 1 else data
            return to_rgb(Image.fromarray(pixels))
        image = open_image(data)
        image.draft("RGB", (least, least))
        with ROOM.of(memory_of(image)):
            load_whole(image, data)
            return to_rgb(image)
    except LacksMemoryError as error:
        raise DataError(f"an image {error}") from error
    except UndecodableError:
        raise
    except MemoryError as error:
        raise DataError(f"an image {LacksMemoryError()}") from error
    except Exception as error:  # Pillow's decoders raise anything on damaged files; the reason is passed on
        raise UndecodableError(_reason(error)) from error


def _inspect_rows(dataset: Dataset, rows: IntArray) -> list[_File]:
    batches: Sequence[list[int]] = [rows[k : k + _BATCH].tolist() for k in range(0, len(rows), _BATCH)]
    found: list[_File] = []
    with (
        quiet_pillow(),
        progress(f"inspecting {dataset.name}", len(rows)) as ticker,
        ThreadPoolExecutor(cores(), "inspect") as pool,
    ):
        for part in pool.map(lambda batch: [_inspect_row(dataset, row) for row in batch], batches):
            found += part
            ticker.advance(len(part))
    return found


def _inspect_row(dataset: Dataset, row: int) -> _File:
    try:
        data = dataset.reader.read(row)
    except OSError as error:
        return _File(problem=f"cannot be read ({error.strerror or error})")
    try:
        width, height, mode, kind, frames = _header(data)
    except Exception as error:  # as in `_upright`
        return _File(problem=str(error) if isinstance(error, UndecodableError) else _reason(error))
    try:
        image = _upright(data, 2 * SIDE)
    except UndecodableError as error:
        return _File(width, height, mode, kind, frames, str(error))
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))
    colour = np.asarray(image.resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX))
    return _File(width, height, mode, kind, frames, "", grey, colour)


def _header(data: bytes | npt.NDArray[np.uint8]) -> tuple[int, int, str, str, int]:
    if isinstance(data, np.ndarray):
        channels = data.shape[2] if data.ndim == 3 else 1
        return data.shape[1], data.shape[0], {1: "L", 3: "RGB", 4: "RGBA"}.get(channels, "?"), "", 1
    with open_image(data) as image:
        return *image.size, image.mode, str(image.format), _frames(image)


def _frames(image: Image.Image) -> int:
    """Return 1, or 2 for two frames and more: to count those of a GIF is to read all of it."""
    try:
        image.seek(1)
    except Exception:  # no second frame, or a damaged one: the first is the picture
        return 1
    return 2


def _reason(error: Exception) -> str:
    said = first_line(error)
    short = "truncated" in said.lower() or isinstance(error, EOFError)
    return f"is cut short ({said})" if short else f"cannot be decoded ({said})"


def _save(path: Path, files: list[_File]) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        width=np.array([file.width for file in files], dtype=np.int32),
        height=np.array([file.height for file in files], dtype=np.int32),
        mode=np.array([file.mode for file in files], dtype=np.str_),
        format=np.array([file.format for file in files], dtype=np.str_),
        frames=np.array([file.frames for file in files], dtype=np.int32),
        problem=np.array([file.problem for file in files], dtype=np.str_),
        grey=_stacked([file.grey for file in files], (SIDE, SIDE)),
        colour=_stacked([file.colour for file in files], (COLOUR_SIDE, COLOUR_SIDE, 3)),
    )
    path.write_bytes(buffer.getvalue())


def _stacked(copies: list[npt.NDArray[np.uint8] | None], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Return the small copies as one array, black where there is none."""
    stacked = np.zeros((len(copies), *shape), dtype=np.uint8)
    for row, copy in enumerate(copies):
        if copy is not None:
            stacked[row] = copy
    return stacked
