from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from headstart.errors import SpecError
from headstart.explain.explainers import explain


class Corner(nn.Module):
    """Two classes, decided by the mean of the lower right quarter."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images[:, :, 8:, 8:].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(mean), mean], dim=1)


IMAGES = torch.full((2, 3, 16, 16), 2.0)
TARGETS = torch.tensor([1, 0])


def test_windows_lose_what_the_network_loses_by_them() -> None:
    maps = explain(Corner(), IMAGES, TARGETS, "occlusion", window=0.25, stride=0.25, batch=3)
    expected = np.zeros((2, 16, 16))  # a quarter of the decisive quarter becomes 0: its mean falls from 2 to 1.5
    expected[0, 8:, 8:] = 0.5
    expected[1, 8:, 8:] = -0.5
    np.testing.assert_allclose(maps, expected, atol=1e-6)
    assert maps[1].min() < 0  # covering it helps the other class


def test_overlapping_windows_are_averaged_and_every_pixel_is_covered() -> None:
    maps = explain(Corner(), IMAGES, TARGETS, "occlusion", window=0.3, stride=0.2)
    assert np.isfinite(maps).all()
    assert maps[0, 12, 12] > maps[0, 4, 4]
    assert maps[0, 15, 15] != 0


class Either(nn.Module):
    """Two classes, decided by the brighter of two spots: neither is missed while the other is there."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        spots = [images[:, :, 2:6, 2:6], images[:, :, 10:14, 10:14]]
        brighter = torch.stack([spot.mean((1, 2, 3)) for spot in spots]).amax(0)
        return torch.stack([torch.zeros_like(brighter), brighter], dim=1)


def test_a_part_that_is_enough_counts_though_it_is_not_missed() -> None:
    image = torch.zeros(1, 3, 16, 16)
    image[:, :, 2:6, 2:6] = image[:, :, 10:14, 10:14] = 4.0
    heat = explain(Either(), image, torch.tensor([1]), "occlusion", window=0.25, stride=0.125)[0]
    assert min(heat[3:5, 3:5].min(), heat[11:13, 11:13].min()) > 0.1
    assert abs(heat[2:6, 10:14]).max() < 1e-6


@pytest.mark.parametrize(("window", "stride"), [(0.1, 0.2), (1.2, 0.5), (0.2, 0.0)])
def test_windows_that_leave_gaps_are_refused(window: float, stride: float) -> None:
    with pytest.raises(SpecError, match="stride"):
        explain(Corner(), IMAGES, TARGETS, "occlusion", window=window, stride=stride)
