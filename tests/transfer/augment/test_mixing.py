"""Mixup and CutMix: shares of images and targets agree, and follow the drawn beta."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.transfer.augment.counter_rng import generator
from headstart.transfer.augment.mixing import cutmix, mix_batch, mixup


def test_mixup_blends_images_and_targets_by_one_share() -> None:
    images, targets = torch.eye(4).reshape(4, 1, 2, 2), torch.eye(4)
    blend, soft = mixup(images, targets, 1.0, generator(0))
    assert torch.allclose(blend.reshape(4, 4), soft)
    assert torch.allclose(soft.sum(1), torch.ones(4))


def test_cutmix_targets_are_the_shares_of_the_area() -> None:
    images = torch.arange(6.0).reshape(6, 1, 1, 1).expand(6, 1, 10, 10)
    pasted, soft = cutmix(images, torch.eye(6), 1.0, generator(3))
    for i in range(6):
        assert float(soft[i, i]) == pytest.approx(float((pasted[i] == i).float().mean()), abs=1e-6)
    assert torch.allclose(soft.sum(1), torch.ones(6))


def test_of_two_mixes_one_is_drawn_for_a_batch() -> None:
    images, targets = torch.rand(6, 1, 8, 8), torch.eye(6)
    seen = set()
    for i in range(12):
        out, _ = mix_batch(images, targets, {"mixup": 1.0, "cutmix": 1.0}, generator(i))
        seen.add(bool(torch.isin(out, images).all()))
    assert seen == {True, False}


def test_mixup_is_the_papers_formula_with_the_drawn_share_and_partner() -> None:
    images, targets = torch.rand(5, 3, 4, 4), torch.eye(5)
    blend, soft = mixup(images, targets, 0.4, generator(9))
    draw = generator(9)
    share, partner = draw.beta(0.4, 0.4), draw.permutation(5)
    assert torch.allclose(blend, images * share + images[partner] * (1 - share))
    assert torch.allclose(soft, targets * share + targets[partner] * (1 - share))


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_alpha_zero_changes_nothing(mix: object) -> None:
    images, targets = torch.rand(4, 3, 6, 6), torch.eye(4)
    blend, soft = mix(images, targets, 0.0, generator(1))  # type: ignore[operator]
    assert torch.equal(blend, images) and torch.equal(soft, targets)


def test_the_mean_share_of_cutmix_is_what_a_uniform_beta_gives() -> None:
    targets, images = torch.eye(2), torch.rand(2, 1, 32, 32)
    kept = []
    for seed in range(400):
        _, soft = cutmix(images, targets, 1.0, generator(seed, "share"))
        if float(soft[0, 1]) > 0 or seed % 2:  # half of the permutations leave an image with itself
            kept.append(float(soft[0, 0]))
    rectangles = np.random.default_rng(0)
    area = []
    for _ in range(20000):  # the rectangle is cut off at the border
        side = np.sqrt(1 - rectangles.beta(1, 1))
        centre = rectangles.uniform(0, 1, 2)
        low, high = np.clip(centre - side / 2, 0, 1), np.clip(centre + side / 2, 0, 1)
        area.append(float(np.prod(high - low)))
    mixed = [share for share in kept if share < 1]
    assert 1 - np.mean(mixed) == pytest.approx(np.mean(area), abs=0.05)
