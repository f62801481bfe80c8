"""Losses, class weights and counts of right answers against torch and figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from headstart.transfer.finetune.losses import LOSSES, class_weights, correct, total_weight


def test_pieces_of_a_batch_add_up_to_the_whole_loss() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(9, 4, generator=draw), torch.arange(9) % 4
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0])
    targets = nn.functional.one_hot(labels, 4).float()
    whole = total_weight(targets, weights, "cross_entropy")
    parts = [
        LOSSES["cross_entropy"](logits[i], targets[i], weights, 0.1).sum() / whole for i in (slice(4), slice(4, 9))
    ]
    expected = nn.functional.cross_entropy(logits, labels, weight=weights, label_smoothing=0.1)
    assert float(sum(parts)) == pytest.approx(float(expected), rel=1e-6)


def test_binary_cross_entropy_is_torchs() -> None:
    logits, targets = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.eye(5, 3)
    ours = LOSSES["bce"](logits, targets, None, 0.0).mean()
    assert torch.allclose(ours, nn.functional.binary_cross_entropy_with_logits(logits, targets))


def test_balanced_weights_by_hand() -> None:
    labels = np.array([0, 0, 0, 1])
    weights = class_weights("balanced", labels, 3)
    assert weights is not None and weights.tolist() == pytest.approx([4 / 9, 4 / 3, 1.0])
    several = class_weights("balanced", np.array([[True, False], [False, False]]), 2)
    assert several is not None and several.tolist() == [1.0, 1.0]


def test_right_answers_are_counted_for_one_and_for_several_labels() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    assert float(correct(logits, torch.tensor([0, 0]))) == 1
    assert float(correct(logits - 1.5, torch.tensor([[True, False], [True, True]]))) == pytest.approx(1.5)


def test_binary_smoothing_and_weights_of_positives_by_hand() -> None:
    logits, targets = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    assert float(LOSSES["bce"](logits, targets, None, 0.2)) == pytest.approx(np.log(2))  # at 0.5 any target costs ln 2
    weighted = LOSSES["bce"](logits, targets, torch.tensor([3.0, 7.0]), 0.0)
    assert float(weighted) == pytest.approx((3 + 1) / 2 * np.log(2))  # the weight counts for positives only


def test_given_weights_are_taken_as_they_are_and_none_is_none() -> None:
    given = class_weights((0.5, 2.0), np.array([0, 1]), 2)
    assert given is not None and given.tolist() == [0.5, 2.0]
    assert class_weights(None, np.array([0, 1]), 2) is None
    assert float(total_weight(torch.eye(3)[[0, 0, 2]], torch.tensor([1.0, 5.0, 2.0]), "cross_entropy")) == 4.0
    assert float(total_weight(torch.eye(3)[[0, 0, 2]], torch.tensor([1.0, 5.0, 2.0]), "bce")) == 3.0
