"""Inputs of a training: stored activations are the network's own, views take turns, keys follow the content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tuning_subject import SIZE, Pictures, network

from headstart.models.preprocessing import as_tensor, normalise
from headstart.storage.store import Store
from headstart.transfer.augment.augment import Augmenter
from headstart.transfer.finetune.inputs import Frames, Leg, LegFetch, Sources, build_leg, key_of_images, read_pixels
from headstart.transfer.finetune.routes import Route
from headstart.transfer.strategy import Strategy, resolve

FLIP = Augmenter(("horizontal_flip",), {}, 3, SIZE)
TRAIN, VALIDATION = np.array([4, 9, 2, 7]), np.array([1, 0])


def leg(tmp_path: Path, mode: str, augmenter: Augmenter | None = None, stores_validation: bool = False) -> Leg:
    resolved = resolve(Strategy("fine_tune", freeze_until="stage1", views=2), network())
    needs = resolved.backbone.preprocessing
    sources = Sources(Pictures(), Pictures(), TRAIN, VALIDATION, needs, augmenter, Store(tmp_path / "store"), "cpu")
    return build_leg(Route(resolved.phases[0], mode, "", stores_validation), resolved, sources)


def activations(pixels: np.ndarray) -> torch.Tensor:
    backbone = network().eval()
    with torch.no_grad():
        prefix = backbone.cut("stage1")[0]
        return prefix(normalise(as_tensor(pixels), backbone.preprocessing))  # type: ignore[no-any-return]


def test_stored_activations_are_those_of_the_frozen_prefix(tmp_path: Path) -> None:
    made = leg(tmp_path, "stored")
    assert made.train.prefix is None and made.validation.prefix is None
    for rows, inlet in ((TRAIN, made.train), (VALIDATION, made.validation)):
        assert torch.allclose(inlet.fetch(rows, 5), activations(Pictures().pixels[rows]), atol=1e-5)


def test_views_take_turns_and_each_is_augmented_as_in_its_epoch(tmp_path: Path) -> None:
    made = leg(tmp_path, "views", FLIP)
    for epoch in (0, 1, 2):
        expected = activations(read_pixels(Pictures(), TRAIN, SIZE, FLIP, epoch % 2))
        assert torch.allclose(made.train.fetch(TRAIN, epoch), expected, atol=1e-5)
    assert torch.allclose(made.validation.fetch(VALIDATION, 0), activations(Pictures().pixels[VALIDATION]), atol=1e-5)


def test_a_training_on_more_rows_finds_the_views_stored(tmp_path: Path) -> None:
    resolved = resolve(Strategy("fine_tune", freeze_until="stage1", views=2), network())
    needs, store = resolved.backbone.preprocessing, Store(tmp_path / "store")
    both = np.sort(np.concatenate([TRAIN, VALIDATION]))
    route = Route(resolved.phases[0], "views", "")
    few = Sources(Pictures(), Pictures(), TRAIN, VALIDATION, needs, FLIP, store, "cpu", view_rows=both)
    first = build_leg(route, resolved, few)
    stored = set((store.root / "features").iterdir())
    second = build_leg(route, resolved, Sources(Pictures(), Pictures(), both, both[:0], needs, FLIP, store, "cpu"))
    assert set((store.root / "features").iterdir()) == stored
    for rows, made in ((TRAIN, first), (both, second)):
        expected = activations(read_pixels(Pictures(), rows, SIZE, FLIP, 1))
        assert torch.allclose(made.train.fetch(rows, 1), expected, atol=1e-5)


def test_on_the_fly_gives_pixels_and_the_prefix_and_may_store_validation(tmp_path: Path) -> None:
    made = leg(tmp_path, "on the fly", FLIP, stores_validation=True)
    assert made.train.prefix is not None and made.validation.prefix is None
    expected = FLIP(Pictures().pixels[TRAIN], TRAIN, 1)
    assert np.array_equal(made.train.fetch(TRAIN, 1).permute(0, 2, 3, 1).numpy(), expected)
    plain = leg(tmp_path, "on the fly")
    assert plain.validation.prefix is not None and plain.validation.fetch(VALIDATION, 0).dtype == torch.uint8


def test_the_leg_of_the_epoch_is_read(tmp_path: Path) -> None:
    early, late = leg(tmp_path, "on the fly"), leg(tmp_path, "stored")
    late = Leg(type(late.phase)(2, late.phase.trainable, late.phase.cut), late.train, late.validation)
    fetch = LegFetch([early, late], training=True)
    assert fetch(TRAIN, 1).dtype == torch.uint8 and fetch(TRAIN, 2).dtype == torch.float32


def test_keys_follow_pixels_rows_and_augmentation() -> None:
    assert key_of_images(Pictures()) == key_of_images(Pictures()) != key_of_images(Pictures(seed=1))
    frames = [
        Frames(Pictures(), SIZE),
        Frames(Pictures(), SIZE, TRAIN),
        Frames(Pictures(), SIZE, TRAIN, FLIP, 0),
        Frames(Pictures(), SIZE, TRAIN, FLIP, 1),
    ]
    assert len({each.key for each in frames}) == 4 and len(frames[1]) == 4
    assert np.array_equal(frames[1].batch(np.array([2])), Pictures().pixels[[2]])
