from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from headstart.fewshot.embedding import ChosenImages, embed, pixels_of
from headstart.models.backbone import Backbone, Preprocessing

IMAGES = np.random.default_rng(0).integers(0, 256, (150, 4, 4, 3), dtype=np.uint8)
NEEDS = Preprocessing(size=4, resize=4, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))


def network() -> Backbone:
    torch.manual_seed(0)
    stages = {
        "stem": nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Dropout(0.5)),
        "pool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    }
    return Backbone("small", stages, feature_dim=5, preprocessing=NEEDS)


def test_chosen_images_are_rows_of_the_others_in_their_order() -> None:
    chosen = ChosenImages(IMAGES, np.array([7, 3, 7]))
    assert len(chosen) == 3
    np.testing.assert_array_equal(np.stack([chosen[i] for i in range(3)]), IMAGES[[7, 3, 7]])


def test_pixels_are_normalised_for_the_backbone() -> None:
    found = pixels_of(IMAGES, np.array([2, 0]), network(), "cpu").numpy()
    expected = (IMAGES[[2, 0]] / 255 - np.array(NEEDS.mean)) / np.array(NEEDS.std)
    np.testing.assert_allclose(found, expected.transpose(0, 3, 1, 2), atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_features_are_those_of_evaluation_mode_and_the_mode_is_kept(training: bool) -> None:
    subject = network().train(training)
    before = {name: value.clone() for name, value in subject.state_dict().items()}
    rows = np.arange(149, -1, -1)  # more than one batch
    found = embed(subject, IMAGES, rows)
    assert subject.training is training
    assert all(torch.equal(value, before[name]) for name, value in subject.state_dict().items())
    with torch.no_grad():
        expected = network().eval()(pixels_of(IMAGES, rows, subject, "cpu")).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_mode_is_kept_after_an_error() -> None:
    subject = network().train()
    with pytest.raises(IndexError):
        embed(subject, IMAGES, np.array([1000]))
    assert subject.training
