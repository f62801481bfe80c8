from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from unlabelled_folder import draw_folder, embedded

from headstart.labelling.contact_sheet import contact_sheet
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
