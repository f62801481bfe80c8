"""The loss of a batch: targets, class weights, mixing, and validation without any of the regularisation."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from tuning_subject import network

from headstart.models.preprocessing import normalise
from headstart.transfer.augment.counter_rng import generator
from headstart.transfer.augment.mixing import mixup
from headstart.transfer.finetune.loader import Batch
from headstart.transfer.finetune.objective import Objective
from headstart.transfer.finetune.recipe import Recipe

NEEDS = network().preprocessing
LOGITS = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 1, 0])


def objective(recipe: Recipe, weights: torch.Tensor | None = None) -> Objective:
    return Objective(recipe, 3, weights, NEEDS, seed=4)


def test_the_training_loss_is_torchs_with_weights_and_smoothing() -> None:
    weights = torch.tensor([1.0, 2.0, 0.5])
    made = objective(Recipe(label_smoothing=0.1), weights)
    targets = made.targets(LABELS)
    expected = nn.functional.cross_entropy(LOGITS, LABELS, weight=weights, label_smoothing=0.1)
    assert float(made(LOGITS, targets, made.total(targets))) == pytest.approx(float(expected), rel=1e-6)


def test_validation_counts_every_image_alike_and_is_not_smoothed() -> None:
    made = objective(Recipe(label_smoothing=0.3), torch.tensor([9.0, 1.0, 1.0]))
    expected = nn.functional.cross_entropy(LOGITS, LABELS, reduction="sum")
    assert float(made.validation_sum(LOGITS, LABELS)) == pytest.approx(float(expected), rel=1e-6)


def test_several_labels_are_targets_as_they_are() -> None:
    labels = torch.tensor([[True, False, True]])
    assert objective(Recipe(loss="bce")).targets(labels).tolist() == [[1.0, 0.0, 1.0]]


def test_mixing_is_mixups_with_the_numbers_of_seed_epoch_and_step() -> None:
    made = objective(Recipe(augment=("mixup",), augment_options={"mixup": {"alpha": 0.7}}))
    pixels = torch.randint(0, 256, (5, 3, 8, 8), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    inputs, targets = made.mixed(Batch(pixels, LABELS, 2, 3))
    draw = generator(4, 2, 3, "mix")
    draw.integers(1)  # which of the named mixes
    expected = mixup(normalise(pixels, NEEDS), made.targets(LABELS), 0.7, draw)
    assert torch.equal(inputs, expected[0]) and torch.equal(targets, expected[1])
    plain, same = objective(Recipe()).mixed(Batch(pixels, LABELS, 2, 3))
    assert plain is pixels and torch.equal(same, made.targets(LABELS))
