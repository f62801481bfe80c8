"""Inspections on disk: what was seen of each distinct image, batch by batch, so that an interrupted look continues.

The small copies are files that are mapped into memory, of which only what is compared is read.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import IntArray
from headstart.storage.checksums import opened, sealed

SIDE = 32  # of the small grey copy
COLOUR_SIDE = 16  # of the small colour copy
SHAPES = {"grey": (SIDE, SIDE), "colour": (COLOUR_SIDE, COLOUR_SIDE, 3)}
_JOURNAL, _FACTS, _TEXTS = "journal.jsonl", "facts.npz", "texts.json"

Grey = npt.NDArray[np.uint8]
Colour = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file says of its image; see `Inspection`."""

    width: int = 0
    height: int = 0
    mode: str = ""
    format: str = ""
    frames: int = 1
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one image: facts and small copies, None where it does not decode."""

    facts: Facts
    grey: Grey | None = None
    colour: Colour | None = None


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
        grey: uint8 [n, 32, 32], the whole image resized to a square; may be memory-mapped.
        colour: uint8 [n, 16, 16, 3], the same in RGB.
    """

    digests: npt.NDArray[np.bytes_]
    width: npt.NDArray[np.int32]
    height: npt.NDArray[np.int32]
    mode: npt.NDArray[Any]
    format: npt.NDArray[Any]
    frames: npt.NDArray[np.int32]
    problem: npt.NDArray[Any]
    grey: Grey
    colour: Colour


class InspectionWriter:
    """Writes an inspection into a folder; what an interrupted one has written there is kept.

    Args:
        folder: of the store's entry.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.images = folder, 0
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> InspectionWriter:
        for name in (*SHAPES, _JOURNAL):
            path = self._path(name)
            path.touch()
            self._files[name] = path.open("r+b")
        good = sum(self._accept(line) for line in self._files[_JOURNAL].read().splitlines(keepends=True))
        for name, size in ((_JOURNAL, good), *((name, self.images * _bytes_of(name)) for name in SHAPES)):
            self._files[name].truncate(size)
            self._files[name].seek(size)
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def append(self, batch: Sequence[Seen]) -> None:
        """Write the copies of some images, then the line that says that they are whole."""
        copies = {name: b"".join(_copy(getattr(each, name), name) for each in batch) for name in SHAPES}
        for name, data in copies.items():
            self._files[name].write(data)
            self._files[name].flush()
        sums = [zlib.crc32(data) for data in copies.values()]
        line = sealed({"facts": [astuple(each.facts) for each in batch], "sums": sums})
        self._files[_JOURNAL].write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._files[_JOURNAL].flush()
        self.images += len(batch)

    def finish(self) -> None:
        """Write the facts as arrays, and remove the journal."""
        names = [field.name for field in fields(Facts)]
        numbers: dict[str, list[int]] = {name: [] for name in names}
        texts: dict[str, dict[str, int]] = {name: {} for name in names}
        self._files[_JOURNAL].seek(0)
        for line in self._files[_JOURNAL]:
            for values in json.loads(line)["facts"]:
                for name, value in zip(names, values, strict=True):
                    is_text = isinstance(value, str)
                    numbers[name].append(texts[name].setdefault(value, len(texts[name])) if is_text else value)
        columns: dict[str, Any] = {name: np.array(column, dtype=np.int32) for name, column in numbers.items()}
        np.savez(self.folder / _FACTS, **columns)
        known = {name: list(words) for name, words in texts.items() if words}
        (self.folder / _TEXTS).write_text(json.dumps(known, ensure_ascii=False), encoding="utf-8")
        self._path(_JOURNAL).unlink()

    def _path(self, name: str) -> Path:
        return self.folder / (f"{name}.u8" if name in SHAPES else name)

    def _accept(self, line: bytes) -> int:
        """Count a batch in if its copies are what the line says; return the line's length, or 0."""
        try:
            said = {} if self._damaged or not line.endswith(b"\n") else opened(json.loads(line))
        except ValueError:
            said = {}
        count = len(said.get("facts", ()))
        copies = {name: self._files[name].read(count * _bytes_of(name)) for name in SHAPES}
        if not count or [zlib.crc32(data) for data in copies.values()] != said["sums"]:
            self._damaged = True
            return 0
        self.images += count
        return len(line)

    _damaged = False


def read_inspection(folder: Path, digests: npt.NDArray[np.bytes_], codes: IntArray) -> Inspection:
    """Return what an `InspectionWriter` has written.

    Args:
        folder: of the store's entry.
        digests: of each row.
        codes: int64 [n], the place of each row's image there.
    """
    texts = json.loads((folder / _TEXTS).read_text(encoding="utf-8"))
    found: dict[str, npt.NDArray[Any]] = {}
    with np.load(folder / _FACTS) as facts:
        for name in facts.files:
            column = facts[name][codes]
            found[name] = np.array(texts[name], dtype=object)[column] if name in texts else column
        images = len(facts["width"])
    all_in_order = len(codes) == images and bool((codes == np.arange(images)).all())
    for name, shape in SHAPES.items():
        stored = np.memmap(folder / f"{name}.u8", dtype=np.uint8, mode="r", shape=(images, *shape))
        found[name] = stored if all_in_order else stored[codes]
    return Inspection(digests, **found)


def _copy(copy: npt.NDArray[np.uint8] | None, name: str) -> bytes:
    """Return the bytes of a small copy, black where there is none."""
    return bytes(_bytes_of(name)) if copy is None else np.ascontiguousarray(copy).tobytes()


def _bytes_of(name: str) -> int:
    return int(np.prod(SHAPES[name]))
