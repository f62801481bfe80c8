"""Augmentation: what it does to pixels, and that it depends on seed, epoch and row alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from headstart.errors import SpecError
from headstart.transfer.augment.augment import AUGMENTATIONS, DEFAULTS, Augmenter, check_options
from headstart.transfer.augment.counter_rng import Draws

ROWS = np.arange(12)
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 20, 3)).astype(np.uint8)


def augmented(
    name: str, pixels: np.ndarray = PIXELS, rows: np.ndarray = ROWS, epoch: int = 0, seed: int = 3
) -> np.ndarray:
    return Augmenter((name,), {}, seed, pixels.shape[1])(pixels, rows, epoch)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_row_comes_out_the_same_in_any_batch(name: str) -> None:
    whole = augmented(name)
    assert whole.dtype == np.uint8 and whole.shape == PIXELS.shape
    order = np.array([7, 2, 11])
    assert np.array_equal(augmented(name, PIXELS[order], order), whole[order])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_epochs_and_seeds_differ_and_the_input_stays(name: str) -> None:
    before = PIXELS.copy()
    whole = augmented(name)
    assert not np.array_equal(whole, augmented(name, epoch=1))
    assert not np.array_equal(whole, augmented(name, seed=4))
    assert np.array_equal(PIXELS, before)


@pytest.mark.parametrize(("name", "axis"), [("horizontal_flip", 2), ("vertical_flip", 1)])
def test_a_flip_mirrors_about_half_of_the_images(name: str, axis: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (400, 4, 4, 3)).astype(np.uint8)
    out = augmented(name, pixels, np.arange(400))
    mirrored = (out == np.flip(pixels, axis)).all(axis=(1, 2, 3))
    same = (out == pixels).all(axis=(1, 2, 3))
    assert (mirrored | same).all() and 160 < mirrored.sum() < 240


def test_a_crop_shifts_and_reflects_the_border() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1).repeat(3, axis=3)
    out = Augmenter(("random_crop",), {"random_crop": {"padding": 0.25}}, 0, 8)(
        image.repeat(50, axis=0), np.arange(50), 0
    )
    padded = np.pad(image[0], ((2, 2), (2, 2), (0, 0)), mode="reflect")
    windows = {padded[y : y + 8, x : x + 8].tobytes() for y in range(5) for x in range(5)}
    assert {one.tobytes() for one in out} <= windows and len({one.tobytes() for one in out}) > 12


def test_a_crop_of_a_larger_image_is_a_window_of_it() -> None:
    image = np.random.default_rng(2).integers(0, 256, (14, 10, 3)).astype(np.uint8)
    (out,) = Augmenter(("random_crop",), {}, 0, 8)([image], np.array([5]), 0)
    assert any(np.array_equal(out, image[y : y + 8, x : x + 8]) for y in range(7) for x in range(3))


def test_a_resized_crop_of_the_whole_image_is_the_resized_image() -> None:
    options = {"random_resized_crop": {"scale_min": 1.0, "scale_max": 1.0, "ratio": 1.0}}
    out = Augmenter(("random_resized_crop",), options, 0, 10)(PIXELS, ROWS, 0)
    expected = v2.functional.resize(torch.from_numpy(PIXELS).permute(0, 3, 1, 2), [10, 10], antialias=True)
    assert np.array_equal(out, expected.permute(0, 2, 3, 1).numpy())


def test_erasing_paints_one_rectangle_in_the_mean_colour() -> None:
    out = Augmenter(("random_erasing",), {"random_erasing": {"p": 1.0}}, 0, 20)(PIXELS, ROWS, 0)
    for before, after in zip(PIXELS, out, strict=True):
        ys, xs = np.nonzero((before != after).any(axis=2))
        box = after[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        assert (box == before.mean(axis=(0, 1)).round()).all()
        assert 0.01 < box.shape[0] * box.shape[1] / 400 < 0.4


def test_unknown_options_are_refused_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean 'degrees'"):
        check_options(("rotation",), {"rotation": {"degree": 3.0}})
    with pytest.raises(SpecError, match="not in augment"):
        check_options((), {"rotation": {"degrees": 3.0}})
    assert set(DEFAULTS) == {*AUGMENTATIONS, "mixup", "cutmix"}


def test_a_resized_crop_is_a_part_of_the_image_resized_within_scale_and_ratio() -> None:
    ramp = np.zeros((60, 60, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(60)[None, :] * 4, np.arange(60)[:, None] * 4
    options = {"random_resized_crop": {"scale_min": 0.25, "scale_max": 0.5, "ratio": 1.5}}
    out = Augmenter(("random_resized_crop",), options, 1, 30)(ramp[None].repeat(200, axis=0), np.arange(200), 0)
    width = (out[:, 15, -2, 0].astype(float) - out[:, 15, 1, 0]) / 4 * 30 / 27  # the ramp's slope is the crop's side
    height = (out[:, -2, 15, 1].astype(float) - out[:, 1, 15, 1]) / 4 * 30 / 27
    area = width * height / 3600
    assert 0.22 < area.min() < 0.28 and 0.46 < area.max() < 0.54
    assert 1.35 < (width / height).max() < 1.65 and 0.6 < (width / height).min() < 0.74


def test_colour_changes_are_torchvisions() -> None:
    options = {"colour": {"brightness": 0.5, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}}
    out = Augmenter(("colour",), options, 0, 20)(PIXELS, ROWS, 0)
    factors = 1 + (2 * Draws(0, 0, ROWS).uniform("colour", 4)[:, 0] - 1) * 0.5
    for before, after, factor in zip(PIXELS, out, factors, strict=True):
        expected = v2.functional.adjust_brightness(torch.from_numpy(before).permute(2, 0, 1), float(factor))
        assert np.array_equal(after, expected.permute(1, 2, 0).numpy())


def test_rotation_by_nothing_is_nothing_and_corners_show_the_mean_colour() -> None:
    still = Augmenter(("rotation",), {"rotation": {"degrees": 0.0}}, 0, 20)(PIXELS, ROWS, 0)
    assert np.array_equal(still, PIXELS)
    plain = np.full((1, 20, 20, 3), 90, np.uint8)
    turned = Augmenter(("rotation",), {"rotation": {"degrees": 45.0}}, 0, 20)(plain, np.array([3]), 0)
    corners = turned[0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 90).all() and (turned[0, 10, 10] == 90).all()
