from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from headstart.errors import DataError
from headstart.explain.picture import Column, gallery, overlay


def image(side: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def blob(side: int = 40) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return np.exp(-((y - 10) ** 2 + (x - 10) ** 2) / 60)


def hue(picture: Image.Image, row: int, column: int) -> np.ndarray:
    return np.asarray(picture)[row, column].astype(int)


def test_the_strongest_place_is_yellow_and_the_weakest_grey() -> None:
    picture = overlay(np.full((40, 40, 3), 120, np.uint8), blob())
    red, green, blue = hue(picture, 10, 10)
    assert red > 180 and green > 150 and blue < red
    assert np.ptp(hue(picture, 39, 39)) < 12


def test_for_is_orange_and_against_is_blue() -> None:
    heat = blob() - blob()[::-1, ::-1]
    picture = overlay(np.full((40, 40, 3), 120, np.uint8), heat)
    assert hue(picture, 10, 10)[0] > hue(picture, 10, 10)[2] + 60
    assert hue(picture, 29, 29)[2] > hue(picture, 29, 29)[0] + 60


def test_maps_that_say_nothing_leave_the_grey_image() -> None:
    for heat in (np.zeros((40, 40)), np.full((40, 40), np.nan), -np.ones((40, 40))):
        picture = overlay(image(), heat, signed=False)
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(overlay(image(), np.zeros((40, 40)))))


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match="does not belong"):
        overlay(image(), np.zeros((40, 41)))


def test_a_gallery_is_a_png_with_a_cell_for_each_image_and_column() -> None:
    columns = [
        Column("Image", [image(seed=1), image(seed=2)]),
        Column("Grad-CAM\nImageNet", [image(seed=1), image(seed=2)], [blob(), blob()], notes=["cat 0.9", "dog 0.4"]),
        Column("LIME", [image(seed=1), image(seed=2)], [-blob(), blob()], signed=True),
    ]
    page = Image.open(io.BytesIO(gallery(columns, captions=["first", "second"], tile=100)))
    assert page.format == "PNG"
    assert page.width == 2 * 14 + 3 * 100 + 2 * 8
    assert page.height > 2 * 128
    assert gallery(columns, tile=100) == gallery(columns, tile=100)


def test_images_that_are_not_square_keep_their_shape() -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    page = np.asarray(Image.open(io.BytesIO(gallery([Column("Image", [wide])], tile=90))))
    dark = (page.sum(-1) == 0).sum()
    assert dark == pytest.approx(90 * 30, rel=0.2)


def test_long_titles_are_cut_off_and_not_drawn_over_the_next_column() -> None:
    columns = [Column("W" * 90, [image()]), Column("", [image()])]
    page = np.asarray(Image.open(io.BytesIO(gallery(columns, tile=80))).convert("L"))
    assert (page[:30, 14 + 80 :] == 255).all()


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="as many images"):
        gallery([Column("a", [image()]), Column("b", [image(), image()])])
    with pytest.raises(DataError, match="as many images"):
        gallery([])
