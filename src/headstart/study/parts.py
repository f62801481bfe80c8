"""Parts of a pass over many images: consecutive rows that workers decode and run through a frozen network apart.

How images are divided depends on their number alone, so that a study that was interrupted finds its parts again, with
any number of workers.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from headstart.data.dataset import Dataset

SMALLEST, LARGEST, MOST = 256, 4096, 16  # images of a part, a power of two; parts of a pass that needs no more

Rows = tuple[int, int]  # from this row up to, but without, that one


def rows_of_parts(images: int) -> tuple[Rows, ...]:
    """Return the rows of each part of a pass over this many images; none if they are too few to be divided.

    Their size is a power of two, so that no batch of a network has images of two parts; the last may be smaller.
    """
    if images < 2 * SMALLEST:
        return ()
    size = min(LARGEST, max(SMALLEST, 1 << math.ceil(math.log2(images / MOST))))
    return tuple((start, min(start + size, images)) for start in range(0, images, size))


def part_of(dataset: Dataset, rows: Rows) -> Dataset:
    """Return consecutive rows of a dataset, with their place in its name."""
    start, stop = rows
    return replace(dataset.select(np.arange(start, stop)), name=f"{dataset.name}, images {start + 1:,} to {stop:,}")
