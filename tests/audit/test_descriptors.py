from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from photographs import picture, shrunk

from headstart.audit.descriptors import (
    ALIKE_COLOUR,
    ALIKE_GREY,
    EACH,
    _BothWays,
    alike_pairs,
    copies_to_compare,
    describe,
)


def copies(pictures: list[np.ndarray]) -> np.ndarray:
    return np.stack([shrunk(each, 16) for each in pictures])


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    return (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-9)


def all_pairs(descriptors: np.ndarray) -> set[tuple[int, int, bool]]:
    """Return what is alike by the definition, all with all."""
    found = set()
    for mirrored in (False, True):
        x = descriptors.astype(float)
        y = x[:, :, ::-1] if mirrored else x
        grey, colour = (
            np.corrcoef(u.reshape(len(u), -1), v.reshape(len(v), -1))[: len(u), len(u) :]  # channels have no mean
            for u, v in ((x[..., 0], y[..., 0]), (x, y))
        )
        rows = np.argwhere(np.triu((grey > ALIKE_GREY) | (colour > ALIKE_COLOUR), 1)).tolist()
        found |= {(a, b, mirrored) for a, b in rows}
    return found


def keys(pairs: object) -> list[tuple[int, int, bool]]:
    return list(zip(pairs.a.tolist(), pairs.b.tolist(), pairs.mirrored.tolist(), strict=True))  # type: ignore[attr-defined]


def test_brightness_contrast_and_a_change_of_light_leave_the_descriptor_as_it_was() -> None:
    small = copies([picture(k) for k in range(10)])
    ramp = np.linspace(-25, 25, 16)[None, None, :, None]
    changed = np.clip(0.7 * small + 40 + ramp, 0, 255).astype(np.uint8)
    assert cosines(describe(small), describe(changed)).min() > 0.95
    assert cosines(describe(small)[:-1], describe(small)[1:]).max() < 0.6


def test_a_small_shift_keeps_a_pair_above_the_thresholds() -> None:
    wide = [picture(k, (120, 176)) for k in range(20)]
    left, right = (describe(copies([each[:, at : at + 160] for each in wide])) for at in (0, 8))  # by a twentieth
    assert (cosines(left[..., :1], right[..., :1]) > ALIKE_GREY).mean() >= 0.9


def test_the_descriptor_of_a_mirror_image_is_mirrored() -> None:
    small = copies([picture(k) for k in range(5)])
    assert describe(small[:, :, ::-1]) == pytest.approx(describe(small)[:, :, ::-1], abs=1e-4)


def test_a_grey_image_has_no_colour_and_every_channel_no_mean() -> None:
    grey = np.repeat(copies([picture(0)])[..., :1], 3, axis=3)
    assert describe(grey)[..., 1:] == pytest.approx(0)
    assert np.abs(describe(grey)[..., 0]).max() > 0.3
    assert describe(copies([picture(1)])).mean(axis=(1, 2)) == pytest.approx(0, abs=1e-5)


def test_many_images_are_described_as_one_by_one() -> None:
    small = np.random.default_rng(0).integers(0, 256, (4100, 16, 16, 3), dtype=np.uint8)
    assert describe(small)[4090:] == pytest.approx(describe(small[4090:]), abs=1e-5)
    assert describe(small[:0]).shape == (0, 8, 8, 3)


def near_copies(n: int, seed: int = 0) -> np.ndarray:
    """Draw descriptors of which every fifth has a copy, every tenth a mirrored one, at all degrees of likeness."""
    generator = np.random.default_rng(seed)
    found = generator.normal(size=(n, 8, 8, 3)).astype(np.float32)
    for k in range(0, n // 2, 5):
        source = found[k, :, ::-1] if k % 10 == 0 else found[k]
        found[n - 1 - k] = source + generator.uniform(0.2, 1.4) * generator.normal(size=(8, 8, 3))
    return found - found.mean(axis=(1, 2), keepdims=True)


def test_exactly_the_pairs_above_a_threshold_are_found() -> None:
    descriptors = near_copies(600)
    expected = all_pairs(descriptors)
    assert set(keys(alike_pairs(descriptors))) == expected
    assert len(keys(alike_pairs(descriptors))) == len(expected) > 20
    assert {mirrored for *_, mirrored in expected} == {False, True}


def test_scores_run_from_0_at_the_threshold_to_1_for_equal_images() -> None:
    equal = np.repeat(near_copies(1), 2, axis=0)
    pairs = alike_pairs(equal)
    assert keys(pairs) == [(0, 1, False)]
    assert pairs.score == pytest.approx(1, abs=1e-5)
    pairs = alike_pairs(near_copies(600))
    assert pairs.score.min() > 0
    a, b = (near_copies(600)[side] for side in (pairs.a, pairs.b))
    b[pairs.mirrored] = b[pairs.mirrored][:, :, ::-1]
    by_grey = (cosines(a[..., :1], b[..., :1]) - ALIKE_GREY) / (1 - ALIKE_GREY)
    by_colour = (cosines(a, b) - ALIKE_COLOUR) / (1 - ALIKE_COLOUR)
    assert pairs.score == pytest.approx(np.maximum(by_grey, by_colour), abs=1e-4)


def test_of_a_crowd_each_image_keeps_its_best_pairs() -> None:
    generator = np.random.default_rng(1)
    crowd = (generator.normal(size=(8, 8, 3)) + 0.2 * generator.normal(size=(60, 8, 8, 3))).astype(np.float32)
    a, b = np.triu_indices(60, 1)
    by_grey = (cosines(crowd[a][..., :1], crowd[b][..., :1]) - ALIKE_GREY) / (1 - ALIKE_GREY)
    score = np.maximum(by_grey, (cosines(crowd[a], crowd[b]) - ALIKE_COLOUR) / (1 - ALIKE_COLOUR))
    expected = set()
    for image in range(60):
        own = np.flatnonzero((a == image) | (b == image))
        expected |= {(int(a[k]), int(b[k])) for k in own[np.argsort(-score[own])][:EACH]}
    pairs = alike_pairs(crowd)
    plain = ~pairs.mirrored
    assert set(zip(pairs.a[plain].tolist(), pairs.b[plain].tolist(), strict=True)) == expected
    assert len(expected) < len(a)


def test_blocks_do_not_matter() -> None:
    descriptors = near_copies(1100, 3)
    found = set(keys(alike_pairs(descriptors)))
    planted = {(k, 1099 - k) for k in range(0, 550, 5)}
    assert {(a, b) for a, b, _ in found} <= planted
    assert any(a < 512 < b for a, b, _ in found)
    assert any(a >= 512 for a, b, _ in found)


@pytest.mark.long
def test_an_inverted_file_finds_most_of_the_pairs_and_no_others() -> None:
    # drawn at random, without neighbourhoods: the hardest case
    descriptors = near_copies(2100, 4)
    exact, approximate = alike_pairs(descriptors), alike_pairs(descriptors, exact_up_to=2099)
    clear = {key for key, score in zip(keys(exact), exact.score, strict=True) if score > 0.1}
    assert len(clear & set(keys(approximate))) >= 0.85 * len(clear) > 50
    assert set(keys(approximate)) <= set(keys(exact)) | all_pairs(descriptors)
    assert len(keys(approximate)) == len(set(keys(approximate)))


def test_mirror_images_follow_the_images_and_are_made_when_they_are_taken() -> None:
    descriptors = near_copies(5)
    both = np.concatenate([descriptors, descriptors[:, :, ::-1]]).reshape(10, -1)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    lazy = _BothWays(descriptors)
    assert len(lazy) == 10 and lazy.shape == both.shape
    for rows in (slice(0, 10), slice(3, 7), np.array([5, 0, 9, 4])):
        np.testing.assert_allclose(lazy[rows], both[rows], atol=1e-6)


def test_of_no_image_with_details_there_is_no_pair() -> None:
    found = alike_pairs(np.zeros((0, 8, 8, 3), dtype=np.float32))
    assert len(found.a) == len(found.b) == len(found.mirrored) == len(found.score) == 0


@pytest.mark.parametrize("exact_up_to", [3000, 2999])
def test_progress_ends_at_what_was_announced(exact_up_to: int) -> None:
    ticker, done = SimpleNamespace(advance=lambda count: done.append(count)), list[int]()
    alike_pairs(near_copies(3000), ticker, exact_up_to=exact_up_to)  # type: ignore[arg-type]
    announced = copies_to_compare(3000, exact_up_to=exact_up_to)
    assert sum(done) == announced == (6000 if exact_up_to == 3000 else 12000)


def test_some_rows_are_described_as_in_the_whole() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3)).astype(np.uint8)
    rows = np.array([3, 7, 49])
    assert np.array_equal(describe(colour, rows), describe(colour)[rows])
