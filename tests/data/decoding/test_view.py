"""How a picture is brought to size, in every mode alike."""

from __future__ import annotations

import numpy as np
from PIL import Image

from headstart.data.decoding.view import View, bring_to_size


def test_a_band_of_floats_is_sized_as_a_picture_is_up_to_rounding() -> None:
    values = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    for view in (View(20, 16, "bilinear"), View(24, None, "bicubic"), View(40, 50, "nearest")):
        grey = np.asarray(bring_to_size(Image.fromarray(np.stack([values] * 3, -1)), view))[:, :, 0]
        floats = np.asarray(bring_to_size(Image.fromarray(values.astype(np.float32)), view))
        assert floats.shape == grey.shape
        assert np.abs(np.clip(floats, 0, 255) - grey).max() <= 2.0  # Pillow rounds bytes between its two passes


def test_what_is_beyond_the_edge_is_zero_in_every_mode() -> None:
    found = np.asarray(bring_to_size(Image.fromarray(np.full((4, 4), 9.0, np.float32)), View(4, 6)))
    assert found.shape == (6, 6) and found[0, 0] == 0 and found[3, 3] == 9
