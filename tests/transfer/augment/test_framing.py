"""Bringing images of any size to one size, as torchvision does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from headstart.transfer.augment.framing import enlarged, framed, resized


def test_framing_takes_the_centre_as_torchvision_does() -> None:
    image = np.random.default_rng(3).integers(0, 256, (13, 18, 3)).astype(np.uint8)
    assert np.array_equal(framed([image], 8)[0], image[2:10, 5:13])


def pixels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("shape", [(13, 18), (20, 11), (9, 9)])
def test_the_centre_of_a_larger_image_is_torchvisions_centre_crop(shape: tuple[int, int]) -> None:
    image = pixels(*shape)
    height, width = shape
    if (height - 8) % 2 or (width - 8) % 2:  # an odd margin: torchvision rounds, we take the upper left
        expected = image[(height - 8) // 2 :][:8, (width - 8) // 2 :][:, :8]
    else:
        expected = v2.functional.center_crop(torch.from_numpy(image).permute(2, 0, 1), [8, 8]).permute(1, 2, 0).numpy()
    assert np.array_equal(framed([image], 8)[0], expected)


def test_a_small_image_is_enlarged_to_its_shorter_side_first() -> None:
    image = pixels(5, 10)
    expected = v2.functional.resize(torch.from_numpy(image).permute(2, 0, 1), [8, 16], antialias=True)
    assert np.array_equal(enlarged(image, 8), expected.permute(1, 2, 0).numpy())
    assert np.array_equal(framed([image], 8)[0], enlarged(image, 8)[:, 4:12])
    assert enlarged(pixels(8, 9), 8).shape == (8, 9, 3)


def test_what_has_its_size_already_is_not_copied_or_changed() -> None:
    batch = np.stack([pixels(8, 8), pixels(8, 8)])
    assert framed(batch, 8) is batch
    image = pixels(6, 7)
    assert resized(image, 6, 7) is image
