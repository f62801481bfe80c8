"""Predictions of a network for decoded images, with or without test-time augmentation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import choose
from headstart.models.backbone import Preprocessing
from headstart.progress import progress
from headstart.transfer.augment.framing import framed
from headstart.transfer.frozen.engine import Engine

BATCH = 64
MANY = 500  # images for which it pays to prepare an engine
Views = Callable[[Tensor], Sequence[Tensor]]


def _one(images: Tensor) -> Sequence[Tensor]:
    return (images,)


def _flip(images: Tensor) -> Sequence[Tensor]:
    return images, images.flip(-1)


def _flip_translate(images: Tensor) -> Sequence[Tensor]:
    """The image and its mirror, each also shifted by 1/32 of the side along both diagonals (as in airbench)."""
    shift = max(1, round(images.shape[-1] / 32))
    padded = functional.pad(images, (shift,) * 4, "reflect")
    size = images.shape[-2:]
    corner = padded[..., : size[0], : size[1]], padded[..., 2 * shift :, 2 * shift :]
    return [view for shown in (images, *corner) for view in (shown, shown.flip(-1))]


TTA: dict[str, Views] = {"none": _one, "flip": _flip, "flip_translate": _flip_translate}


def normalise(pixels: Tensor, preprocessing: Preprocessing) -> Float[Tensor, "n 3 h w"]:
    """Return pixels 0 … 255 [n, 3, h, w] scaled to 0..1 and normalised, in the memory format that they came in."""
    mean = torch.tensor(preprocessing.mean, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=pixels.device).view(1, 3, 1, 1)
    return pixels.to(torch.float32, copy=True).mul_(1 / (255 * std)).sub_(mean / std)


def as_tensor(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Return [n, h, w, 3] as a tensor [n, 3, h, w] without copying: its memory is channels last."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)


def batch_of(images: Any, rows: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.uint8]:
    """Return the images of these rows, uint8 [b, size, size, 3], from whatever gives images by row."""
    whole = images.batch(rows) if hasattr(images, "batch") else [images[int(row)] for row in rows]
    return framed(whole, size)


def predict_probabilities(
    network: nn.Module,
    images: Any,
    rows: npt.NDArray[np.int64],
    preprocessing: Preprocessing,
    *,
    tta: str = "none",
    multi_label: bool = False,
    device: str = "cpu",
    title: str = "predictions",
) -> npt.NDArray[np.float32]:
    """Return class probabilities float32 [n, C] of the images in `rows`, in evaluation mode.

    With test-time augmentation the probabilities of the views are averaged.

    Args:
        network: normalised images -> logits.
        images: gives uint8 [h, w, 3] by row.
        rows: int64 [n].
        preprocessing: size, mean and std.
        tta: none, flip or flip_translate.
        multi_label: probabilities are per class (sigmoid).
        device: where it runs.
        title: of the progress line.

    Raises:
        SpecError: unknown `tta`.
    """
    views = choose("test-time augmentation", tta, TTA)
    modes = [module.training for module in network.modules()]
    run = _runner(network.eval(), preprocessing, device, len(rows))
    parts = []
    try:
        with torch.inference_mode(), progress(title, len(rows)) as ticker:
            for start in range(0, len(rows), BATCH):
                pixels = as_tensor(batch_of(images, rows[start : start + BATCH], preprocessing.size))
                logits = [run(view) for view in views(pixels.float())]
                each = [x.float().sigmoid() if multi_label else x.float().softmax(1) for x in logits]
                parts.append(torch.stack(each).mean(0).cpu().numpy())
                ticker.advance(len(pixels))
    finally:
        for module, mode in zip(network.modules(), modes, strict=True):
            module.training = mode
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


def _runner(network: nn.Module, preprocessing: Preprocessing, device: str, count: int) -> Callable[[Tensor], Tensor]:
    """Return what makes logits of pixels [n, 3, h, w] in 0 … 255: for many images on the CPU, an engine."""
    if device == "cpu" and count >= MANY:
        engine = Engine(copy.deepcopy(network).cpu(), preprocessing)
        return lambda pixels: torch.from_numpy(engine(pixels.byte().permute(0, 2, 3, 1).numpy()))
    network = network.to(torch.device(device)).to(memory_format=torch.channels_last)

    def eager(pixels: Tensor) -> Tensor:
        images = normalise(pixels.to(device), preprocessing).contiguous(memory_format=torch.channels_last)
        logits: Tensor = network(images)
        return logits

    return eager
