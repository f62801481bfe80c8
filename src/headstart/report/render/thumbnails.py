"""Which small pictures a page holds: those behind mistakes first, within a number of bytes."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headstart.data.decoding.thumbnail import thumbnail
from headstart.errors import StoreError
from headstart.report.read.errors import Details
from headstart.report.read.study_files import DataFolder

BUDGET = 4_500_000  # bytes of JPEG in one page; base64 makes a third more of it
EXPLAINED = 1_500_000  # bytes of explanations of one run
EXPLAINED_SIDE = 192  # px, longest side of one explanation
AUDITED = 40  # rows of each list of an audit that a page holds
CORRECT = 3  # examples of each class that the best run gets right


@dataclass(frozen=True)
class Thumbnails:
    """The small pictures of one dataset, read from thumbnails.npz.

    Args:
        place: row → number.
        offsets, data: the JPEGs, one after another.
    """

    place: Mapping[int, int]
    offsets: Any
    data: Any

    def jpeg(self, row: int) -> bytes | None:
        """Return one picture, or None where there is none."""
        number = self.place.get(row)
        if number is None:
            return None
        return bytes(self.data[int(self.offsets[number]) : int(self.offsets[number + 1])].tobytes())


def read_thumbnails(folder: Path) -> Thumbnails:
    """Read the thumbnails of a dataset; none where the file is not there (yet).

    Raises:
        StoreError: the file is damaged.
    """
    path = folder / "thumbnails.npz"
    if not path.is_file():
        return Thumbnails({}, np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.uint8))
    try:
        with np.load(path, allow_pickle=False) as file:
            rows, offsets, data = file["rows"], file["offsets"], file["data"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path}: cannot be read as thumbnails ({error}); run the study again") from error
    return Thumbnails({int(row): number for number, row in enumerate(rows)}, offsets, data)


def rows_wanted(details: Sequence[Details], first: Iterable[int] = ()) -> Iterator[int]:
    """Yield rows in order of how much a reader gains from seeing them; rows may come more than once.

    Args:
        details: of the runs on one dataset, the best first.
        first: rows that must be seen before all others (those whose label looks wrong to an audit).
    """
    yield from first
    for layer in zip_longest(*(entry.mistakes for entry in details)):
        yield from (mistake.row for mistake in layer if mistake is not None)
    for entry in details[:1]:
        for cell in entry.cells:
            yield from cell.images[: CORRECT if cell.truth == cell.guess else None]
    for depth in range(3):
        for entry in details[1:]:
            for cell in entry.cells:
                if cell.truth != cell.guess and depth < len(cell.images):
                    yield cell.images[depth]


def base64_pictures(
    folder: DataFolder, wanted: Iterable[int], labels: Mapping[int, int], budget: int = BUDGET
) -> dict[str, dict[str, Any]]:
    """Return row → {name, label, src (base64 JPEG)} of the rows wanted, until the budget is spent."""
    thumbnails = read_thumbnails(folder.folder)
    chosen: dict[int, bytes] = {}
    for row in wanted:
        if row in chosen or (picture := thumbnails.jpeg(row)) is None:
            continue
        budget -= len(picture)
        if budget < 0:
            break
        chosen[row] = picture
    names = folder.names(np.array(list(chosen), dtype=np.int64))
    return {
        str(row): {"name": name, "label": labels.get(row), "src": base64.b64encode(picture).decode()}
        for (row, picture), name in zip(chosen.items(), names, strict=True)
    }


def explanation_pictures(items: Sequence[Mapping[str, Any]], budget: int = EXPLAINED) -> list[dict[str, Any]]:
    """Return explanations with their pictures as data addresses, small, until the budget is spent.

    Args:
        items: each with "row", "method", "file" and the "folder" that contains it.
        budget: bytes.

    Raises:
        StoreError: a file is missing or not a picture.
    """
    found = []
    for item in items:
        picture = _picture(Path(item["folder"]) / str(item["file"]))
        small = thumbnail(picture, EXPLAINED_SIDE, 78)
        budget -= len(small)
        if budget < 0:
            break
        said = {key: value for key, value in item.items() if key not in ("folder", "file")}
        found.append({**said, "src": f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"})
    return found


def paired_pictures(root: Path, pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the pictures that set two runs side by side, as data addresses, with what is said of them.

    Raises:
        StoreError: a file is missing or not a picture.
    """
    found = []
    for pair in pairs:
        said = {key: value for key, value in pair.items() if key != "file"}
        if pair.get("file"):
            buffer = io.BytesIO()
            _picture(root / str(pair["file"])).save(buffer, "JPEG", quality=85)
            said["src"] = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        found.append(said)
    return found


def _picture(path: Path) -> Image.Image:
    try:
        with Image.open(path) as opened:
            return opened.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise StoreError(f"{path}: cannot be read as a picture ({error}); run the study again") from error


def short_audit(audit: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return an audit with its long lists cut, and only the thumbnails that what is left shows."""
    if audit is None:
        return None
    short = {key: value[:AUDITED] if isinstance(value, list) else value for key, value in audit.items()}
    short.pop("drop", None)
    shown = {place["thumbnail"] for place in _places(short) if "thumbnail" in place}
    pictures = audit.get("thumbnails") or {}
    short["thumbnails"] = {key: value for key, value in pictures.items() if key in shown}
    lengths = {key: len(value) for key, value in audit.items() if isinstance(value, list)}
    short["lengths"] = {**lengths, **(audit.get("counts") or {})}
    return short


def _places(audit: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows that the lists of an audit name."""
    for group in audit.get("exact") or ():
        yield from group["places"][:2]
    for pair in audit.get("near") or ():
        yield from (pair["a"], pair["b"])
    yield from audit.get("label_errors") or ()
