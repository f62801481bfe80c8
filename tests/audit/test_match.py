from __future__ import annotations

import numpy as np
import pytest
from photographs import picture
from PIL import Image

from headstart.audit.inspect import small
from headstart.audit.inspection_store import SIDE
from headstart.audit.match import SHORT, fine_match, resized_grey, rough_match, texture


def squeezed(images: list[np.ndarray]) -> np.ndarray:
    return np.stack(
        [np.asarray(Image.fromarray(i).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)) for i in images]
    )


def test_a_cut_out_is_found_in_its_picture_and_not_in_another() -> None:
    whole, other = picture(0, (144, 180)), picture(1, (144, 180))
    part = whole[20:130, 30:170]
    rough = rough_match(squeezed([whole, part, other]), np.array([0, 1, 0]), np.array([1, 2, 2]))
    assert rough.score[0] > 0.9
    assert rough.inward[0]
    assert rough.score[0] > rough.score[1:].max() + 0.1
    assert (rough.height[0], rough.width[0]) == (24, 24)  # 110 of 144 rows: 24.4 of 32; 140 of 180 columns: 24.9
    fine = fine_match(small(whole, SHORT), small(part, SHORT), float(rough.height[0]), float(rough.width[0]))
    assert fine > 0.85
    assert fine_match(small(other, SHORT), small(part, SHORT), 24, 24) < 0.4


def test_a_cut_out_is_found_whichever_image_comes_first() -> None:
    whole = picture(2, (144, 180))
    rough = rough_match(squeezed([whole, whole[10:120, 10:150]]), np.array([0, 1]), np.array([1, 0]))
    assert rough.inward.tolist() == [True, False]
    assert rough.score[0] == pytest.approx(rough.score[1], abs=1e-5)
    assert rough.height[0] == rough.height[1]


def test_equal_images_match_as_wholes() -> None:
    grey = squeezed([picture(3)])
    rough = rough_match(grey, np.array([0]), np.array([0]))
    assert rough.score[0] == pytest.approx(1, abs=1e-4)
    assert (rough.height[0], rough.width[0], rough.inward[0]) == (SIDE, SIDE, True)


def test_more_pairs_than_one_block_keep_their_order() -> None:
    grey = squeezed([picture(k) for k in range(4)])
    a, b = np.arange(300) % 4, np.arange(300) % 3
    together, last = rough_match(grey, a, b), rough_match(grey, a[290:], b[290:])
    assert together.score[290:] == pytest.approx(last.score, abs=1e-5)
    assert len(rough_match(grey, a[:0], b[:0]).score) == 0


def test_the_place_and_size_of_a_cut_out_are_refined() -> None:
    whole = picture(4, (216, 216))
    part = whole[31 : 31 + 155, 20 : 20 + 155]  # 22.96 of 32
    assert fine_match(small(whole, SHORT), small(part, SHORT), 24, 24) > 0.85
    assert fine_match(small(whole, SHORT), small(part, SHORT), 30, 30) < 0.6


def test_two_flat_images_do_not_match() -> None:
    flat = [np.full((60, 60, 3), level, dtype=np.uint8) for level in (254, 255)]
    assert fine_match(small(flat[0], SHORT), small(flat[1], SHORT), SIDE, SIDE) < 0.1
    assert rough_match(squeezed(flat), np.array([0]), np.array([1])).score[0] < 0.1


@pytest.mark.parametrize(("contrast", "least", "most"), [(2.5, 0.9, 1.0), (1.0, 0.1, 0.3)])
def test_details_of_more_than_two_grey_levels_count_in_full_and_fainter_ones_less(
    contrast: float, least: float, most: float
) -> None:
    whole = picture(0, (144, 180))
    grey = squeezed([whole, whole[20:130, 30:170]]).astype(float)
    grey = (grey - grey.mean(axis=(1, 2), keepdims=True)) / grey.std(axis=(1, 2), keepdims=True)
    faint = np.round(128 + contrast * grey).astype(np.uint8)
    assert least < rough_match(faint, np.array([0]), np.array([1])).score[0] < most


def test_one_edge_in_front_of_a_plain_sky_needs_equal_grey_levels() -> None:
    def scene(sky: int) -> np.ndarray:
        image = np.full((SHORT, SHORT), sky, dtype=np.uint8)
        image[30:36, 10:26] = 20
        return image

    assert fine_match(scene(200), scene(203), SIDE, SIDE) > 0.95
    assert fine_match(scene(200), scene(240), SIDE, SIDE) == 0.0


def test_texture_is_the_contrast_of_details() -> None:
    x = np.arange(SIDE)
    stripes = np.where(x % 2 == 0, 110, 130).astype(np.uint8)  # ±10 around a mean that the blur takes away
    ramp = (x * 4).astype(np.uint8)
    found = texture(
        np.stack([np.tile(stripes, (SIDE, 1)), np.tile(ramp, (SIDE, 1)), np.full((SIDE, SIDE), 90, np.uint8)])
    )
    assert found[0] == pytest.approx(10, abs=0.5)
    assert found[1] < 0.5
    assert found[2] == 0
    many = np.random.default_rng(0).integers(0, 255, (4100, SIDE, SIDE), dtype=np.uint8)
    assert texture(many)[4096:] == pytest.approx(texture(many[4096:]))


def test_resizing_averages_downwards_and_interpolates_upwards() -> None:
    assert resized_grey(np.array([[0, 2, 4, 6], [8, 10, 12, 14]]), 1, 2).tolist() == [[5, 9]]
    assert resized_grey(np.array([[0, 3, 6]]), 1, 2)[0] == pytest.approx([1, 5])  # 1.5 pixels each: (0 + 3/2) / 1.5
    assert resized_grey(np.array([[0, 8]]), 1, 4)[0] == pytest.approx([0, 2, 6, 8])


def test_a_cut_out_of_a_tenth_is_looked_for_and_a_smaller_one_is_not() -> None:
    whole = picture(5, (216, 216))
    part = whole[60 : 60 + 68, 90 : 90 + 68]  # 10.07 of 32: 23 of 72 pixels, of which the rim leaves 11
    assert fine_match(small(whole, SHORT), small(part, SHORT), 10, 10) > 0.5
    assert fine_match(small(whole, SHORT), small(part, SHORT), 10, 8) == -1  # 18 pixels: 6 are left
    assert fine_match(small(whole, SHORT), small(part, SHORT), 8, 10) == -1


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_the_rim_of_an_image_tells_nothing(side: str) -> None:
    whole = small(picture(6, (216, 216)), SHORT)
    framed = np.rot90(whole, ["top", "right", "bottom", "left"].index(side)).copy()
    framed[0] = 255 - framed[0]  # one row; the blur carries a little of it inwards
    framed = np.rot90(framed, -["top", "right", "bottom", "left"].index(side))
    assert fine_match(whole, framed, SIDE, SIDE) > 0.97
