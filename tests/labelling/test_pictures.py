from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from banded_colours import banded_colours
from PIL import Image

from headstart.data.sources.without_labels import load_without_labels
from headstart.errors import DataError
from headstart.labelling import pictures
from headstart.labelling.pictures import Pictures


def test_a_picture_is_upright_small_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(np.full((40, 80, 3), 200, dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.save(tmp_path / "a.jpg", exif=exif)
    image.save(tmp_path / "b.png")
    found = Pictures(load_without_labels(tmp_path).reader)
    assert Image.open(io.BytesIO(found.jpeg(0, 40))).size == (20, 40)
    assert Image.open(io.BytesIO(found.jpeg(1, 40))).size == (40, 20)
    (tmp_path / "a.jpg").unlink()
    assert Image.open(io.BytesIO(found.jpeg(0, 40))).size == (20, 40)  # from memory
    monkeypatch.setattr(pictures, "_KEPT", 1)
    found.jpeg(1, 30)
    with pytest.raises(DataError, match=r"^a\.jpg: No such file"):
        found.jpeg(0, 40)


def test_three_bands_are_shown_of_a_picture_with_bands(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    shown = Pictures(*banded_colours(tmp_path))
    red, green = (Image.open(io.BytesIO(shown.jpeg(row, 40))).getpixel((9, 9)) for row in (0, 1))
    assert np.allclose(red, (255, 0, 0), atol=3) and np.allclose(green, (0, 255, 0), atol=3)
