from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from exported_models import neighbours
from torch import nn

from headstart.errors import DataError, ModelError
from headstart.explain.explainers import explain
from headstart.explain.scope import (
    as_pixels,
    backbone_of,
    check,
    device_of,
    pixels_of,
    probabilities_of,
    undisturbed,
)
from headstart.models.architectures.parts import Reduce
from headstart.models.backbone import Backbone, Preprocessing
from headstart.models.network import Network
from headstart.models.preprocessing import as_tensor, normalise

NEEDS = Preprocessing(size=8, resize=8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


def network() -> Network:
    torch.manual_seed(0)
    stages = OrderedDict(
        stem=nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)),
        pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    return Network(Backbone("tiny", stages, feature_dim=4, preprocessing=NEEDS, reduce=Reduce()), nn.Linear(4, 3))


def test_a_network_is_left_as_it_was_even_after_an_error() -> None:
    subject = network().train()
    subject.backbone.stages[0].eval()
    next(subject.parameters()).requires_grad_(False)
    modes = [module.training for module in subject.modules()]
    wanted = [parameter.requires_grad for parameter in subject.parameters()]
    with pytest.raises(RuntimeError), undisturbed(subject):
        assert not any(module.training for module in subject.modules())
        assert not any(parameter.requires_grad for parameter in subject.parameters())
        raise RuntimeError
    assert [module.training for module in subject.modules()] == modes
    assert [parameter.requires_grad for parameter in subject.parameters()] == wanted


def test_normalised_images_become_the_pixels_they_were_made_of() -> None:
    images = normalise(as_tensor(PIXELS), NEEDS)
    expected = (PIXELS / 255 - np.array(NEEDS.mean)) / np.array(NEEDS.std)
    np.testing.assert_allclose(images.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-5)
    np.testing.assert_array_equal(pixels_of(images, NEEDS), PIXELS)
    np.testing.assert_array_equal(pixels_of(images * 100, NEEDS).max(), 255)


def test_probabilities_are_sigmoids_where_labels_do_not_exclude_one_another() -> None:
    subject, logits = network(), torch.tensor([[1.0, 2.0, 3.0]])
    assert torch.equal(probabilities_of(subject, logits), logits.softmax(1))
    subject.head.multi_label = True
    assert torch.equal(probabilities_of(subject, logits), logits.sigmoid())


@pytest.mark.parametrize("engine", [True, False])
def test_pixels_are_run_as_the_images_were(engine: bool) -> None:
    subject = network().eval()
    images = normalise(as_tensor(PIXELS), NEEDS)
    pixels, predict = as_pixels(subject, images, 3, engine)
    np.testing.assert_array_equal(pixels, PIXELS)
    with torch.no_grad():
        np.testing.assert_allclose(predict(pixels), subject(images).softmax(1).numpy(), atol=1e-3)


def test_a_plain_module_takes_floats_as_they_are() -> None:
    subject = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pixels, predict = as_pixels(subject, images, 10_000, None)
    assert pixels.dtype == np.float32 and pixels.shape == (2, 8, 8, 3)
    with torch.no_grad():
        np.testing.assert_allclose(predict(pixels), subject(images).softmax(1).numpy(), atol=1e-6)


def test_what_has_no_stages_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="Grad-CAM reads the stages of a headstart Network; a Linear has none"):
        backbone_of(nn.Linear(2, 2), "Grad-CAM")
    assert device_of(nn.Flatten()) == torch.device("cpu")


@pytest.mark.parametrize(
    ("images", "targets", "words"),
    [
        (torch.zeros(2, 3, 8, 8), [0], "2 images and 1 target classes"),
        (torch.zeros(0, 3, 8, 8), [], "no images to explain"),
        (torch.full((1, 3, 8, 8), torch.nan), [0], "not finite"),
        (torch.zeros(1, 3, 8, 8), [3], r"target class 3 does not exist: the network has classes 0 … 2"),
        (torch.zeros(1, 3, 8, 8), [-1], "target class -1"),
    ],
)
def test_input_that_cannot_be_explained_is_refused(images: torch.Tensor, targets: list[int], words: str) -> None:
    with pytest.raises(DataError, match=words):
        check(network().eval(), images, torch.tensor(targets, dtype=torch.int64))


def test_a_size_that_the_network_cannot_take_is_named() -> None:
    with pytest.raises(ModelError, match="cannot take images of 2 × 2 px"):
        check(network().eval(), torch.zeros(1, 3, 2, 2), torch.tensor([0]))


def test_nearest_neighbours_have_no_gradients_to_explain() -> None:
    network = neighbours().network
    images, targets = torch.zeros(1, 3, 32, 32), torch.tensor([0])
    for method in ("grad_cam", "integrated_gradients"):
        with pytest.raises(ModelError, match=r"needs gradients, and a head of nearest neighbours \(knn\) has none"):
            explain(network, images, targets, method)


def test_a_lack_of_memory_is_not_taken_for_images_of_a_wrong_size() -> None:
    class Full(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("could not create a primitive")

    with pytest.raises(RuntimeError, match="could not create a primitive"):
        check(Full(1, 1), torch.zeros(1, 3, 8, 8), torch.tensor([0]))
