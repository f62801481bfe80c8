"""Images decoded once: a memory-mapped array of pixels, keyed by the images' content and the view."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL

from headstart.data.dataset import Dataset, IntArray
from headstart.data.decoding import pixel_checks
from headstart.data.decoding.decode import BAND_DECODER, DECODER, Pixels, UndecodableError, View, decode, quiet_pillow
from headstart.data.decoding.digests import digest_of, distinct, examine
from headstart.data.decoding.faults import LacksMemoryError
from headstart.data.decoding.journal import Journal, faults_in
from headstart.data.decoding.pixel_checks import PixelChecks
from headstart.data.decoding.tiff_bands import tifffile_version
from headstart.errors import DataError
from headstart.progress import progress
from headstart.storage.opening import default_store
from headstart.storage.store import Store, content_key
from headstart.threads import cores

__all__ = ["ImageArray", "View", "decode_images", "images_key", "stored_key"]

KIND = "images"
CHUNK = 64  # images decoded by one thread at a time, and written at once

OnChunk = Callable[[int, int, Pixels], None]


class ImageArray:
    """Decoded images, read-only, by dataset row.

    Args:
        folder: holds `pixels.u8` and, for whole images, `shapes.npy` (int32 [m, 2]: height, width).
        codes: int64 [n], which stored image each row is.
        view: how they were brought to size.
        key: depends on every row's content and the view.
        bad: row -> why it would not decode; its pixels are black.
        written_here: this process has just written them, so that they are not compared with their checksums.
    """

    def __init__(
        self, folder: Path, codes: IntArray, view: View, key: str, bad: dict[int, str], *, written_here: bool = False
    ) -> None:
        self.folder, self.codes, self.view, self.key, self.bad = folder, codes, view, key, bad
        self._shapes = np.load(folder / "shapes.npy") if view.crop is None else None
        self._starts = None if self._shapes is None else _starts(self._shapes, view.channels)
        self._pixels: Pixels | None = None
        self._checks = PixelChecks(folder, compared=written_here)

    def __len__(self) -> int:
        return len(self.codes)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}  # another process maps the file itself

    def __getitem__(self, row: int) -> Pixels:
        """Return one image, uint8 [h, w, 3].

        Raises:
            StoreError: it has changed since it was written.
        """
        self._checks.compare(self.codes[[row]], self._stored)
        return self._stored(int(self.codes[row]))

    def shape(self, row: int) -> tuple[int, int]:
        """Return (height, width) of one image."""
        if self._shapes is None:
            assert self.view.crop is not None
            return self.view.crop, self.view.crop
        height, width = self._shapes[self.codes[row]].tolist()
        return height, width

    def batch(self, rows: Sequence[int] | IntArray) -> Pixels:
        """Return uint8 [b, crop, crop, 3].

        Raises:
            DataError: the view keeps whole images, of several sizes.
            StoreError: an image has changed since it was written.
        """
        if self.view.crop is None:
            raise DataError("whole images make no batch; take them one by one, or give the view a crop")
        codes = self.codes[np.asarray(rows, dtype=np.int64)]
        self._checks.compare(codes, self._stored)
        return _grid(self._mapped(), self.view)[codes]

    def _stored(self, code: int) -> Pixels:
        return _image(self._mapped(), code, self.view, self._shapes, self._starts)

    def _mapped(self) -> Pixels:
        if self._pixels is None:
            self._pixels = np.memmap(self.folder / "pixels.u8", dtype=np.uint8, mode="r")
        return self._pixels


def decode_images(
    dataset: Dataset,
    view: View,
    *,
    store: Store | None = None,
    workers: int | None = None,
    on_chunk: OnChunk | None = None,
    strict: bool = False,
    parts: Sequence[Dataset] = (),
) -> ImageArray:
    """Decode every distinct image of a dataset once, in threads, into the store, unless it is there.

    Args:
        on_chunk: called as (start, stop, pixels uint8 [stop - start, crop, crop, 3]) for consecutive rows, in
            order, from this thread, while later images are being decoded; needs a view with a crop.
        strict: refuse images that would not decode.
        parts: datasets of whose images, one after the other, this one consists, or with which it begins; the pixels of
            the first of them that are in the store are copied. A part of other images is ignored, with those after it.

    Raises:
        StoreError: the disk is full or the store cannot be written; what was decoded is kept.
        DataError: an image changed since the dataset was loaded; with `strict`, one would not decode.
    """
    if on_chunk is not None and view.crop is None:
        raise DataError("images can be handed over in chunks only with a crop")
    store = store or default_store()
    digests = examined(dataset)
    rows, codes = distinct(digests)
    key = _stored_key(digests[rows], view)
    feed = _Feed(codes, on_chunk)
    job = _Job(dataset, view, rows, digests)
    busy = f"{dataset.name}: another process is decoding these images"
    with store.building(KIND, key, wait_message=busy) as entry:
        if entry is not None:
            if parts:
                _copy_parts(entry.path, job, parts, store)
            _fill(entry.path, job, workers or cores(), feed)
            entry.manifest.update(images=len(rows), view=view.facts(), bad=faults_in(entry.path))
            (entry.path / Journal.NAME).unlink()
    folder = store.path(KIND, key)
    faults = {int(code): why for code, why in store.manifest(KIND, key)["bad"].items()}
    rows_of_faults = np.flatnonzero(np.isin(codes, list(faults))).tolist() if faults else []
    bad = {row: faults[int(codes[row])] for row in rows_of_faults}
    images = ImageArray(folder, codes, view, _images_key(digests, view), bad, written_here=entry is not None)
    if strict and bad:
        row = min(bad)
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise DataError(f"{job.name(row)} {bad[row]}{more}; remove it, or drop strict to leave it out")
    if on_chunk is not None and feed.next_row < len(codes):
        feed.up_to(len(rows), images._mapped(), view, images._checks)
    return images


def stored_key(dataset: Dataset, view: View) -> str:
    """Return the content key under which the store keeps these images at this size."""
    digests = examined(dataset)
    return _stored_key(digests[distinct(digests)[0]], view)


def images_key(dataset: Dataset, view: View) -> str:
    """Return the key of the decoded images of this dataset, row by row: what `ImageArray.key` will be."""
    return _images_key(examined(dataset), view)


def examined(dataset: Dataset) -> npt.NDArray[np.bytes_]:
    """Return the digest of each row's content; the files are read if nobody has read them yet."""
    return examine(dataset.reader).digests if dataset.digests is None else dataset.digests


def _images_key(digests: npt.NDArray[np.bytes_], view: View) -> str:
    return content_key({"rows": hashlib.blake2b(digests.tobytes()).hexdigest(), "how": _how(view)})


def _stored_key(digests: npt.NDArray[np.bytes_], view: View) -> str:
    return content_key({"images": hashlib.blake2b(digests.tobytes()).hexdigest(), "how": _how(view)})


def _how(view: View) -> dict[str, Any]:
    of_bands = {} if view.bands is None else {"tifffile": tifffile_version(), "bands_decoder": BAND_DECODER}
    return {**view.facts(), "decoder": DECODER, "pillow": PIL.__version__, **of_bands}


@dataclass(frozen=True)
class _Job:
    """What is to be decoded: the rows of distinct images, in the order of the store."""

    dataset: Dataset
    view: View
    rows: IntArray
    digests: npt.NDArray[np.bytes_]

    def chunk(self, start: int, stop: int) -> tuple[list[Pixels], dict[int, str]]:
        """Return images [start, stop) and what is wrong with which."""
        images, bad = [], {}
        for position in range(start, stop):
            row = int(self.rows[position])
            try:
                data = self.dataset.reader.read(row)
                if digest_of(data).encode() != self.digests[row]:
                    raise DataError(f"{self.name(row)} has changed since it was loaded; load it again")
                images.append(decode(data, self.view, checked=True))
            except LacksMemoryError as error:  # it says nothing about the image: what was decoded so far is kept
                raise DataError(f"{self.name(row)} {error}") from error
            except UndecodableError as error:
                bad[position] = str(error)
                images.append(_black(self.view))
            except OSError as error:
                raise DataError(f"{self.name(row)} can no longer be read ({error.strerror or error})") from error
        return images, bad

    def name(self, row: int) -> str:
        """Return the names of dataset and image."""
        return f"{self.dataset.name}: {self.dataset.reader.name(row)}"


class _Feed:
    """Hands rows over in order as soon as all of a stretch are decoded."""

    def __init__(self, codes: IntArray, on_chunk: OnChunk | None) -> None:
        self.codes, self.on_chunk, self.next_row = codes, on_chunk, 0
        self.reach = np.maximum.accumulate(codes) if len(codes) else codes

    def up_to(self, done: int, pixels: Pixels, view: View, checks: PixelChecks | None = None) -> None:
        """Hand over every row whose image is among the first `done` in `pixels` (uint8, flat)."""
        if self.on_chunk is None:
            return
        grid = _grid(pixels, view)
        ready = int(np.searchsorted(self.reach, done))
        while self.next_row < ready:
            start, stop = self.next_row, min(self.next_row + CHUNK, ready)
            self.next_row = stop
            if checks is not None:
                checks.compare(self.codes[start:stop], grid.__getitem__)
            self.on_chunk(start, stop, grid[self.codes[start:stop]])


def _fill(folder: Path, job: _Job, workers: int, feed: _Feed) -> None:
    """Decode what the journal does not yet have, write it, and hand rows over as they come."""
    total = len(job.rows)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(folder, total, job.view.channels))
        stack.enter_context(quiet_pillow())
        ticker = stack.enter_context(progress(f"decoding {job.dataset.name}", total))
        pool = ThreadPoolExecutor(workers, "decode")
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        ticker.advance(journal.images)
        if journal.images and feed.on_chunk is not None:
            feed.up_to(journal.images, journal.mapped(), job.view)
        for images, bad in _in_order(pool, job, journal.images, total, ahead=workers + 2):
            journal.append(images, bad)
            if feed.on_chunk is not None:
                feed.up_to(journal.images, journal.mapped(), job.view)
            ticker.advance(len(images))
        if job.view.crop is None:
            np.save(folder / "shapes.npy", np.array(journal.shapes, dtype=np.int32).reshape(-1, 2))
        np.save(folder / pixel_checks.NAME, np.array(journal.sums, dtype=np.uint32))


def _copy_parts(folder: Path, job: _Job, parts: Sequence[Dataset], store: Store) -> None:
    """Write the stored images of the first parts as if a pass over the whole had been interrupted after them.

    What an earlier attempt wrote is kept.
    """
    with Journal(folder, len(job.rows), job.view.channels) as journal:
        begin = 0
        for part in parts:
            end = begin + len(part)
            same = np.array_equal(job.digests[begin:end], examined(part))
            if not same or not store.has(KIND, stored_key(part, job.view)):
                return
            images = decode_images(part, job.view, store=store)
            first, last = np.searchsorted(job.rows, [begin, end]).tolist()  # of the images that no earlier part has
            for start in range(max(first, journal.images), last, CHUNK):
                rows = (job.rows[start : min(start + CHUNK, last)] - begin).tolist()
                bad = {start + place: images.bad[row] for place, row in enumerate(rows) if row in images.bad}
                journal.append([images[row] for row in rows], bad)
            begin = end


def _in_order(
    pool: ThreadPoolExecutor, job: _Job, start: int, total: int, ahead: int
) -> Iterator[tuple[list[Pixels], dict[int, str]]]:
    """Yield decoded chunks in order, never more than `ahead` of them in memory."""
    starts = iter(range(start, total, CHUNK))
    waiting: deque[Future[tuple[list[Pixels], dict[int, str]]]] = deque()
    for first in starts:
        waiting.append(pool.submit(job.chunk, first, min(first + CHUNK, total)))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _black(view: View) -> Pixels:
    side = view.crop or 1
    return np.zeros((side, side, view.channels), dtype=np.uint8)


def _grid(pixels: Pixels, view: View) -> Pixels:
    assert view.crop is not None
    return pixels.reshape(-1, view.crop, view.crop, view.channels)


def _starts(shapes: npt.NDArray[np.int32], channels: int) -> IntArray:
    sizes = shapes[:, 0].astype(np.int64) * shapes[:, 1] * channels
    starts: IntArray = (np.cumsum(sizes) - sizes).astype(np.int64)
    return starts


def _image(
    pixels: Pixels, code: int, view: View, shapes: npt.NDArray[np.int32] | None, starts: IntArray | None
) -> Pixels:
    if view.crop is not None:
        return np.asarray(_grid(pixels, view)[code])
    assert shapes is not None and starts is not None
    height, width = (int(side) for side in shapes[code])
    start = int(starts[code])
    size = height * width * view.channels
    return np.asarray(pixels[start : start + size]).reshape(height, width, view.channels)
