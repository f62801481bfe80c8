from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from banded_colours import banded_colours
from PIL import Image
from unlabelled_folder import draw_folder, embedded

from headstart.labelling.contact_sheet import contact_sheet
from headstart.labelling.embeddings import embed
from headstart.labelling.similar import Similar


def test_the_picture_comes_first_then_the_images_like_it(tmp_path: Path) -> None:
    found = embedded(draw_folder(tmp_path, 3))
    nearest = [Similar(row, found.names[row], 0.9, None) for row in (0, 4, 8, 1, 2, 3)]
    sheet = Image.open(io.BytesIO(contact_sheet(found, tmp_path / "red-000.png", nearest))).convert("RGB")
    assert sheet.width == 2 * 14 + 6 * 178 - 8  # six columns of 170 px
    pixels = np.asarray(sheet)
    middles = [tuple(pixels[120, 14 + 178 * place + 85].tolist()) for place in range(6)]
    red, green, blue = (220, 40, 40), (40, 200, 60), (50, 70, 220)
    assert middles == [red, blue, green, red, blue, blue]


def test_three_bands_are_drawn_of_pictures_with_bands(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    banded_colours(tmp_path)
    found = embed(tmp_path, backbone="small_cnn", weights="none", bands="all", show=[4, 2, 0])
    nearest = [Similar(row, found.names[row], 0.9, None) for row in (0, 1)]
    pixels = np.asarray(Image.open(io.BytesIO(contact_sheet(found, tmp_path / "1.tif", nearest))).convert("RGB"))
    middles = [tuple(pixels[120, 14 + 178 * place + 85].tolist()) for place in range(3)]
    assert middles == [(0, 255, 0), (255, 0, 0), (0, 255, 0)]
