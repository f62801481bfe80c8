"""Predictions for many images come from an engine, and are those of the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional
from tuning_subject import CLASSES, Pictures, network

from headstart.models.heads import LinearHead
from headstart.models.network import Network
from headstart.models.preprocessing import as_tensor, normalise
from headstart.models.test_time_augmentation import TTA
from headstart.transfer.frozen import predict
from headstart.transfer.frozen.predict import batch_of, predict_outputs, predict_probabilities

ROWS = np.arange(20)


@pytest.fixture
def subject() -> Network:
    backbone = network()
    head = LinearHead(backbone.feature_dim, CLASSES)
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0))
    return Network(backbone, head).eval()


@pytest.mark.parametrize("tta", sorted(TTA))
@pytest.mark.parametrize("many", [1, 1000])
def test_engine_and_network_agree_with_views_of_normalised_images(
    subject: Network, tta: str, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "MANY", many)
    needs = subject.backbone.preprocessing
    found = predict_probabilities(subject, Pictures(), ROWS, needs, tta=tta)
    images = normalise(as_tensor(batch_of(Pictures(), ROWS, needs.size)), needs)
    with torch.no_grad():
        expected = torch.stack([functional.softmax(subject(view), 1) for view in TTA[tta](images)]).mean(0)
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-6)


@pytest.mark.parametrize("many", [1, 1000])
def test_outputs_are_those_of_the_network_itself(subject: Network, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "MANY", many)
    needs = subject.backbone.preprocessing
    found = predict_outputs(subject.backbone, Pictures(), ROWS, needs)
    images = normalise(as_tensor(batch_of(Pictures(), ROWS, needs.size)), needs)
    with torch.no_grad():
        np.testing.assert_allclose(found, subject.backbone(images).numpy(), atol=2e-5)
    assert predict_outputs(subject.backbone, Pictures(), ROWS[:0], needs).shape == (0, 0)


def test_normalising_leaves_its_input_alone() -> None:
    pixels = torch.full((1, 3, 2, 2), 7.0)
    normalise(pixels, network().preprocessing)
    assert bool((pixels == 7).all())
