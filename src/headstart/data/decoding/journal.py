"""The journal of images that are being decoded: which pixels of a file are whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from headstart.data.decoding.decode import Pixels
from headstart.data.decoding.pixel_checks import checksums
from headstart.storage.checksums import opened, sealed


class Journal:
    """The pixels written so far, and a line for each chunk that is whole: after a kill it continues there.

    Args:
        folder: holds both files; what is not whole at their end is cut off.
        total: how many images there will be.
        channels: of each image.
    """

    NAME = "journal.jsonl"

    def __init__(self, folder: Path, total: int, channels: int = 3) -> None:
        self.folder, self.total, self.channels = folder, total, channels
        self.images, self.bytes = 0, 0
        self.shapes: list[tuple[int, int]] = []
        self.sums: list[int] = []
        self._pixels: BinaryIO | None = None
        self._lines: BinaryIO | None = None

    def __enter__(self) -> Journal:
        (self.folder / "pixels.u8").touch()
        (self.folder / self.NAME).touch()
        self._pixels = (self.folder / "pixels.u8").open("r+b")
        good = sum(self._accept(line) for line in self._whole_lines())
        self._lines = (self.folder / self.NAME).open("r+b")
        self._lines.truncate(good)
        self._lines.seek(good)
        self._pixels.truncate(self.bytes)
        self._pixels.seek(self.bytes)
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._pixels, self._lines):
            if file is not None:
                file.close()

    def append(self, images: list[Pixels], bad: dict[int, str]) -> None:
        """Write one chunk, then its line."""
        assert self._pixels is not None and self._lines is not None
        data = b"".join(image.tobytes() for image in images)
        self._pixels.write(data)
        self._pixels.flush()
        shapes = [image.shape[:2] for image in images]
        sums = checksums(data, [image.size for image in images])
        line = sealed({"bytes": len(data), "sums": sums, "bad": bad, "shapes": shapes})
        self._lines.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._lines.flush()
        self._count(len(data), sums, shapes)

    def mapped(self) -> Pixels:
        """Return the pixels written so far."""
        return np.memmap(self.folder / "pixels.u8", dtype=np.uint8, mode="r", shape=(self.bytes,))

    def _whole_lines(self) -> Iterator[bytes]:
        for line in (self.folder / self.NAME).read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                return
            yield line

    def _accept(self, line: bytes) -> int:
        """Count a chunk in if its pixels are what the line says; return the line's length, or 0."""
        assert self._pixels is not None
        try:
            entry = {} if self._damaged else opened(json.loads(line))
        except ValueError:
            entry = {}
        shapes = [(h, w) for h, w in entry.get("shapes", [])]
        data = self._pixels.read(entry.get("bytes", 0))
        if not shapes or checksums(data, [self.channels * h * w for h, w in shapes]) != entry["sums"]:
            self._damaged = True
            return 0
        self._count(entry["bytes"], entry["sums"], shapes)
        return len(line)

    _damaged = False

    def _count(self, size: int, sums: Sequence[int], shapes: Sequence[tuple[int, ...]]) -> None:
        self.images += len(shapes)
        self.bytes += size
        self.sums.extend(sums)
        self.shapes.extend((shape[0], shape[1]) for shape in shapes)


def faults_in(folder: Path) -> dict[str, str]:
    """Return which images would not decode, by their position, and why."""
    lines = (folder / Journal.NAME).read_bytes().splitlines()
    return {position: why for line in lines for position, why in json.loads(line)["bad"].items()}
