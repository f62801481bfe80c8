"""Augmentation: what it does to pixels, and that it depends on seed, epoch and row alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from headstart.errors import SpecError
from headstart.transfer.augment.augment import AUGMENTATIONS, DEFAULTS, Augmenter, check_options
from headstart.transfer.augment.counter_rng import Draws, generator, number
from headstart.transfer.augment.framing import framed
from headstart.transfer.augment.mixing import cutmix, mix_batch, mixup
from headstart.transfer.augment.policies import apply_operation, rand_augment, trivial_augment

ROWS = np.arange(12)
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 20, 3)).astype(np.uint8)


def augmented(
    name: str, pixels: np.ndarray = PIXELS, rows: np.ndarray = ROWS, epoch: int = 0, seed: int = 3
) -> np.ndarray:
    return Augmenter((name,), {}, seed, pixels.shape[1])(pixels, rows, epoch)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_row_comes_out_the_same_in_any_batch(name: str) -> None:
    whole = augmented(name)
    assert whole.dtype == np.uint8 and whole.shape == PIXELS.shape
    order = np.array([7, 2, 11])
    assert np.array_equal(augmented(name, PIXELS[order], order), whole[order])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_epochs_and_seeds_differ_and_the_input_stays(name: str) -> None:
    before = PIXELS.copy()
    whole = augmented(name)
    assert not np.array_equal(whole, augmented(name, epoch=1))
    assert not np.array_equal(whole, augmented(name, seed=4))
    assert np.array_equal(PIXELS, before)


def test_uniform_draws_are_uniform_and_independent() -> None:
    u = Draws(1, 2, np.arange(20000)).uniform("x", 2)
    assert u.min() >= 0 and u.max() < 1
    assert np.allclose(u.mean(axis=0), 0.5, atol=0.01) and np.allclose(u.var(axis=0), 1 / 12, atol=0.005)
    assert abs(np.corrcoef(u.T)[0, 1]) < 0.02
    assert abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 0.02
    assert number(1, "a") != number(1, "b") and generator(1).random() == generator(1).random()


@pytest.mark.parametrize(("name", "axis"), [("horizontal_flip", 2), ("vertical_flip", 1)])
def test_a_flip_mirrors_about_half_of_the_images(name: str, axis: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (400, 4, 4, 3)).astype(np.uint8)
    out = augmented(name, pixels, np.arange(400))
    mirrored = (out == np.flip(pixels, axis)).all(axis=(1, 2, 3))
    same = (out == pixels).all(axis=(1, 2, 3))
    assert (mirrored | same).all() and 160 < mirrored.sum() < 240


def test_a_crop_shifts_and_reflects_the_border() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1).repeat(3, axis=3)
    out = Augmenter(("random_crop",), {"random_crop": {"padding": 0.25}}, 0, 8)(
        image.repeat(50, axis=0), np.arange(50), 0
    )
    padded = np.pad(image[0], ((2, 2), (2, 2), (0, 0)), mode="reflect")
    windows = {padded[y : y + 8, x : x + 8].tobytes() for y in range(5) for x in range(5)}
    assert {one.tobytes() for one in out} <= windows and len({one.tobytes() for one in out}) > 12


def test_a_crop_of_a_larger_image_is_a_window_of_it() -> None:
    image = np.random.default_rng(2).integers(0, 256, (14, 10, 3)).astype(np.uint8)
    (out,) = Augmenter(("random_crop",), {}, 0, 8)([image], np.array([5]), 0)
    assert any(np.array_equal(out, image[y : y + 8, x : x + 8]) for y in range(7) for x in range(3))


def test_a_resized_crop_of_the_whole_image_is_the_resized_image() -> None:
    options = {"random_resized_crop": {"scale_min": 1.0, "scale_max": 1.0, "ratio": 1.0}}
    out = Augmenter(("random_resized_crop",), options, 0, 10)(PIXELS, ROWS, 0)
    expected = v2.functional.resize(torch.from_numpy(PIXELS).permute(0, 3, 1, 2), [10, 10], antialias=True)
    assert np.array_equal(out, expected.permute(0, 2, 3, 1).numpy())


def test_erasing_paints_one_rectangle_in_the_mean_colour() -> None:
    out = Augmenter(("random_erasing",), {"random_erasing": {"p": 1.0}}, 0, 20)(PIXELS, ROWS, 0)
    for before, after in zip(PIXELS, out, strict=True):
        ys, xs = np.nonzero((before != after).any(axis=2))
        box = after[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        assert (box == before.mean(axis=(0, 1)).round()).all()
        assert 0.01 < box.shape[0] * box.shape[1] / 400 < 0.4


def test_framing_takes_the_centre_as_torchvision_does() -> None:
    image = np.random.default_rng(3).integers(0, 256, (13, 18, 3)).astype(np.uint8)
    assert np.array_equal(framed([image], 8)[0], image[2:10, 5:13])


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


def test_unknown_options_are_refused_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean 'degrees'"):
        check_options(("rotation",), {"rotation": {"degree": 3.0}})
    with pytest.raises(SpecError, match="not in augment"):
        check_options((), {"rotation": {"degrees": 3.0}})
    assert set(DEFAULTS) == {*AUGMENTATIONS, "mixup", "cutmix"}
