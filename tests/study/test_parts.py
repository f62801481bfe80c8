"""How a pass over many images is divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.data.sources.load import load_dataset
from headstart.study.parts import part_of, rows_of_parts


@pytest.mark.parametrize(
    ("images", "parts", "size", "last"),
    [
        (511, 0, 0, 0),  # too few to be divided
        (512, 2, 256, 256),
        (1_000, 4, 256, 232),
        (4_096, 16, 256, 256),
        (4_097, 9, 512, 1),  # a size that is a power of two, and at most 16 parts
        (8_677, 9, 1_024, 485),
        (1_000_000, 245, 4_096, 576),  # so many that a part would be too large
    ],
)
def test_a_pass_is_divided_by_the_number_of_its_images_alone(images: int, parts: int, size: int, last: int) -> None:
    found = rows_of_parts(images)
    assert len(found) == parts
    if parts:
        assert found[0] == (0, size) and found[-1] == (images - last, images)
        assert [start for start, _ in found[1:]] == [stop for _, stop in found[:-1]]


def test_a_part_is_rows_of_the_whole_with_their_place_in_its_name(pictures: Path) -> None:
    whole = load_dataset(str(pictures))
    part = part_of(whole, (10, 30))
    assert len(part) == 20 and part.name == f"{whole.name}, images 11 to 30"
    assert part.digests is not None and whole.digests is not None
    np.testing.assert_array_equal(part.digests, whole.digests[10:30])
    np.testing.assert_array_equal(part.labels, whole.labels[10:30])
