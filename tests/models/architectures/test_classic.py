"""The classic small networks: shapes, sizes and figures of the papers."""

from __future__ import annotations

import pytest
import torch

from headstart.models.architectures.classic import CLASSICS, Residual, ScaledTanh


@pytest.mark.parametrize(
    ("name", "size", "features", "parameters"),
    [
        ("lenet5", 32, 84, 3 * 6 * 25 + 6 + 6 * 16 * 25 + 16 + 16 * 120 * 25 + 120 + 120 * 84 + 84),
        (
            "small_cnn",
            32,
            256,
            9 * (3 * 32 + 32 * 64 + 64 * 128 + 128**2 + 128 * 256) + 2 * (32 + 64 + 2 * 128 + 256),
        ),
        ("conv4", 84, 1600, 9 * 64 * (3 + 3 * 64) + 4 * 64 + 4 * 128),
        ("resnet12", 84, 640, None),
    ],
)
def test_features_and_parameters_are_those_of_the_paper(
    name: str, size: int, features: int, parameters: int | None
) -> None:
    network = CLASSICS[name]().eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, size, size)).shape == (1, features)
    assert network.feature_dim == features and network.preprocessing.size == size
    count = sum(p.numel() for p in network.parameters())
    assert count == parameters if parameters else 12.4e6 < count < 12.5e6  # Lee et al. 2019: 12.4 million


def test_lecuns_tanh_is_one_at_one() -> None:
    assert float(ScaledTanh()(torch.tensor(1.0))) == pytest.approx(1.0, abs=1e-4)
    assert float(ScaledTanh()(torch.tensor(-1.0))) == pytest.approx(-1.0, abs=1e-4)


def test_a_residual_adds_its_input() -> None:
    assert torch.equal(Residual(torch.nn.Identity())(torch.ones(2)), 2 * torch.ones(2))
