from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

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
