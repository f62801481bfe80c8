"""The raw-pixel baseline: no network at all, the pixels themselves are the features."""

from __future__ import annotations

from torch import nn

from headstart.models.backbone import Backbone
from headstart.models.preprocessing import Preprocessing

NAME = "pixels"


def pixels_backbone(size: int = 32) -> Backbone:
    """Return a Backbone of one stage that flattens an image, scaled to 0..1, into its 3 · size² pixels."""
    preprocessing = Preprocessing(size, size, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return Backbone(NAME, {"pool": nn.Flatten()}, feature_dim=3 * size * size, preprocessing=preprocessing)
