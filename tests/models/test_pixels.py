"""Raw pixels as features."""

from __future__ import annotations

import numpy as np

from headstart.models.pixels import pixels_backbone
from headstart.models.preprocessing import as_tensor, normalise


def test_the_features_are_the_pixels_scaled_to_one_channel_after_channel() -> None:
    backbone = pixels_backbone(4)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    found = backbone(normalise(as_tensor(pixels), backbone.preprocessing))
    np.testing.assert_allclose(found, pixels.transpose(0, 3, 1, 2).reshape(2, 48) / 255, atol=1e-7)
    assert backbone.feature_dim == 48 and not list(backbone.parameters())


def test_images_are_asked_for_at_the_size_without_a_margin() -> None:
    needs = pixels_backbone().preprocessing
    assert (needs.size, needs.resize, pixels_backbone().feature_dim) == (32, 32, 3072)
