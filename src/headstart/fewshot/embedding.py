"""Features of images through a network in evaluation mode, for episodes during and after training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headstart.models.backbone import Backbone
from headstart.models.preprocessing import as_tensor, normalise
from headstart.transfer.frozen.predict import batch_of

_BATCH = 128


class ChosenImages:
    """Some rows of images, in the order given: row i is row `rows[i]` of the original.

    Args:
        images: return uint8 [h, w, 3] by row.
        rows: [m].
    """

    def __init__(self, images: Any, rows: Int[np.ndarray, " m"]) -> None:
        self._images, self._rows = images, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Any:
        return self._images[int(self._rows[row])]


def pixels_of(
    images: Any, rows: Int[np.ndarray, " b"], backbone: Backbone, device: str | torch.device
) -> Float[Tensor, "b c h w"]:
    """Return the images of these rows, normalised for the backbone.

    Args:
        images: uint8 [n, h, w, 3], or any object that returns uint8 [h, w, 3] by row.
        rows: [b].
        backbone: defines the normalisation and the size.
        device: where the pixels go.
    """
    pixels = as_tensor(batch_of(images, rows, backbone.preprocessing.size)).to(device)
    return normalise(pixels, backbone.preprocessing).contiguous()


def embed(
    backbone: Backbone, images: Any, rows: Int[np.ndarray, " m"], device: str | torch.device = "cpu"
) -> Float[np.ndarray, "m d"]:
    """Return the features of these rows in evaluation mode; the backbone's mode is restored."""
    mode = backbone.training
    backbone.eval()
    out = np.empty((len(rows), backbone.feature_dim), dtype=np.float32)
    try:
        with torch.inference_mode():
            for start in range(0, len(rows), _BATCH):
                part = rows[start : start + _BATCH]
                out[start : start + len(part)] = backbone(pixels_of(images, part, backbone, device)).cpu().numpy()
    finally:
        backbone.train(mode)
    return out
