from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.data.decoding.decode import check
from headstart.data.decoding.jpeg_steps import is_altered
from headstart.data.decoding.jpeg_structure import STEPS, scan_ends, segments


def _jpeg(**options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def _tables(data: bytes) -> Iterator[int]:
    """Yield where the 64 steps of each table start."""
    for marker, start, stop in segments(data, scan_ends(data)[0]):
        if marker == STEPS:
            yield from range(start + 1, stop, 65)


@pytest.mark.parametrize("quality", [1, 10, 50, 75, 90, 95, 97, 100])
def test_no_table_of_pillow_counts_as_altered(quality: int) -> None:
    data = _jpeg(quality=quality)
    assert [is_altered(data[at : at + 64]) for at in _tables(data)] == [False, False]
    assert check(data) is None


@pytest.mark.parametrize("preset", ["web_low", "web_medium", "web_very_high", "low", "medium", "high", "maximum"])
def test_no_table_of_photoshop_counts_as_altered(preset: str) -> None:
    assert check(_jpeg(quality=preset)) is None


@pytest.mark.parametrize("quality", [30, 75, 85, 95])
@pytest.mark.parametrize("count", [1, 4, 6])
def test_a_few_altered_steps_are_seen_in_either_table(quality: int, count: int) -> None:
    data = _jpeg(quality=quality)
    for at in _tables(data):
        for place in (1, 20, 64 - count):
            altered = bytearray(data)
            altered[at + place : at + place + count] = bytes(
                200 if step < 100 else 9 for step in data[at + place :][:count]
            )
            assert check(bytes(altered)) == "is damaged: a quantisation table is altered"


@pytest.mark.parametrize(
    ("quality", "table", "steps"),
    [
        pytest.param(97, 1, {0: 4, 7: 1, 8: 1, 13: 3}, id="FujiFilm FinePix S5500"),
        pytest.param(75, 0, {31: 31, 53: 47}, id="Kyocera Finecam S3"),
        pytest.param(84, 1, {1: 5, 2: 5, 3: 7, 4: 6, 5: 7, 14: 21}, id="Pentax Optio S4"),
    ],
)
def test_the_table_of_a_camera_is_not_taken_for_damage(quality: int, table: int, steps: dict[int, int]) -> None:
    data = bytearray(_jpeg(quality=quality))
    start = list(_tables(bytes(data)))[table]
    for place, step in steps.items():
        assert data[start + place] != step
        data[start + place] = step
    assert check(bytes(data)) is None


def test_what_an_encoder_may_do_is_no_damage() -> None:
    data = _jpeg(quality=75)
    first = next(_tables(data))
    steps = data[first : first + 64]
    assert steps[0] == 8 and not is_altered(bytes([3]) + steps[1:])  # a finer first step
    assert is_altered(bytes([30]) + steps[1:])
    rounded = np.frombuffer(steps, np.uint8) + np.random.default_rng(0).integers(0, 2, 64).astype(np.uint8)
    assert not is_altered(rounded.tobytes())
    assert not is_altered(bytes([7]) + steps[1:63] + bytes([steps[63] + 2]))
    other = np.random.default_rng(1).integers(1, 90, 64).astype(np.uint8)
    assert not is_altered(other.tobytes())


@pytest.mark.parametrize("scale", [1340, 1420, 1560, 1700])
def test_a_coarse_table_of_another_encoder_is_no_damage(scale: int) -> None:
    # A colour table of mozjpeg for PSNR-HVS-M: at its lowest qualities all but the first few steps are 255.
    first = np.array([9, 10, 12, 14, 13, 17, 19, 18, 19, 20, 26, 26, 29, 29, 62], np.int64)
    steps = np.minimum(np.append(first, np.full(49, 90)) * scale // 100, 255).astype(np.uint8)
    assert not is_altered(steps.tobytes())
