from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from photographs import jpeg, picture
from PIL import Image

from headstart.audit.hashes import MIRROR, close_pairs, perceptual_hashes, radius_for


def squeezed(images: list[np.ndarray]) -> np.ndarray:
    return np.stack(
        [np.asarray(Image.fromarray(i).convert("L").resize((32, 32), Image.Resampling.BOX)) for i in images]
    )


def test_the_hash_of_a_mirror_image_is_the_hash_with_fixed_bits_inverted() -> None:
    grey = squeezed([picture(k) for k in range(20)])
    assert (perceptual_hashes(grey[:, :, ::-1]) == perceptual_hashes(grey) ^ MIRROR).all()


def test_the_first_bits_are_the_signs_of_the_lowest_frequencies() -> None:
    # frequencies in order of u + v, then u: (0, 1), (1, 0), (0, 2), …; a cosine along x is (0, 1) alone
    x = np.cos(np.pi * (np.arange(32) + 0.5) / 32)
    across = np.broadcast_to(100 + 50 * x, (32, 32)).round().astype(np.uint8)
    bits = [int(perceptual_hashes(image[None])[0]) & 3 for image in (across, 200 - across, across.T)]
    assert [bit & 1 for bit in bits[:2]] == [1, 0]
    assert bits[2] & 2 == 2


def test_hashes_hardly_change_when_an_image_is_saved_again_smaller() -> None:
    first = [picture(k) for k in range(20)]
    again = [np.asarray(Image.open(io.BytesIO(jpeg(p, 40))).resize((80, 60))) for p in first]
    differ = np.bitwise_count(perceptual_hashes(squeezed(first)) ^ perceptual_hashes(squeezed(again)))
    assert differ.max() <= 5


def test_hashes_in_blocks_are_hashes_one_by_one() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (4100, 32, 32), dtype=np.uint8)
    assert (perceptual_hashes(grey)[4090:] == perceptual_hashes(grey[4090:])).all()
    assert len(perceptual_hashes(grey[:0])) == 0


@pytest.mark.parametrize("radius", [7, 5])
def test_every_pair_of_close_hashes_is_found_and_no_other(radius: int) -> None:
    generator = np.random.default_rng(radius)
    hashes = generator.integers(0, 2**64, 300, dtype=np.uint64)
    for k in range(100):  # near ones, some of them mirrored
        flips = generator.permutation(64)[: generator.integers(0, radius + 2)]
        mask = np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64)) if len(flips) else np.uint64(0)
        hashes[200 + k] = hashes[k] ^ mask ^ (MIRROR if k % 3 == 0 else np.uint64(0))
    expected = {}
    for a, b in itertools.combinations(range(300), 2):
        for turned in (False, True):
            bits = int(np.bitwise_count(hashes[a] ^ hashes[b] ^ (MIRROR if turned else np.uint64(0))))
            if bits <= radius:
                expected[a, b, turned] = bits
    found = close_pairs(hashes, radius)
    rows = zip(found.a.tolist(), found.b.tolist(), found.mirrored.tolist(), strict=True)
    assert dict(zip(rows, found.bits.tolist(), strict=True)) == expected
    assert len(expected) > 60


@pytest.mark.parametrize("radius", [7, 5])
def test_a_pair_whose_bits_differ_evenly_over_all_bands_is_found_at_the_radius_and_not_beyond(radius: int) -> None:
    # the hardest case for bands: as few bits as possible agree in the best one
    places = [k * 64 // radius for k in range(radius)]
    mask = np.uint64(sum(1 << place for place in places))
    base = np.uint64(0x0123456789ABCDEF)
    assert close_pairs(np.array([base, base ^ mask]), radius).bits.tolist() == [radius]
    free = next(place for place in range(64) if place not in places)
    assert len(close_pairs(np.array([base, base ^ mask ^ np.uint64(1 << free)]), radius).a) == 0


def test_a_thousand_equal_hashes_do_not_explode() -> None:
    found = close_pairs(np.zeros(3000, dtype=np.uint64), 7)
    assert 0 < len(found.a) < 3000 * 3000 // 4
    assert (found.a < found.b).all()


def test_fewer_bits_may_differ_among_very_many_images() -> None:
    assert [radius_for(n) for n in (2, 200_000, 200_001)] == [7, 7, 5]
