"""Pixels become a network's input in one way, and back."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.transforms import functional as F

from headstart.bands import BandChoice, Bands
from headstart.models.preprocessing import Preprocessing, as_tensor, normalise, pixels_of, scale_and_shift

NEEDS = Preprocessing(8, 8, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def some_pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)


def test_normalising_agrees_with_torchvision() -> None:
    pixels = some_pixels()
    expected = torch.stack([F.normalize(F.to_tensor(each), list(NEEDS.mean), list(NEEDS.std)) for each in pixels])
    torch.testing.assert_close(normalise(as_tensor(pixels), NEEDS), expected, atol=2e-6, rtol=0)


def test_black_and_white_have_the_values_worked_out_by_hand() -> None:
    black_white = torch.tensor([0.0, 255.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    found = normalise(black_white, Preprocessing(1, 1, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0)))
    np.testing.assert_allclose(found[:, :, 0, 0], [[-1, -1, 0], [1, 3, 0.5]], atol=1e-6)


def test_scale_and_shift_are_the_same_map() -> None:
    scale, shift = scale_and_shift(NEEDS)
    pixels = as_tensor(some_pixels())
    assert torch.equal(pixels.float() * scale + shift, normalise(pixels, NEEDS))


def test_every_pixel_value_survives_the_way_there_and_back() -> None:
    pixels = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 16, 16, 3)
    assert np.array_equal(pixels_of(normalise(as_tensor(pixels), NEEDS), NEEDS), pixels)


def test_pixels_outside_the_range_are_cut_off() -> None:
    images = torch.tensor([-9.0, 9.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert pixels_of(images, NEEDS)[0, 0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_a_tensor_of_pixels_shares_their_memory_and_is_channels_last() -> None:
    pixels = some_pixels()
    tensor = as_tensor(pixels)
    assert tensor.shape == (3, 3, 8, 8) and tensor.data_ptr() == pixels.ctypes.data
    assert normalise(tensor, NEEDS).is_contiguous(memory_format=torch.channels_last)


def test_normalising_leaves_its_input_alone() -> None:
    pixels = torch.full((1, 3, 2, 2), 7.0)
    normalise(pixels, NEEDS)
    assert bool((pixels == 7).all())


def test_another_input_size_keeps_the_margin_in_proportion() -> None:
    assert Preprocessing(224, 256).at(112) == Preprocessing(112, 128)
    assert Preprocessing(32, 32).at(40).resize == 40


def of_range(low: float, high: float, mean: float = 0.4) -> Bands:
    choice = BandChoice((0, 1), ("B1", "B2"), (0, 0, 0), 2, "uint16")
    return Bands(choice, (low, low), (high, high), (mean, mean), (0.2, 0.2), (0.0, 0.0), (255.0, 255.0))


def test_statistics_of_the_numbers_in_files_hold_for_any_range() -> None:
    native = Preprocessing(mean=(0.0, 0.0), std=(1.0, 1.0))
    found = native.of_numbers([1600.0, 1400.0], [800.0, 900.0], of_range(100.0, 5200.0))
    for needs in (found, found.of_bands(of_range(600.0, 3150.0, 0.7))):  # as a second study reads other pictures
        assert needs.bands is not None
        numbers = np.full((1, 1, 2), 2600.0)
        pixels = torch.from_numpy(needs.bands.scaled(numbers))[None]
        # (2600 - 1600) / 800 and (2600 - 1400) / 900, worked out by hand
        np.testing.assert_allclose(normalise(pixels, needs).flatten(), [1.25, 4 / 3], rtol=1e-5)


def test_what_was_measured_on_other_pictures_is_replaced_by_what_is_measured_on_these() -> None:
    measured = Preprocessing().of_bands(of_range(0.0, 100.0))
    assert measured.of_bands(of_range(0.0, 200.0, 0.7)).mean == (0.7, 0.7)
