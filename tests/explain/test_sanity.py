from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import nn

from headstart.errors import SpecError
from headstart.explain.sanity import randomisation_check, rank_correlation, shuffle_weights
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
    assert found["changed"] == (found["correlation"][-1] < 0.5)
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


def test_rank_correlation_is_that_of_the_ranks_and_zero_of_a_constant_map() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((5, 6)), rng.random((5, 6))
    expected = np.corrcoef(rankdata(a), rankdata(b))[0, 1]
    assert rank_correlation(a, b) == pytest.approx(expected)
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1.0)
    assert rank_correlation(a, np.zeros((5, 6))) == 0.0


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(SpecError, match="cascade, whole"):
        randomisation_check(network(), IMAGES, TARGETS, "grad_cam", mode="all")
