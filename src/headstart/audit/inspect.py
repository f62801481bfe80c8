"""Inspection of every image file: format, size, whether it decodes completely, and two small copies to compare."""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.audit.inspection_store import (
    COLOUR_SIDE,
    SIDE,
    Facts,
    Grey,
    Inspection,
    InspectionWriter,
    Seen,
    read_inspection,
)
from headstart.bands import BandChoice
from headstart.data.dataset import Dataset, IntArray
from headstart.data.decoding.bounds import ROOM, memory_of
from headstart.data.decoding.decode import (
    UndecodableError,
    load_whole,
    open_image,
    quiet_pillow,
    seen_by_people,
    to_rgb,
)
from headstart.data.decoding.digests import distinct, examine
from headstart.data.decoding.faults import LacksMemoryError
from headstart.data.decoding.formats import format_of
from headstart.errors import DataError, first_line
from headstart.progress import progress
from headstart.storage.opening import default_store
from headstart.storage.store import Store, content_key
from headstart.threads import cores

KIND = "inspections"
_VERSION = 2
_BATCH = 64


def inspect_images(dataset: Dataset, store: Store | None = None) -> Inspection:
    """Decode each distinct image of a dataset once, small, in threads; the result is cached in the store."""
    store = store or default_store()
    digests = examine(dataset.reader).digests if dataset.digests is None else dataset.digests
    first, codes = distinct(digests)
    facts: dict[str, Any] = {"images": hashlib.blake2b(digests[first].tobytes()).hexdigest(), "version": _VERSION}
    if dataset.bands is not None:
        facts["bands"] = [dataset.bands.indices, dataset.bands.show]
    key = content_key(facts)
    with store.building(KIND, key) as entry:
        if entry is not None:
            with InspectionWriter(entry.path) as writer:
                for batch in _inspect_rows(dataset, first, writer.images):
                    writer.append(batch)
                writer.finish()
            entry.manifest.update(images=len(first))
    store.manifest(KIND, key)
    return read_inspection(store.path(KIND, key), digests, codes)


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


def _inspect_rows(dataset: Dataset, rows: IntArray, done: int) -> Iterator[list[Seen]]:
    """Yield what is seen of the rows that are not done, batch by batch; few batches are in memory."""
    starts, waiting = iter(range(done, len(rows), _BATCH)), deque[Future[list[Seen]]]()
    with (
        quiet_pillow(),
        progress(f"inspecting {dataset.name}", len(rows)) as ticker,
        ThreadPoolExecutor(cores(), "inspect") as pool,
    ):
        ticker.advance(done)
        while True:
            for start in itertools.islice(starts, 2 * cores() - len(waiting)):
                batch = rows[start : start + _BATCH].tolist()
                waiting.append(pool.submit(_inspect_batch, dataset, batch))
            if not waiting:
                return
            found = waiting.popleft().result()
            yield found
            ticker.advance(len(found))


def _inspect_batch(dataset: Dataset, rows: list[int]) -> list[Seen]:
    return [_inspect_row(dataset, row) for row in rows]


def _inspect_row(dataset: Dataset, row: int) -> Seen:
    try:
        data = dataset.reader.read(row)
    except OSError as error:
        return Seen(Facts(problem=f"cannot be read ({error.strerror or error})"))
    if dataset.bands is not None:
        return _inspect_bands(data, dataset.bands)
    try:
        width, height, mode, kind, frames = _header(data)
    except Exception as error:  # as in `_upright`
        return Seen(Facts(problem=str(error) if isinstance(error, UndecodableError) else _reason(error)))
    try:
        image = _upright(data, 2 * SIDE)
    except UndecodableError as error:
        return Seen(Facts(width, height, mode, kind, frames, str(error)))
    return _seen(Facts(width, height, mode, kind, frames), image)


def _seen(facts: Facts, image: Image.Image) -> Seen:
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))
    colour = np.asarray(image.resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX))
    return Seen(facts, grey, colour)


def _inspect_bands(data: bytes | npt.NDArray[np.uint8], choice: BandChoice) -> Seen:
    """Return what is seen of a picture of bands: of the three that people see."""
    try:
        image = Image.fromarray(seen_by_people(data, choice))
    except LacksMemoryError as error:
        raise DataError(f"an image {error}") from error
    except UndecodableError as error:
        return Seen(Facts(problem=str(error)))
    kind = "" if isinstance(data, np.ndarray) else str(format_of(data) or "")
    return _seen(Facts(image.width, image.height, f"{choice.of} bands", kind, 1), image)


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
