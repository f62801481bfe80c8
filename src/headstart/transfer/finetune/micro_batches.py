"""Batches that do not fit into memory: they are processed in smaller pieces, and the gradients are accumulated."""

from __future__ import annotations

import math

import torch

from headstart.errors import RunFailed
from headstart.transfer.finetune.recipe import Recipe


class MicroBatches:
    """How many images are processed at a time, and what the reader of a run must know about it.

    Args:
        recipe: `batch_size` images at a time to begin with; `batch_size` × `accumulate` make one step.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.size, self.step_size = recipe.batch_size, recipe.batch_size * recipe.accumulate
        self.notes: list[str] = []

    def count(self, images: int) -> int:
        """Return in how many pieces a batch of this many images is processed."""
        return math.ceil(images / self.size)

    def halve(self, error: BaseException, devices: int) -> None:
        """Process half as many images at a time, after an error for lack of memory.

        Raises:
            RunFailed: a single image did not fit, or several devices train together.
        """
        if self.size == 1:
            raise RunFailed("not enough memory for one image at a time; use a smaller input_size or network") from error
        if devices > 1:
            raise RunFailed(f"not enough memory for batch_size {self.size} on each device; halve it") from error
        before, self.size = self.size, self.size // 2
        times = math.ceil(self.step_size / self.size)
        self.notes.append(
            f"batches of {before} did not fit into memory: {self.size} images at a time,"
            f" gradients accumulated over {times}; batch norm sees {self.size} images at a time"
        )


def out_of_memory(error: BaseException) -> bool:
    """Return whether the device or the machine ran out of memory."""
    text = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "not enough memory", "std::bad_alloc")
    return isinstance(error, torch.OutOfMemoryError) or any(sign in text for sign in signs)
