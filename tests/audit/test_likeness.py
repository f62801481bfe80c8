from __future__ import annotations

import numpy as np
import pytest
from photographs import picture, shrunk
from PIL import Image

from headstart.audit.likeness import agreement, align_details, details, likeness, overlap

BAND = (0.5, 3.0)
NO_WARP = np.zeros((1, 4), dtype=np.float32)


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(shrunk(pixels, 32)).convert("L"))


def as_pairs(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return small copies of which the second half belongs to the first."""
    half = len(images) // 2
    return np.stack(images), np.arange(half), np.arange(half, 2 * half), np.zeros(half, dtype=bool)


def test_copies_that_were_shifted_stretched_recoloured_or_saved_again_agree_and_others_do_not() -> None:
    originals = [picture(k, (150, 200)) for k in range(24)]
    changed = [
        originals[k][10:145, 5:190]
        if k % 3 == 0
        else (0.6 * originals[k] + 50).astype(np.uint8)
        if k % 3 == 1
        else np.asarray(Image.fromarray(originals[k]).resize((60, 90)))
        for k in range(24)
    ]
    found = likeness(*as_pairs([grey(each) for each in originals + changed]))
    assert found.pairs.tolist() == list(range(24))
    assert found.score.min() > 0.9
    others = likeness(*as_pairs([grey(each) for each in originals + originals[1:] + originals[:1]]))
    assert len(others.score) == 0 or others.score.max() < 0.6


def test_a_mirror_image_agrees_where_it_is_mirrored() -> None:
    images, a, b, _ = as_pairs([grey(picture(0)), grey(picture(0)[:, ::-1])])
    found = likeness(images, a, b, np.array([True]))
    assert found.score == pytest.approx(1, abs=0.01)
    assert found.warp == pytest.approx(0, abs=0.01)
    assert len(likeness(images, a, b, np.array([False])).pairs) == 0
    assert (images[1] == grey(picture(0)[:, ::-1])).all()  # what was given is left as it was


def test_the_warp_says_where_the_second_image_lies_in_the_first() -> None:
    # b shows the rows 15 to 135 of 150: it is stretched by 120 / 150 when laid on a … as a's frame is 1.25 of b's
    whole = picture(3, (150, 150))
    found = likeness(*as_pairs([grey(whole), grey(whole[15:135])]))
    assert found.warp[0] == pytest.approx([0.25, 0, 0, 0], abs=0.02)


def test_one_round_from_near_the_warp_finds_it_and_from_afar_it_does_not() -> None:
    whole = picture(3, (150, 150))
    first, second = (grey(each).astype(np.float32)[None] for each in (whole, whole[15:135]))
    near = np.array([[0.24, 0, 0, 0]], dtype=np.float32)
    assert align_details(first, second, near, 1, BAND)[0] == pytest.approx([0.25, 0, 0, 0], abs=0.01)
    assert align_details(first, second, None, 1, BAND)[0, 0] < 0.15


def test_more_pairs_than_one_chunk_keep_their_order() -> None:
    images = np.stack([grey(picture(k)) for k in range(10)])
    a = np.arange(1200) % 10
    found = likeness(images, a, np.where(np.arange(1200) % 7 == 0, a, (a + 1) % 10), np.zeros(1200, dtype=bool))
    assert found.pairs[found.score > 0.95].tolist() == list(range(0, 1200, 7))
    none = likeness(images, a[:0], a[:0], np.zeros(0, dtype=bool))
    assert (none.pairs.shape, none.score.shape, none.warp.shape) == ((0,), (0,), (0, 4))
    assert (none.score.dtype, none.warp.dtype) == (np.float32, np.float32)


def test_details_are_between_the_two_widths_of_the_band() -> None:
    x = np.arange(64, dtype=np.float32)
    for period, low, high in ((2, 0, 0.1), (8, 0.4, 1), (100, 0, 0.1)):  # pixels
        wave = np.broadcast_to(np.cos(2 * np.pi * x / period), (1, 64, 64)).astype(np.float32)
        assert low <= np.abs(details(wave, (1.0, 3.0))[0, :, 16:48]).max() <= high


def test_agreement_is_1_for_equal_details_and_minus_1_for_a_negative() -> None:
    image = grey(picture(1)).astype(np.float32)[None]
    assert agreement(image, 0.5 * image + 30, NO_WARP, BAND)[0] == pytest.approx(1, abs=0.03)
    assert agreement(image, image, NO_WARP, BAND)[0] == pytest.approx(1, abs=0.03)
    assert agreement(image, 255 - image, NO_WARP, BAND)[0] == pytest.approx(-1, abs=0.03)


def test_agreement_weighs_every_block_and_not_only_the_strongest_edge() -> None:
    # one bright bar in both images, and different textures around it: the correlation of all details is high
    generator = np.random.default_rng(0)
    first, second = (128 + 14 * generator.normal(size=(1, 32, 32)).astype(np.float32) for _ in range(2))
    for image in (first, second):
        image[:, :, 12:20] = 250
        image[:, :, 14:18] = 0
    u, v = (details(image, BAND) for image in (first, second))
    assert np.corrcoef(u.ravel(), v.ravel())[0, 1] > 0.85
    assert agreement(first, second, NO_WARP, BAND)[0] < 0.75


def test_blocks_without_details_do_not_count_and_images_without_any_do_not_agree() -> None:
    half = np.full((1, 32, 32), 128, dtype=np.float32)
    half[:, :, :16] = grey(picture(2)).astype(np.float32)[:, :16]
    noisy = half + np.random.default_rng(1).normal(0, 0.5, half.shape).astype(np.float32)
    assert agreement(half, noisy, NO_WARP, BAND)[0] > 0.95
    flat = np.full((1, 32, 32), 128, dtype=np.float32)
    assert agreement(flat, flat + 1, NO_WARP, BAND)[0] == 0


def test_agreement_counts_only_what_both_images_show() -> None:
    image = grey(picture(4)).astype(np.float32)[None]
    moved = np.full_like(image, 128)
    moved[:, :24] = image[:, 8:]  # the upper quarter is lost, the lower quarter is empty
    warp = np.array([[0, -0.25, 0, 0]], dtype=np.float32)
    blank = moved.copy()
    blank[:, 24:] = np.random.default_rng(2).integers(0, 255, (8, 32))
    assert agreement(image, moved, warp, BAND)[0] > 0.93
    # a's upper quarter comes from beyond b's border, whatever it shows
    other = image.copy()
    other[:, :6] = 0
    assert agreement(other, moved, warp, BAND)[0] > 0.8
    far = np.array([[0, -0.6, 0, 0]], dtype=np.float32)
    assert agreement(image, moved, far, BAND)[0] < 0.5


@pytest.mark.parametrize(
    ("warp", "share"),
    [
        ([0, 0, 0, 0], 1),
        ([0.25, 0, 0, 0], 0.8),
        ([-0.2, 0, 0, 0], 1),
        ([0, 0.1, 0, -0.1], 0.81),
        ([0.25, 0, 0.25, 0], 0.64),
        ([0, 0, 0.25, 0.25], 0.7),
    ],
)
def test_overlap_is_the_share_of_the_first_image_that_the_second_covers(warp: list[float], share: float) -> None:
    # stretch 0.25: b covers 1 / 1.25 of a; shift 0.25 then moves its middle to -0.2: from -0.6 to 0.2, cut at -0.5
    assert overlap(np.array([warp], dtype=np.float32))[0] == pytest.approx(share, abs=1e-5)
