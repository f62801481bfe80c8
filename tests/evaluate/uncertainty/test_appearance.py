from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageFilter

from headstart.evaluate.uncertainty.appearance import APPEARANCE, appearance


def looks(pixels: np.ndarray) -> dict[str, float]:
    (row,) = appearance(pixels[None])
    return dict(zip(APPEARANCE, row.tolist(), strict=True))


def test_a_picture_of_one_colour_has_the_figures_worked_out_by_hand() -> None:
    found = looks(np.full((8, 8, 3), (255, 102, 0), np.uint8))
    assert found["brightness"] == pytest.approx(0.299 + 0.587 * 0.4)
    assert found["contrast"] == pytest.approx(0, abs=1e-6) and found["saturation"] == pytest.approx(1)
    assert found["warmth"] == pytest.approx(1) and found["tint"] == pytest.approx(0.4 - 0.5, abs=1e-5)
    assert found["sharpness"] == pytest.approx(-6)


def test_contrast_and_sharpness_of_a_checkerboard_are_those_of_their_formulas() -> None:
    board = np.repeat((np.indices((6, 6)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    found = looks(board)
    assert found["brightness"] == pytest.approx(0.5) and found["contrast"] == pytest.approx(0.5)
    assert found["sharpness"] == pytest.approx(math.log10(16), abs=1e-5)  # four neighbours differ by one each


def test_a_blurred_copy_is_less_sharp_and_a_batch_is_its_pictures_one_by_one() -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (70, 24, 24, 3), np.uint8)
    blurred = np.stack([np.asarray(Image.fromarray(each).filter(ImageFilter.GaussianBlur(1))) for each in pixels])
    assert (appearance(blurred)[:, 5] < appearance(pixels)[:, 5]).all()
    assert np.allclose(appearance(pixels), np.concatenate([appearance(each[None]) for each in pixels]))


def test_pictures_too_small_for_a_neighbour_and_no_pictures_are_no_defect() -> None:
    assert appearance(np.zeros((1, 2, 9, 3), np.uint8))[0, 5] == pytest.approx(-6)
    assert appearance(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, len(APPEARANCE))


@pytest.mark.parametrize("shape", [(3, 3), (3, 17), (31, 3), (40, 23)])
def test_every_figure_is_that_of_its_formula_in_double_precision(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    red, green, blue = np.moveaxis(pixels / 255, 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    spread = pixels.max(2).astype(int) - pixels.min(2)
    wanted = {
        "brightness": luma.mean(),
        "contrast": luma.std(),
        "saturation": spread.mean() / 255,
        "warmth": red.mean() - blue.mean(),
        "tint": green.mean() - (red.mean() + blue.mean()) / 2,
        "sharpness": math.log10(((around - 4 * luma[1:-1, 1:-1]) ** 2).mean() + 1e-6),
    }
    assert looks(pixels) == pytest.approx(wanted, abs=1e-6)


def test_grey_pictures_have_no_colour_at_all() -> None:
    grey = np.repeat(np.random.default_rng(2).integers(0, 256, (224, 224, 1), np.uint8), 3, axis=2)
    found = looks(grey)
    assert found["saturation"] == found["warmth"] == found["tint"] == 0
