"""Predictions of a network for decoded images, with or without test-time augmentation."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headstart.errors import choose
from headstart.models.preprocessing import Preprocessing, as_tensor, normalise
from headstart.models.test_time_augmentation import TTA, mean_probabilities
from headstart.progress import progress
from headstart.transfer.augment.framing import framed
from headstart.transfer.frozen.engine import Engine

BATCH = 64
Run = Callable[[Tensor], Tensor]
MANY = 500  # images for which it pays to prepare an engine


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

    def judged(run: Run, pixels: Tensor) -> Tensor:
        return mean_probabilities([run(view) for view in views(pixels)], multi_label=multi_label)

    return _in_batches(network, images, rows, preprocessing, judged, device=device, title=title)


def predict_outputs(
    network: nn.Module,
    images: Any,
    rows: npt.NDArray[np.int64],
    preprocessing: Preprocessing,
    *,
    device: str = "cpu",
    title: str = "embeddings",
) -> npt.NDArray[np.float32]:
    """Return what a network in evaluation mode gives for the images in `rows`, float32 [n, d].

    Args:
        network: normalised images -> [n, d], such as a backbone.
        images, rows, preprocessing, device, title: as of `predict_probabilities`.
    """
    return _in_batches(
        network, images, rows, preprocessing, lambda run, pixels: run(pixels).float(), device=device, title=title
    )


def _in_batches(
    network: nn.Module,
    images: Any,
    rows: npt.NDArray[np.int64],
    preprocessing: Preprocessing,
    each: Callable[[Run, Tensor], Tensor],
    *,
    device: str,
    title: str,
) -> npt.NDArray[np.float32]:
    """Return what `each` makes of every batch, given what runs the network and pixels [n, 3, h, w] in 0 … 255.

    The network is in evaluation mode meanwhile; its modes are restored.
    """
    modes = [module.training for module in network.modules()]
    run = _runner(network.eval(), preprocessing, device, len(rows))
    parts = []
    try:
        with torch.inference_mode(), progress(title, len(rows)) as ticker:
            for start in range(0, len(rows), BATCH):
                pixels = as_tensor(batch_of(images, rows[start : start + BATCH], preprocessing.size))
                parts.append(each(run, pixels.float()).cpu().numpy())
                ticker.advance(len(pixels))
    finally:
        for module, mode in zip(network.modules(), modes, strict=True):
            module.training = mode
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


def _runner(network: nn.Module, preprocessing: Preprocessing, device: str, count: int) -> Run:
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
