"""Rows of a feature matrix, prepared: centred, scaled or length-normalised with statistics of training rows only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from headstart.errors import DataError, choose
from headstart.models.heads import LinearHead, normalised

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.floating[Any]]
T = TypeVar("T")

BLOCK = 4096  # rows that are worked on at a time
RESIDENT_BYTES = 4 << 30  # prepared rows are kept in memory up to here, and read again for each pass beyond


@dataclass(frozen=True)
class Steps:
    """What is done to a row: an affine step, the division by its length, an affine step."""

    before: str = "none"
    l2: bool = False
    after: str = "none"


NORMALISE: dict[str, Steps] = {
    "none": Steps(),
    "centre": Steps(after="centre"),
    "standardise": Steps(after="standardise"),
    "l2": Steps(l2=True),
    "l2-centre": Steps(l2=True, after="centre"),
    "l2-standardise": Steps(l2=True, after="standardise"),
    "centre-l2": Steps(before="centre", l2=True),
    "standardise-l2": Steps(before="standardise", l2=True),
}


@dataclass(frozen=True)
class Transform:
    """A fitted normalisation: x -> (l2((x - before[0]) / before[1]) - after[0]) / after[1].

    Args:
        before, after: (centre [d] or None, scale [d] or None).
        l2: whether rows are divided by their length in between.
    """

    before: tuple[Tensor | None, Tensor | None]
    l2: bool
    after: tuple[Tensor | None, Tensor | None]

    def __call__(self, block: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return the prepared rows."""
        return normalised(normalised(block, *self.before, self.l2), *self.after, False)

    def linear_head(
        self, weight: Float[Tensor, "c d"], bias: Float[Tensor, " c"], *, multi_label: bool = False
    ) -> LinearHead:
        """Return the head, on the CPU, for raw features; what can be folded into its weights is."""
        centre, scale = self.after
        if scale is not None:
            weight = weight / scale
        if centre is not None:
            bias = bias - (weight.cpu().double() @ centre.cpu().double()).to(bias)
        head = LinearHead(
            weight.shape[1],
            weight.shape[0],
            l2=self.l2,
            centred=self.before[0] is not None,
            scaled=self.before[1] is not None,
            multi_label=multi_label,
        )
        with torch.no_grad():
            head.weight.copy_(weight)
            head.bias.copy_(bias)
            for name, value in zip(("centre", "scale"), self.before, strict=True):
                if value is not None:
                    head.get_buffer(name).copy_(value)
        return head.eval()


class Rows:
    """Prepared float32 rows of a feature matrix, block by block or by index.

    They are held in memory, once, while they fit in `RESIDENT_BYTES`; otherwise each pass reads the
    (memory-mapped) matrix again.

    Args:
        features: [n, d] array, such as an np.memmap; float32 or float16.
        rows: which of them, with repeats if wanted.
        transform: what is done to each row.
        device: where blocks are wanted.
        half: hold the prepared rows in half precision.
    """

    def __init__(
        self,
        features: FloatArray,
        rows: IntArray,
        transform: Transform,
        device: torch.device,
        *,
        half: bool = False,
    ) -> None:
        self.features, self.rows, self.transform, self.device, self.half = features, rows, transform, device, half
        self._held: Tensor | None = None
        if len(rows) * features.shape[1] * (2 if half else 4) <= RESIDENT_BYTES:
            kind = torch.float16 if half else torch.float32
            held = torch.empty(len(rows), features.shape[1], dtype=kind, device=device)
            for place, block in self.blocks():
                held[place] = block.to(kind)
            self._held = held

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dim(self) -> int:
        """The number of features."""
        return int(self.features.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        return 0 if self._held is None else self._held.nbytes

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[slice, Tensor]]:
        """Yield (place, rows float32 [m, d]) in order."""
        for start in range(0, len(self.rows), size):
            place = slice(start, min(start + size, len(self.rows)))
            if self._held is not None:
                yield place, self._held[place].float()
            else:
                yield place, self._read(self.rows[place])

    def take(self, index: Tensor) -> Float[Tensor, "m d"]:
        """Return the rows at `index` (positions among these rows, on any device)."""
        if self._held is not None:
            return self._held[index.to(self.device)].float()
        return self._read(self.rows[index.cpu().numpy()])

    def _read(self, rows: IntArray) -> Tensor:
        block = self.transform(read(self.features, rows, self.device))
        return block.half().float() if self.half else block


@dataclass(frozen=True)
class Dense:
    """Rows that were computed rather than read, with the manners of `Rows`.

    Args:
        values: [n, d].
    """

    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dim(self) -> int:
        """The number of columns."""
        return self.values.shape[1]

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[slice, Tensor]]:
        """Yield (place, rows [m, d]) in order."""
        for start in range(0, len(self.values), size):
            place = slice(start, min(start + size, len(self.values)))
            yield place, self.values[place]


def read(features: FloatArray, rows: IntArray, device: torch.device) -> Float[Tensor, "n d"]:
    """Return the named raw rows as float32 on the device."""
    taken = np.take(features, rows, axis=0)
    return torch.from_numpy(np.ascontiguousarray(taken, dtype=np.float32)).to(device)


def wide(device: torch.device) -> torch.dtype:
    """Return the widest float of the device, for sums."""
    return torch.float32 if device.type == "mps" else torch.float64


def fit_transform(
    features: FloatArray, rows: IntArray, normalise: str, device: torch.device, *, centred: bool = False
) -> Transform:
    """Return the transform `normalise` with the statistics of `rows`.

    Args:
        features: [n, d].
        rows: the training rows.
        normalise: a name in NORMALISE.
        device: where the statistics are wanted.
        centred: centre at the end in any case (for heads whose intercept makes that free).

    Raises:
        SpecError: unknown name.
        DataError: a feature of a training row is not finite.
    """
    steps = choose("normalisation", normalise, NORMALISE)
    plain: tuple[Tensor | None, Tensor | None] = (None, None)
    transform = Transform(plain, False, plain)
    before = plain if steps.before == "none" else _moments(features, rows, transform, steps.before, device)
    transform = Transform(before, steps.l2, plain)
    after = "centre" if centred and steps.after == "none" else steps.after
    if after == "none":
        return transform
    return Transform(before, steps.l2, _moments(features, rows, transform, after, device))


def _moments(
    features: FloatArray, rows: IntArray, transform: Transform, step: str, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    kind = wide(device)
    total = torch.zeros(features.shape[1], dtype=kind, device=device)
    squares, shift = torch.zeros_like(total), None
    for start in range(0, len(rows), BLOCK):
        block = transform(read(features, rows[start : start + BLOCK], device)).to(kind)
        shift = block[0].clone() if shift is None else shift  # sums of differences keep their digits
        block -= shift
        total += block.sum(0)
        squares += block.square().sum(0)
    assert shift is not None, "a transform is fitted to at least one row"
    mean = total / len(rows)
    if not bool(torch.isfinite(squares).all()):
        raise DataError("features of the training rows hold NaN or infinite values; extract them again")
    centre = mean + shift
    if step == "centre":
        return centre.float(), None
    scale = (squares / len(rows) - mean.square()).clamp(min=0).sqrt()
    constant = scale <= 1e-6 * centre.abs().clamp(min=1e-30)
    return centre.float(), torch.where(constant, torch.ones_like(scale), scale).float()


class Workspace:
    """What several fits share (prepared rows, Gram matrices, decompositions), the least recent let go first.

    Args:
        features: [n, d].
        device: where to compute.
        limit: bytes to keep at most.
    """

    def __init__(self, features: FloatArray, device: torch.device, *, limit: int = RESIDENT_BYTES) -> None:
        self.features, self.device, self.limit = features, device, limit
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return what was made for `key`, or make it; `size` tells its bytes."""
        if key not in self._kept:
            value = make()
            self._kept[key] = (value, size(value))
            while len(self._kept) > 1 and sum(held for _, held in self._kept.values()) > self.limit:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        found: T = self._kept[key][0]
        return found

    def transform(self, rows: IntArray, normalise: str, centred: bool) -> Transform:
        """Return the transform fitted to these rows."""
        key = ("transform", rows.tobytes(), normalise, centred)
        return self.get(
            key,
            lambda: fit_transform(self.features, rows, normalise, self.device, centred=centred),
            lambda made: 16 * self.features.shape[1],
        )

    def rows(self, rows: IntArray, transform: Transform, *, half: bool = False) -> Rows:
        """Return these rows, prepared."""
        key = ("rows", rows.tobytes(), id(transform), half)
        kept = self.get(  # the transform is kept beside the rows, so that its id stays its own
            key,
            lambda: (Rows(self.features, rows, transform, self.device, half=half), transform),
            lambda made: made[0].nbytes,
        )
        return kept[0]
