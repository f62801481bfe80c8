from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from headstart.errors import SpecError
from headstart.explain.superpixels import connected, lab, slic, squares


def scene(height: int = 60, width: int = 80, seed: int = 0) -> np.ndarray:
    """Smooth colours with a bright disc."""
    rng = np.random.default_rng(seed)
    rough = rng.uniform(0, 255, (height, width, 3))
    image = ndimage.gaussian_filter(rough, (6, 6, 0))
    image = (image - image.min()) / np.ptp(image) * 160
    y, x = np.mgrid[:height, :width]
    image[(y - 30) ** 2 + (x - 40) ** 2 < 15**2] = (250, 230, 60)
    return image.astype(np.uint8)


def test_pieces_are_connected_and_numbered_without_gaps() -> None:
    segments = slic(scene(), 24)
    count = int(segments.max()) + 1
    assert sorted(set(segments.ravel())) == list(range(count))
    assert 16 <= count <= 32
    for piece in range(count):
        assert ndimage.label(segments == piece)[1] == 1
    first = [int(np.flatnonzero(segments.ravel() == piece)[0]) for piece in range(count)]
    assert first == sorted(first)


def test_no_piece_crosses_a_sharp_border_of_colour() -> None:
    image = np.zeros((48, 48, 3), np.uint8)
    image[:, 19:] = (220, 40, 40)
    segments = slic(image, 16)
    assert not set(segments[:, :19].ravel()) & set(segments[:, 19:].ravel())


def test_an_even_image_is_cut_into_squares() -> None:
    assert (slic(np.full((40, 40, 3), 99, np.uint8), 16) == squares(40, 40, 10)).all()


def test_colours_in_lab_agree_with_scikit_image() -> None:
    color = pytest.importorskip("skimage.color")
    np.testing.assert_allclose(lab(scene()), color.rgb2lab(scene()), atol=0.02)


def test_small_parts_join_the_neighbour_with_the_longest_border() -> None:
    labels = np.array([[0, 0, 0, 1], [0, 2, 1, 1], [0, 0, 1, 1]])
    assert connected(labels, 2).tolist() == [[0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 1, 1]]


def test_parts_of_one_label_that_do_not_touch_become_two_pieces() -> None:
    labels = np.array([[0, 0, 1, 0, 0], [0, 0, 1, 0, 0]])
    assert connected(labels, 1).tolist() == [[0, 0, 1, 2, 2], [0, 0, 1, 2, 2]]


def test_the_same_image_gives_the_same_pieces() -> None:
    assert (slic(scene(), 20) == slic(scene(), 20)).all()


def test_one_piece_is_the_whole_image() -> None:
    assert not slic(scene(), 1).any()


@pytest.mark.parametrize(("pieces", "compactness"), [(0, 10.0), (10**6, 10.0), (9, 0.0)])
def test_impossible_pieces_are_refused(pieces: int, compactness: float) -> None:
    with pytest.raises(SpecError, match="superpixels"):
        slic(scene(), pieces, compactness=compactness)
