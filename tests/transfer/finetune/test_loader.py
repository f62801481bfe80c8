"""Batches: which rows, in which order, and that a saved position continues the same way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.transfer.finetune.loader import Batch, Batches, Order

LABELS = np.arange(50) % 3


def fetch(rows: np.ndarray, epoch: int) -> torch.Tensor:
    return torch.from_numpy(rows * 100 + epoch)


def test_an_order_takes_every_row_once_in_even_batches() -> None:
    order = Order(np.arange(100, 125), 8, seed=1)
    batches = order.batches(3)
    assert sorted(np.concatenate(batches).tolist()) == list(range(100, 125))
    assert {len(batch) for batch in batches} <= {6, 7} and len(order) == 4
    assert not np.array_equal(np.concatenate(batches), np.concatenate(order.batches(4)))
    halves = [Order(np.arange(100, 125), 8, seed=1, rank=rank, world=2).batches(3) for rank in (0, 1)]
    assert sorted(np.concatenate([*halves[0], *halves[1]]).tolist()) == list(range(100, 125))


def test_balanced_sampling_draws_classes_equally() -> None:
    labels = np.array([0] * 900 + [1] * 100)
    weights = 1.0 / np.bincount(labels)[labels]
    drawn = np.concatenate(Order(np.arange(1000), 50, 0, weights).batches(0))
    assert 420 < labels[drawn].sum() < 580


@pytest.mark.parametrize("workers", [0, 3])
def test_a_saved_position_continues_with_the_same_batches(workers: int) -> None:
    whole = Batches(Order(np.arange(20), 4, seed=2), fetch, LABELS, workers)
    told = [batch for _ in range(3) for batch in whole]
    half = Batches(Order(np.arange(20), 4, seed=2), fetch, LABELS, workers)
    for place, _ in enumerate(half):
        if place == 1:
            break
    again = Batches(Order(np.arange(20), 4, seed=2), fetch, LABELS, workers)
    again.load_state_dict(half.state_dict())
    rest = [batch for _ in range(3) for batch in again]
    assert [(b.epoch, b.step) for b in rest] == [(b.epoch, b.step) for b in told[2:]]
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(rest, told[2:], strict=True))
    assert all(torch.equal(b.labels, torch.from_numpy(LABELS[b.inputs.numpy() // 100])) for b in told)


def test_an_epoch_that_is_over_is_followed_by_the_next() -> None:
    batches = Batches(Order(np.arange(8), 4, seed=0), fetch, LABELS)
    list(batches)
    assert batches.state_dict() == {"epoch": 1, "step": 0}
    assert {batch.epoch for batch in batches} == {1}


def test_validation_follows_the_epoch_of_training_and_starts_from_its_first_batch() -> None:
    training = Batches(Order(np.arange(8), 4, seed=0), fetch, LABELS)
    validation = Batches(Order(np.arange(8, 16), 4), fetch, LABELS, follows=training)
    seen: list[Batch] = []
    for _ in range(2):
        list(training)
        seen += list(validation)
    assert [(b.epoch, b.step) for b in seen] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert seen[0].inputs.tolist() == [800, 900, 1000, 1100]


def test_an_error_of_a_worker_reaches_the_caller() -> None:
    def broken(rows: np.ndarray, epoch: int) -> torch.Tensor:
        raise KeyError("unreadable")

    with pytest.raises(KeyError, match="unreadable"):
        list(Batches(Order(np.arange(8), 2), broken, LABELS, workers=2))
