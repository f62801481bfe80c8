from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from headstart.transfer.finetune.validation_score import ValidationScore


def test_the_outputs_of_an_epoch_are_judged_together() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(30, 4, generator=generator)
    labels = torch.arange(30) % 4
    judge = ValidationScore("mcc")
    for batch in (slice(0, 16), slice(16, 30)):
        judge.add(list(logits[batch].chunk(2)), labels[batch])
    expected = sk.matthews_corrcoef(labels.numpy(), logits.argmax(1).numpy())
    assert judge.value() == pytest.approx(expected)
    assert judge.merit() == judge.value()
    judge.restart()
    assert judge.value() is None and judge.merit() is None


def test_losses_have_more_merit_the_lower_they_are_and_several_labels_are_decided_one_by_one() -> None:
    judge = ValidationScore("log_loss")
    judge.add([torch.zeros(2, 3)], torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))
    assert judge.value() == pytest.approx(np.log(2))
    assert judge.merit() == pytest.approx(-np.log(2))


def test_nothing_is_collected_for_accuracy_and_nothing_is_said_of_outputs_that_are_not_finite() -> None:
    plain = ValidationScore("accuracy")
    plain.add([torch.zeros(2, 3)], torch.tensor([0, 1]))
    assert not plain.counts and plain.value() is None
    broken = ValidationScore("brier")
    broken.add([torch.full((2, 3), float("nan"))], torch.tensor([0, 1]))
    assert broken.counts and broken.value() is None
