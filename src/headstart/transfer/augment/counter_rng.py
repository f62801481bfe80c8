"""Random numbers by counter: what a sample draws depends on (seed, epoch, row, name) and on nothing else.

So augmentation gives the same pixels whatever the batch, the number of workers or an interruption.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Draws(NamedTuple):
    """Uniform numbers for some rows in one epoch.

    Args:
        seed: the run's seed.
        epoch: counted from 0.
        rows: int64 [n].
    """

    seed: int
    epoch: int
    rows: npt.NDArray[np.int64]

    def uniform(self, name: str, count: int) -> npt.NDArray[np.float64]:
        """Return [n, count] numbers in [0, 1) for the purpose `name` (SplitMix64 of the counters)."""
        base = np.uint64(number(self.seed, self.epoch, name))
        with np.errstate(over="ignore"):
            rows = _mix(base ^ _mix((self.rows.astype(np.uint64) + np.uint64(1)) * _GOLDEN))
            columns = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * _GOLDEN
            bits = _mix(rows[:, None] + columns[None, :])
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def number(*parts: int | str) -> int:
    """Return 63 bits that depend on every part."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(*parts: int | str) -> np.random.Generator:
    """Return a generator whose stream depends on every part."""
    return np.random.default_rng(number(*parts))


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
