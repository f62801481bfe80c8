"""RandAugment and TrivialAugmentWide: every operation and range is torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from headstart.transfer.augment.counter_rng import Draws
from headstart.transfer.augment.policies import apply_operation, rand_augment, trivial_augment

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 20, 3)).astype(np.uint8)


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
def test_policies_use_every_operation_within_torchvisions_ranges(policy: str) -> None:
    draws = Draws(0, 0, np.arange(3000))
    plans = rand_augment(draws, 2, 30, 32) if policy == "randaugment" else trivial_augment(draws)
    largest: dict[str, float] = {}
    for plan in plans:
        for name, magnitude in plan:
            largest[name] = max(largest.get(name, -999.0), magnitude)
    assert len(largest) == 14
    theirs = v2.RandAugment if policy == "randaugment" else v2.TrivialAugmentWide
    space = theirs._AUGMENTATION_SPACE
    pairs = {"ShearX": "shear_x", "TranslateY": "translate_y", "Rotate": "rotate", "Color": "colour"}
    for key, name in pairs.items():
        assert largest[name] == pytest.approx(float(space[key][0](31, 32, 32).max()), rel=1e-6)
    bits = {int(m) for plan in plans for n, m in plan if n == "posterize"}
    assert bits <= {int(b) for b in space["Posterize"][0](31, 32, 32)}
    image = torch.from_numpy(PIXELS[0]).permute(2, 0, 1)
    for plan in plans[:60]:
        assert apply_operation(image, plan).shape == image.shape


NAMES = {
    "identity": "Identity",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateX",
    "translate_y": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "colour": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
}


@pytest.mark.parametrize("name", NAMES)
def test_each_operation_is_torchvisions(name: str) -> None:
    image = torch.from_numpy(PIXELS[0]).permute(2, 0, 1).contiguous()
    policy = v2.RandAugment(interpolation=InterpolationMode.NEAREST)
    signed = (
        "shear_x",
        "shear_y",
        "translate_x",
        "translate_y",
        "rotate",
        "brightness",
        "colour",
        "contrast",
        "sharpness",
    )
    for magnitude in (0.3, -0.3) if name in signed else (0.4,):
        if name.startswith("translate"):
            magnitude *= 10
        if name == "rotate":
            magnitude *= 50
        own = 4.0 if name == "posterize" else magnitude
        expected: Tensor = policy._apply_image_or_video_transform(
            image, NAMES[name], own, interpolation=InterpolationMode.NEAREST, fill={}
        )
        assert torch.equal(apply_operation(image, [(name, own)]), expected), magnitude


@pytest.mark.parametrize("magnitude", [0, 9, 30])
def test_strengths_of_randaugment_are_torchvisions(magnitude: int) -> None:
    plans = rand_augment(Draws(1, 0, np.arange(600)), 2, magnitude, 64)
    space = v2.RandAugment._AUGMENTATION_SPACE
    seen: dict[str, set[float]] = {}
    for name, value in (entry for plan in plans for entry in plan):
        seen.setdefault(name, set()).add(round(abs(value), 6))
    assert all(len(plan) == 2 for plan in plans)
    for name, theirs in NAMES.items():
        magnitudes, _ = space[theirs]
        table = magnitudes(31, 64, 64)
        if table is None:
            assert seen[name] == {0.0}
        else:
            expected = float(table[magnitude])
            assert min(seen[name]) == max(seen[name]) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_trivialaugment_draws_every_operation_about_equally_often_and_every_strength() -> None:
    plans = trivial_augment(Draws(2, 0, np.arange(7000)))
    names = [plan[0][0] for plan in plans]
    assert all(400 < names.count(name) < 600 for name in NAMES)
    turns = {round(value, 3) for plan in plans for name, value in plan if name == "rotate"}
    assert len(turns) == 61 and max(turns) == 135.0 == -min(turns)  # 31 strengths with two signs; 0 is one of them
