from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from headstart.errors import DataError, SpecError
from headstart.explain.faithfulness import CURVES, faithfulness, moved


class Where(nn.Module):
    """The more is left of the bright square at the upper left, the likelier is class 1."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = images[:, :, :8, :8].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(seen), 8 * (seen - 0.5)], dim=1)


def scene() -> torch.Tensor:
    images = torch.zeros(3, 3, 32, 32)
    images[:, :, :8, :8] = 1.0
    return images


def map_of(there: bool) -> np.ndarray:
    heat = np.full((3, 32, 32), 0.0 if there else 1.0, dtype=np.float32)
    heat[:, :8, :8] = 1.0 if there else 0.0
    return heat


TARGETS = torch.tensor([1, 1, 1])


def test_a_right_map_beats_a_random_one_and_a_wrong_map_does_not() -> None:
    right = faithfulness(Where(), scene(), map_of(True), TARGETS, tiles=8, steps=16)
    wrong = faithfulness(Where(), scene(), map_of(False), TARGETS, tiles=8, steps=16)
    assert right["better_deletion"] == right["better_insertion"] == right["better_both"] == 1.0
    assert wrong["better_deletion"] == wrong["better_insertion"] == wrong["better_both"] == 0.0
    assert right["random_deletion"] == wrong["random_deletion"]  # the same random maps for every map


def test_areas_are_those_worked_out_by_hand() -> None:
    found = faithfulness(Where(), scene(), map_of(True), TARGETS, tiles=4, steps=16, random_maps=1)
    # one tile of 16 holds the square, and it goes first: p falls from σ(4) to σ(-4) in the first step
    high, low = 1 / (1 + np.exp(-4)), 1 / (1 + np.exp(4))
    assert found["deletion"] == [pytest.approx((high + low) / 2 / 16 + 15 / 16 * low)] * 3
    curve = found["curves"]["deletion"]
    assert curve == [pytest.approx(high), *[pytest.approx(low)] * 16]
    assert found["curves"]["insertion"][1:] == [pytest.approx(high, abs=1e-4)] * 16
    assert found["mean"]["deletion"] == pytest.approx(found["deletion"][0])


def test_every_curve_begins_and_ends_at_the_same_pictures() -> None:
    found = faithfulness(Where(), scene(), map_of(False), TARGETS, tiles=5, steps=7, batch=3)
    curves = found["curves"]
    assert set(curves) == set(CURVES)
    assert found["fraction"][0] == 0 and found["fraction"][-1] == 1
    assert curves["deletion"][0] == pytest.approx(curves["insertion"][-1])  # the whole image
    assert curves["deletion"][-1] == pytest.approx(curves["random_deletion"][-1])
    assert curves["insertion"][0] == pytest.approx(curves["random_insertion"][0])


def test_random_curves_may_be_taken_from_another_method_on_the_same_images() -> None:
    first = faithfulness(Where(), scene(), map_of(True), TARGETS, tiles=8, steps=16)
    again = faithfulness(Where(), scene(), map_of(False), TARGETS, tiles=8, steps=16, reference=first)
    alone = faithfulness(Where(), scene(), map_of(False), TARGETS, tiles=8, steps=16)
    assert again == alone


def test_a_moved_map_is_the_same_map_at_another_place() -> None:
    heat, rng = np.arange(24.0).reshape(4, 6), np.random.default_rng(0)
    places = [moved(heat, np.zeros((4, 6), dtype=np.int64), rng) for _ in range(8)]
    assert all(sorted(place.ravel()) == sorted(heat.ravel()) for place in places)
    assert not all((place == heat).all() for place in places)
    found = faithfulness(Where(), scene(), map_of(True), TARGETS, tiles=8, steps=16, control="moved")
    assert found["better_both"] == 1.0 and found["control"] == "moved"


def test_images_need_not_be_square() -> None:
    images = torch.randn(2, 3, 20, 36, generator=torch.Generator().manual_seed(0))
    found = faithfulness(Where(), images, images.mean(1).numpy(), torch.tensor([0, 1]), tiles=5, steps=4)
    assert found["n"] == 2


def test_bad_input_is_refused_in_one_line() -> None:
    with pytest.raises(DataError, match="do not belong to images"):
        faithfulness(Where(), scene(), map_of(True)[:, :16], TARGETS)
    with pytest.raises(SpecError, match="at least 1"):
        faithfulness(Where(), scene(), map_of(True), TARGETS, steps=0)
    first = faithfulness(Where(), scene(), map_of(True), TARGETS, steps=2)
    with pytest.raises(SpecError, match="moved maps"):
        faithfulness(Where(), scene(), map_of(True), TARGETS, steps=2, control="moved", reference=first)
    with pytest.raises(SpecError, match="unknown control 'shifted'"):
        faithfulness(Where(), scene(), map_of(True), TARGETS, control="shifted")
    with pytest.raises(DataError, match="other images or steps"):
        faithfulness(Where(), scene(), map_of(True), TARGETS, steps=3, reference=first)
