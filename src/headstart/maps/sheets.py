"""Small pictures of many images in a few sheets, within a number of pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from headstart.bands import Bands
from headstart.data.dataset import Reader
from headstart.data.decoding.decode import UndecodableError, quiet_pillow, seen_by_people
from headstart.maps.points import encoded
from headstart.progress import progress
from headstart.threads import cores

SIDE = 64  # px of a tile
_ACROSS = 16  # tiles in a row of a sheet, and rows of a full sheet
_QUALITY = 72
_BACK = (128, 128, 128)


def chosen_rows(count: int, most: int, seed: int = 0) -> list[int]:
    """Return all rows, or `most` of them chosen at random, in order."""
    if count <= most:
        return list(range(count))
    return sorted(np.random.default_rng(seed).permutation(count)[:most].tolist())


def sheets_of(reader: Reader, rows: Sequence[int], bands: Bands | None = None) -> dict[str, Any] | None:
    """Return sheets of the pictures of some rows, as the page reads them; None without rows.

    A picture that can no longer be read is left out. Of pictures with bands, three are shown.
    """
    if not rows:
        return None

    def small(row: int) -> Image.Image | None:
        try:
            picture = Image.fromarray(seen_by_people(reader.read(row), bands))
        except (OSError, UndecodableError):
            return None
        picture.thumbnail((SIDE, SIDE))
        return picture

    tiles: list[Image.Image] = []
    there: list[int] = []
    batch = 8 * cores()
    with quiet_pillow(), progress("thumbnails", len(rows)) as ticker, ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            for row, tile in zip(some, pool.map(small, some), strict=True):
                if tile is not None:
                    there.append(row)
                    tiles.append(tile)
            ticker.advance(len(some))
    return sheets(there, len(tiles), tiles.__getitem__)


def sheets(rows: Sequence[int], count: int, tile: Callable[[int], Image.Image]) -> dict[str, Any] | None:
    """Return `count` tiles of at most `SIDE` px in sheets; None without any.

    Args:
        rows: of the map, one for each tile.
        count: of tiles.
        tile: gives the picture of a place.
    """
    if not count:
        return None
    images, sizes = [], []
    full = _ACROSS * _ACROSS
    for start in range(0, count, full):
        part = min(full, count - start)
        sheet = Image.new("RGB", (SIDE * min(_ACROSS, part), SIDE * -(-part // _ACROSS)), _BACK)
        for place in range(part):
            picture = tile(start + place)
            sheet.paste(picture, (SIDE * (place % _ACROSS), SIDE * (place // _ACROSS)))
            sizes.append(picture.size)
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=_QUALITY)
        images.append(f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}")
    places = {"rows": encoded(rows, "<u4"), "sizes": encoded(sizes, "<u1")}
    return {"side": SIDE, "across": _ACROSS, "images": images, **places}
