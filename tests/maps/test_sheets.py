from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from banded_colours import banded_colours
from PIL import Image

from headstart.maps.sheets import SIDE, chosen_rows, sheets_of


class Coloured:
    """Pictures of one colour each; one that does not decode."""

    def __len__(self) -> int:
        return 300

    def name(self, row: int) -> str:
        return str(row)

    def read(self, row: int) -> bytes | np.ndarray:
        if row == 7:
            return b"no image"
        return np.full((90, 30 + row, 3), row % 250, dtype=np.uint8)

    def identity(self, row: int) -> str:
        return str(row)


def test_each_picture_is_in_its_place_and_a_broken_one_is_left_out() -> None:
    found = sheets_of(Coloured(), range(300))
    assert found is not None
    rows = np.frombuffer(base64.b64decode(found["rows"]), "<u4").tolist()
    sizes = np.frombuffer(base64.b64decode(found["sizes"]), "u1").reshape(-1, 2)
    assert rows == [row for row in range(300) if row != 7] and len(found["images"]) == 2
    for place in (0, 6, 7, 255, 256, 298):
        sheet = Image.open(io.BytesIO(base64.b64decode(found["images"][place // 256].partition(",")[2])))
        x, y = SIDE * (place % 256 % 16), SIDE * (place % 256 // 16)
        width, height = sizes[place].tolist()
        scale = SIDE / max(90, 30 + rows[place])
        assert abs(width - (30 + rows[place]) * scale) <= 1 and abs(height - 90 * scale) <= 1
        pixel = sheet.getpixel((x + width // 2, y + height // 2))
        assert abs(pixel[0] - rows[place] % 250) <= 6, place
    assert sheets_of(Coloured(), []) is None and sheets_of(Coloured(), [7]) is None


def test_rows_are_all_or_some_chosen_at_random_and_the_same_again() -> None:
    assert chosen_rows(5, 10) == [0, 1, 2, 3, 4]
    some = chosen_rows(1000, 100)
    assert len(set(some)) == 100 and some == sorted(some) == chosen_rows(1000, 100) and some != list(range(100))
    assert chosen_rows(5, 0) == []


def test_three_bands_are_shown_of_a_picture_with_bands(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    reader, bands = banded_colours(tmp_path)
    found = sheets_of(reader, [0, 1], bands)
    assert found is not None
    sheet = Image.open(io.BytesIO(base64.b64decode(found["images"][0].partition(",")[2])))
    red, green = sheet.getpixel((8, 8)), sheet.getpixel((SIDE + 8, 8))
    assert np.allclose(red, (255, 0, 0), atol=20) and np.allclose(green, (0, 255, 0), atol=20)  # 4:2:0, quality 72
    assert sheets_of(reader, [0, 1]) is None  # ordinary pictures of five channels there are none
