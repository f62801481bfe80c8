from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from headstart.errors import SpecError
from headstart.evaluate.correlation import rank_correlation
from headstart.explain.sanity import between_images, randomisation_check, shuffle_weights
from headstart.models.architectures.parts import Reduce
from headstart.models.backbone import Backbone
from headstart.models.network import Network

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(3))
TARGETS = torch.tensor([0, 1, 2, 0])


def network() -> Network:
    torch.manual_seed(0)
    stages = OrderedDict(
        stage1=nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()),
        stage2=nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()),
        pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    return Network(Backbone("tiny", stages, feature_dim=8, reduce=Reduce()), nn.Linear(8, 3))


def test_a_cascade_goes_from_the_head_down_and_leaves_the_network() -> None:
    subject = network()
    before = {name: value.clone() for name, value in subject.state_dict().items()}
    found = randomisation_check(subject, IMAGES, TARGETS, "grad_cam", mode="cascade", stage="stage2")
    assert found["levels"] == ["head", "stage2", "stage1"]
    assert np.array(found["per_image"]).shape == (3, 4)
    np.testing.assert_allclose(found["correlation"], np.mean(found["per_image"], axis=1))
    assert found["changed"] == (found["correlation"][-1] < (1 + max(found["different_images"], 0)) / 2)
    assert all(torch.equal(value, before[name]) for name, value in subject.state_dict().items())


def test_maps_that_do_not_look_at_what_was_learned_do_not_change() -> None:
    class Brightness(nn.Module):
        """Its weights do nothing."""

        def __init__(self) -> None:
            super().__init__()
            self.idle = nn.Parameter(torch.arange(9.0))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.stack([images.square().mean((1, 2, 3)), 0 * self.idle.sum().expand(len(images))], dim=1)

    found = randomisation_check(Brightness(), IMAGES, torch.zeros(4, dtype=torch.int64), "integrated_gradients")
    assert found["levels"] == ["whole"]
    assert found["correlation"] == [pytest.approx(1.0)]
    assert found["changed"] is False


def test_shuffling_keeps_the_values_of_each_tensor_and_moves_them() -> None:
    layer = nn.Linear(30, 20)
    before = layer.weight.detach().clone()
    shuffle_weights(layer, torch.Generator().manual_seed(0))
    assert not torch.equal(layer.weight, before)
    assert torch.equal(layer.weight.flatten().sort().values, before.flatten().sort().values)


def test_maps_of_different_images_are_compared_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((3, 5, 6)) + np.linspace(0, 1, 6)
    expected = np.mean([rank_correlation(maps[i], maps[j]) for i, j in ((0, 1), (0, 2), (1, 2))])
    assert between_images(maps) == pytest.approx(expected)
    assert expected > 0.2
    assert between_images(maps[:1]) is None


class Fixed(nn.Module):
    """A network without weights; the explanations are what a test says."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


def checked(original: np.ndarray, again: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setattr("headstart.explain.sanity.explain", lambda *_, **__: again)
    return randomisation_check(Fixed(), IMAGES, TARGETS, "occlusion", maps=original)


def test_maps_that_all_lean_to_the_middle_may_stay_correlated(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    middle = np.exp(-((np.indices((16, 16)) - 7.5) ** 2).sum(0) / 40)
    first, second = middle + 0.25 * rng.random((4, 16, 16)), middle + 0.25 * rng.random((4, 16, 16))
    found = checked(first, second, monkeypatch)
    assert 0.5 < found["correlation"][0] == pytest.approx(found["different_images"], abs=0.05)
    assert found["changed"] is True
    assert found["size_correlation"] is None


def test_signed_maps_must_change_in_size_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    edges = rng.random((4, 16, 16)) ** 4
    signs = [np.where(rng.random((4, 16, 16)) < 0.5, -1, 1) for _ in range(2)]
    found = checked(edges * signs[0], edges * signs[1], monkeypatch)
    assert abs(found["correlation"][0]) < 0.1
    assert found["size_correlation"] == [pytest.approx(1.0)]
    assert abs(found["different_images_size"]) < 0.1
    assert found["changed"] is False
    other = rng.random((4, 16, 16)) ** 4 * signs[1]
    assert checked(edges * signs[0], other, monkeypatch)["changed"] is True


def test_one_image_has_nothing_to_be_compared_with_and_half_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.arange(256.0).reshape(1, 16, 16)
    monkeypatch.setattr("headstart.explain.sanity.explain", lambda *_, **__: ramp)
    kept = randomisation_check(Fixed(), IMAGES[:1], TARGETS[:1], "occlusion", maps=ramp)
    assert kept["different_images"] is None and kept["changed"] is False
    turned = randomisation_check(Fixed(), IMAGES[:1], TARGETS[:1], "occlusion", maps=ramp[:, ::-1, ::-1])
    assert turned["changed"] is True


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(SpecError, match="cascade, whole"):
        randomisation_check(network(), IMAGES, TARGETS, "grad_cam", mode="all")
