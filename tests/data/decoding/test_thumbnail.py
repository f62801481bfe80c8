from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from headstart.data.decoding.thumbnail import thumbnail


@pytest.mark.parametrize(("size", "small"), [((200, 100), (50, 25)), ((100, 200), (25, 50)), ((40, 30), (40, 30))])
def test_the_longer_side_fits_and_small_pictures_stay(size: tuple[int, int], small: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    with Image.open(io.BytesIO(thumbnail(Image.fromarray(pixels), 50, 80))) as found:
        assert (found.format, found.size) == ("JPEG", small)


def test_a_better_quality_takes_more_bytes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    low, high = (len(thumbnail(Image.fromarray(pixels), 60, quality)) for quality in (20, 90))
    assert low < high / 2
