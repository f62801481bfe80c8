"""Batches in pieces: how many, when they are halved, and what is said about it."""

from __future__ import annotations

import pytest
import torch

from headstart.errors import RunFailed
from headstart.transfer.finetune.micro_batches import MicroBatches, out_of_memory
from headstart.transfer.finetune.recipe import Recipe


def test_a_step_of_several_batches_is_processed_batch_by_batch() -> None:
    pieces = MicroBatches(Recipe(batch_size=8, accumulate=3))
    assert [pieces.count(images) for images in (24, 23, 8, 1)] == [3, 3, 1, 1]


def test_halving_is_noted_with_its_consequences() -> None:
    pieces = MicroBatches(Recipe(batch_size=9, accumulate=2))
    pieces.halve(RuntimeError("out of memory"), devices=1)
    assert pieces.size == 4 and pieces.count(18) == 5
    assert pieces.notes == [
        "batches of 9 did not fit into memory: 4 images at a time, gradients accumulated over 5;"
        " batch norm sees 4 images at a time"
    ]


def test_one_image_that_does_not_fit_and_several_devices_end_the_run() -> None:
    with pytest.raises(RunFailed, match="one image at a time; use a smaller input_size or network"):
        MicroBatches(Recipe(batch_size=1)).halve(RuntimeError(), devices=1)
    with pytest.raises(RunFailed, match="batch_size 8 on each device; halve it"):
        MicroBatches(Recipe(batch_size=8)).halve(RuntimeError(), devices=2)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_lack_of_memory_is_recognised(error: RuntimeError, expected: bool) -> None:
    assert out_of_memory(error) is expected
