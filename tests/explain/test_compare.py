from __future__ import annotations

import io
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from headstart.deploy.classifier import Classifier
from headstart.errors import DataError
from headstart.explain.compare import Subject, columns_of, explain_pictures
from headstart.explain.explainers import explain
from headstart.explain.picture import gallery
from headstart.models.architectures.parts import Reduce
from headstart.models.backbone import Backbone
from headstart.models.bundle import Bundle, Origin
from headstart.models.network import Network
from headstart.models.preprocessing import Preprocessing


def subject(title: str, size: int, seed: int) -> Subject:
    torch.manual_seed(seed)
    stages = OrderedDict(
        stage1=nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU()),
        pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    backbone = Backbone(
        title, stages, feature_dim=6, reduce=Reduce(), preprocessing=Preprocessing(size=size, resize=size + 4)
    )
    return Subject(title, Network(backbone, nn.Linear(6, 3)), ("cat", "dog", "owl"))


PICTURES = [np.random.default_rng(i).integers(0, 256, (50, 70, 3), dtype=np.uint8) for i in range(2)]


def test_two_networks_explain_the_same_pictures_each_in_its_own_size() -> None:
    small, large = explain_pictures([subject("a", 24, 0), subject("b", 40, 1)], PICTURES, ["grad_cam"])
    assert small.maps["grad_cam"].shape == (2, 24, 24)
    assert large.maps["grad_cam"].shape == (2, 40, 40)
    assert (small.targets.numpy() == small.probabilities.argmax(1)).all()
    expected = explain(small.subject.network, small.images, small.targets, "grad_cam")
    np.testing.assert_array_equal(small.maps["grad_cam"], expected)


def test_the_probabilities_are_those_that_the_classifier_predicts() -> None:
    network = subject("a", 24, 0).network
    network.backbone.stages[0][0].weight.data *= 20  # views differ
    network.head.weight.data *= 20
    bundle = Bundle(network, Origin("a"), ("cat", "dog", "owl"), temperature=2.5, tta="flip_translate")
    predicted = Classifier(bundle).predict(PICTURES)
    (found,) = explain_pictures([Subject.of("a", bundle)], PICTURES, [])
    np.testing.assert_allclose(found.probabilities, [each.probabilities for each in predicted], atol=1e-6)
    for change in ({"temperature": 1.0}, {"tta": "none"}):
        (other,) = explain_pictures([replace(found.subject, **change)], PICTURES, [])
        assert np.abs(other.probabilities - found.probabilities).max() > 0.001


def test_the_networks_stand_next_to_each_other_for_each_method() -> None:
    found = explain_pictures(
        [subject("a", 24, 0), subject("b", 40, 1)], PICTURES, ["grad_cam", "occlusion"], targets=["owl", "dog"]
    )
    columns = columns_of(found)
    assert [column.title for column in columns] == [
        "Image\n", "Grad-CAM\na", "Grad-CAM\nb", "Occlusion\na", "Occlusion\nb",
    ]  # fmt: skip
    assert columns[3].signed and columns[1].notes[0].startswith("owl 0.")
    assert Image.open(io.BytesIO(gallery(columns, tile=60))).format == "PNG"


def test_a_class_that_a_network_does_not_know_is_refused() -> None:
    with pytest.raises(DataError, match="a does not know the class 'emu'"):
        explain_pictures([subject("a", 24, 0)], PICTURES, ["grad_cam"], targets=["owl", "emu"])
    with pytest.raises(DataError, match="2 pictures and 1 classes"):
        explain_pictures([subject("a", 24, 0)], PICTURES, ["grad_cam"], targets=["owl"])
