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
