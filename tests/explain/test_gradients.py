from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from headstart.errors import SpecError
from headstart.explain.explainers import explain
from headstart.explain.gradients import blurred
from headstart.explain.scope import log_odds

IMAGES = torch.randn(2, 3, 8, 10, generator=torch.Generator().manual_seed(1))
TARGETS = torch.tensor([1, 2])


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(240, 2))


def curved() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 6 * 8, 4))


def test_of_a_linear_network_they_are_weight_times_pixel() -> None:
    network = linear()
    maps = explain(network, IMAGES, torch.tensor([1, 0]), "integrated_gradients", smooth=0.0)
    weights = (network[1].weight[[1, 0]] - network[1].weight[[0, 1]]).view(2, 3, 8, 10)
    np.testing.assert_allclose(maps, (weights * IMAGES).sum(1).detach().numpy(), rtol=1e-4, atol=1e-6)


def test_signed_maps_sum_to_the_change_of_the_log_odds() -> None:
    network = curved()
    maps = explain(network, IMAGES, TARGETS, "integrated_gradients", signed=True, smooth=0.0)
    with torch.no_grad():
        odds = [log_odds(network, network(x), TARGETS) for x in (IMAGES, torch.zeros_like(IMAGES))]
    change = odds[0] - odds[1]
    np.testing.assert_allclose(maps.sum((1, 2)), change.numpy(), rtol=1e-3)


class Steep(nn.Module):
    """Log odds that rise in one small part of the way: a few steps miss it."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        level = images.mean((1, 2, 3))
        return torch.stack([torch.zeros_like(level), 10 * torch.sigmoid(300 * (level - 0.437))], dim=1)


def missed(**options: object) -> float:
    images = torch.ones(1, 3, 8, 8)
    found = explain(Steep(), images, torch.tensor([1]), "integrated_gradients", smooth=0.0, **options)
    change = Steep()(images)[0, 1] - Steep()(0 * images)[0, 1]
    return float(abs(found.sum() - change) / change)


def test_steps_are_doubled_until_the_map_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    assert missed(steps=8, most_steps=8) > 0.2
    assert "1 of 1 images reached the limit of 8 steps" in capsys.readouterr().err
    assert missed(steps=8) < 0.05
    assert missed(steps=8, error=0.001) < 0.001
    assert capsys.readouterr().err == ""


def test_a_network_that_changes_nothing_needs_no_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []

    class Constant(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            passes.append(len(images))
            return images.new_tensor([[1.0, 0.0]]).expand(len(images), -1) + 0 * images.sum()

    explain(Constant(), IMAGES[:1], torch.tensor([0]), "integrated_gradients", steps=4)
    assert sum(passes) < 16  # 4 points, the two ends, and the check of the input


@pytest.mark.parametrize(("steps", "most"), [(0, 10), (20, 10)])
def test_impossible_numbers_of_steps_are_refused(steps: int, most: int) -> None:
    with pytest.raises(SpecError, match=f"steps {steps}, most_steps {most}"):
        explain(curved(), IMAGES, TARGETS, "integrated_gradients", steps=steps, most_steps=most)


def test_batches_of_points_do_not_change_the_maps() -> None:
    small = explain(curved(), IMAGES, TARGETS, "integrated_gradients", batch=3)
    np.testing.assert_allclose(small, explain(curved(), IMAGES, TARGETS, "integrated_gradients"), atol=1e-6)


@pytest.mark.parametrize("sigma", [0.4, 1.5])
def test_blurring_agrees_with_scipy(sigma: float) -> None:
    image = np.random.default_rng(0).random((2, 3, 12, 15))
    radius = max(1, round(3 * sigma))
    expected = ndimage.gaussian_filter(image, (0, 0, sigma, sigma), mode="nearest", radius=(0, 0, radius, radius))
    np.testing.assert_allclose(blurred(torch.from_numpy(image), sigma).numpy(), expected, rtol=1e-6)


def test_no_blur_leaves_the_image() -> None:
    assert blurred(IMAGES, 0.0) is IMAGES


def test_log_odds_are_those_of_the_probability_and_stay_finite_where_it_is_one() -> None:
    logits, targets = torch.tensor([[1.0, 2.0, 0.5], [90.0, 0.0, 1.0]]), torch.tensor([1, 0])
    chance = logits.double().softmax(1)[0, 1]
    found = log_odds(nn.Identity(), logits, targets)
    assert float(found[0]) == pytest.approx(float(torch.log(chance / (1 - chance))), rel=1e-5)
    assert float(found[1]) == pytest.approx(90 - np.log(1 + np.e), rel=1e-5)
    assert log_odds(nn.Identity(), logits[:, :1], targets * 0).tolist() == [1.0, 90.0]
