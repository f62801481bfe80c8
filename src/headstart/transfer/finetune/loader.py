"""Batches in an order that is a function of (seed, epoch), from a place that can be saved and returned to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headstart.transfer.augment.counter_rng import generator

Fetch = Callable[[npt.NDArray[np.int64], int], Tensor]  # (rows, epoch) -> inputs [b, ...]
AHEAD = 4  # batches prepared in advance when there are worker threads


class Batch(NamedTuple):
    """Inputs and labels of some rows; `step` is the batch's place in its epoch, `soft` a teacher's probabilities."""

    inputs: Tensor
    labels: Tensor
    epoch: int
    step: int
    soft: Tensor | None = None


@dataclass(frozen=True)
class Order:
    """Which rows each batch of an epoch takes.

    Every row comes once an epoch, and batches differ by at most one in size; with `weights` as many
    rows are drawn with replacement, in proportion.

    Args:
        rows: int64 [n].
        batch_size: the largest batch.
        seed: None keeps the rows in order.
        weights: float [n] or None.
        rank, world: this process takes its share of each batch (several devices).
    """

    rows: npt.NDArray[np.int64]
    batch_size: int
    seed: int | None = None
    weights: npt.NDArray[np.float64] | None = None
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def batches(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """Return the rows of each batch of this epoch."""
        rows = self.rows
        if self.seed is not None:
            draw = generator(self.seed, epoch, "order")
            if self.weights is None:
                rows = rows[draw.permutation(len(rows))]
            else:
                rows = rows[draw.choice(len(rows), len(rows), p=self.weights / self.weights.sum())]
        return [part[self.rank :: self.world] for part in np.array_split(rows, len(self))]


class Batches:
    """An endless course of epochs; each `iter` gives the rest of the current epoch.

    Args:
        order: which rows.
        fetch: inputs of some rows in some epoch.
        labels: int64 or bool, for every row of the dataset.
        workers: threads that prepare batches in advance; the batches do not depend on it.
        follows: validation: the training batches whose epoch counts; each `iter` then gives all batches.
        soft: a teacher's probabilities of some rows in some epoch.
    """

    def __init__(
        self,
        order: Order,
        fetch: Fetch,
        labels: npt.NDArray[np.int64] | npt.NDArray[np.bool_],
        workers: int = 0,
        follows: Batches | None = None,
        soft: Fetch | None = None,
    ) -> None:
        self.follows, self.soft = follows, soft
        self.order, self.fetch, self.labels, self.workers = order, fetch, labels, workers
        self.epoch, self.step = 0, 0

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        if self.follows is not None:
            self.epoch, self.step = self.follows.epoch, 0
        elif self.step >= len(self):
            self.epoch, self.step = self.epoch + 1, 0
        todo = list(enumerate(self.order.batches(self.epoch)))[self.step :]
        for batch in self._made(todo, self.epoch):
            self.step = batch.step + 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the place after the last batch that was handed out."""
        if self.step >= len(self):
            return {"epoch": self.epoch + 1, "step": 0}
        return {"epoch": self.epoch, "step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume from a place."""
        self.epoch, self.step = int(state["epoch"]), int(state["step"])

    def _make(self, step: int, rows: npt.NDArray[np.int64], epoch: int) -> Batch:
        soft = None if self.soft is None else self.soft(rows, epoch)
        return Batch(self.fetch(rows, epoch), torch.from_numpy(self.labels[rows]), epoch, step, soft)

    def _made(self, todo: list[tuple[int, npt.NDArray[np.int64]]], epoch: int) -> Iterator[Batch]:
        if self.workers == 0:
            for step, rows in todo:
                yield self._make(step, rows, epoch)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            waiting: deque[Future[Batch]] = deque()
            try:
                for step, rows in todo:
                    waiting.append(pool.submit(self._make, step, rows, epoch))
                    if len(waiting) > AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
