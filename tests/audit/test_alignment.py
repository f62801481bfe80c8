from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from headstart.audit.alignment import SHIFT, STRETCH, align, correlation, warp_images


def smooth(seed: int, n: int = 1, side: int = 48) -> np.ndarray:
    """Draw smooth images without a mean, so that a fraction of a pixel can be told."""
    noise = np.random.default_rng(seed).normal(size=(n, side, side))
    return 30 * ndimage.gaussian_filter(noise, (0, 3, 3)).astype(np.float32)


def independently_warped(image: np.ndarray, warp: list[float]) -> np.ndarray:
    """Resample with scipy: pixel p of the result is pixel (1 + stretch) p + shift, counted from the middle."""
    side = image.shape[0]
    middle = (side - 1) / 2
    matrix = np.array([1 + warp[0], 1 + warp[2]])
    offset = middle - matrix * middle + np.array([warp[1], warp[3]]) * side
    return ndimage.affine_transform(image.astype(float), matrix, offset, order=1, mode="nearest")


@pytest.mark.parametrize(
    "warp", [[0, 0, 0, 0], [0.1, 0, 0, 0], [0, 0.05, 0, 0], [0, 0, -0.1, 0], [0.05, -0.03, -0.08, 0.06]]
)
def test_warping_is_that_of_scipy(warp: list[float]) -> None:
    image = smooth(0)
    warped, inside = warp_images(image, np.array([warp], dtype=np.float32))
    seen = inside[0] > 0
    assert seen.mean() > 0.75
    assert warped[0][seen] == pytest.approx(independently_warped(image[0], warp)[seen], abs=0.02)


def test_pixels_from_beyond_the_border_are_marked() -> None:
    # a shift by a quarter of 8 pixels along y: the last two rows would come from rows 8 and 9
    _, inside = warp_images(np.zeros((1, 8, 8), np.float32), np.array([[0, 0.25, 0, 0]], np.float32))
    assert inside[0].sum(axis=1).tolist() == [8] * 6 + [0] * 2
    # a stretch by a half along x, from the middle 3.5: column 0 comes from -1.75, column 2 from 1.25
    _, inside = warp_images(np.zeros((1, 8, 8), np.float32), np.array([[0, 0, 0.5, 0]], np.float32))
    assert inside[0].sum(axis=0).tolist() == [0, 0, 8, 8, 8, 8, 0, 0]


@pytest.mark.parametrize(
    "warp", [[0.12, 0, 0, 0], [0, 0.06, 0, 0], [0, 0, -0.12, 0], [0, 0, 0, -0.06], [0.1, -0.05, -0.06, 0.04]]
)
def test_a_stretched_and_shifted_image_is_aligned_again(warp: list[float]) -> None:
    image = smooth(1)
    moved = independently_warped(image[0], warp)[None].astype(np.float32)
    found = align(moved, image, 15)
    assert found.warp[0] == pytest.approx(warp, abs=0.01)
    assert found.score[0] > 0.99
    assert align(moved, image, 0).score[0] < 0.97


def test_brightness_and_contrast_do_not_matter() -> None:
    image = smooth(2)
    moved = independently_warped(image[0], [0, 0.05, 0, 0])[None].astype(np.float32)
    plain, changed = align(moved, image, 12), align(0.6 * moved + 20, image, 12)
    assert changed.warp == pytest.approx(plain.warp, abs=0.003)
    assert changed.score == pytest.approx(plain.score, abs=0.003)


def test_every_pair_is_aligned_for_itself_and_a_start_is_taken_up() -> None:
    image = smooth(3, 3)
    moved = np.stack([independently_warped(image[k], [0, 0.02 * k, 0, 0]) for k in range(3)]).astype(np.float32)
    together = align(moved, image, 10)
    for k in range(3):
        alone = align(moved[k : k + 1], image[k : k + 1], 10)
        assert together.warp[k] == pytest.approx(alone.warp[0], abs=1e-4)
    started = align(moved, image, 0, together.warp)
    assert started.score == pytest.approx(together.score, abs=1e-6)
    assert (started.warp == together.warp).all()


def test_the_best_round_counts_not_the_last() -> None:
    image = smooth(4)
    scores = [float(align(image, image[:, ::-1], rounds).score[0]) for rounds in range(8)]
    assert (np.diff(scores) >= -1e-6).all()


def test_a_warp_stays_within_its_bounds() -> None:
    different = align(smooth(5, 40), smooth(6, 40), 12).warp
    assert np.abs(different[:, [0, 2]]).max() <= STRETCH + 1e-6
    assert np.abs(different[:, [1, 3]]).max() <= SHIFT + 1e-6
    assert np.abs(different[:, 0]).max() > STRETCH / 2  # it does look for a better place


def test_correlation_is_pearsons_where_both_are_seen_and_minus_one_where_they_hardly_overlap() -> None:
    first, second = smooth(7, 1, 16), smooth(8, 1, 16)
    inside = np.ones((1, 16, 16), np.float32)
    inside[0, :7] = 0
    u, v = ((x - x[inside > 0].mean()) * inside for x in (first, second))
    expected = np.corrcoef(first[inside > 0], second[inside > 0])[0, 1]
    assert correlation(u, v, inside)[0] == pytest.approx(expected, abs=1e-4)
    inside[0, :8] = 0  # exactly half
    assert correlation(u, v, inside)[0] > -1
    inside[0, :9] = 0
    assert correlation(u, v, inside)[0] == -1
    assert correlation(0 * u, v, np.ones_like(inside))[0] == 0
