from __future__ import annotations

import numpy as np
import pytest

from headstart.data.decoding.depth import alpha_top, range_of, to_8_bits


@pytest.mark.parametrize(
    ("kind", "values", "ends"),
    [
        ("bool", [False, True], (0, 1)),
        ("uint8", [3, 9], (0, 255)),
        ("int64", [0, 255], (0, 255)),
        ("uint16", [0, 256], (0, 1023)),
        ("uint16", [5, 4095], (0, 4095)),
        ("uint16", [5, 4096], (0, 16383)),
        ("int16", [0, 32767], (0, 65535)),
        ("int16", [-1024, 3071], (-8192, 8191)),
        ("int8", [-128, 127], (-128, 127)),
        ("uint32", [0, 2**32 - 1], (0, 2**32 - 1)),
        ("float32", [0.2, 1.0], (0, 1)),
        ("float32", [-0.2, 1.0], (-1, 1)),
        ("float64", [0.0, 255.0], (0, 255)),
        ("float64", [-5.0, 300.0], (-5, 300)),
        ("float16", [np.nan, 0.5], (0, 1)),
        ("float32", [np.nan, np.inf], (0, 1)),
    ],
)
def test_the_ends_of_black_and_white(kind: str, values: list[float], ends: tuple[float, float]) -> None:
    assert range_of(np.array(values, dtype=kind)) == ends


def test_whole_numbers_keep_the_upper_eight_bits_of_their_depth() -> None:
    for bits in (8, 10, 12, 14, 16):
        values = np.arange(2**bits, dtype=np.uint16)
        np.testing.assert_array_equal(to_8_bits(values), values >> (bits - 8))
    np.testing.assert_array_equal(to_8_bits(np.array([-(2**15), 0, 2**15 - 1], np.int16)), [0, 128, 255])


def test_floats_are_rounded_and_what_is_no_number_is_black() -> None:
    values = np.array([0.0, 0.5, 1.0, np.nan, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(to_8_bits(values), [0, 128, 255, 0, 255, 0])
    np.testing.assert_array_equal(to_8_bits(np.array([-1.0, 0.0, 1.0])), [0, 128, 255])
    np.testing.assert_array_equal(to_8_bits(np.array([-5.0, 300.0, 147.5])), [0, 255, 128])
    np.testing.assert_array_equal(to_8_bits(np.full(3, 7000.0)), [0, 0, 0])


def test_given_ends_are_used_for_every_type() -> None:
    np.testing.assert_array_equal(to_8_bits(np.array([0, 8, 16, 20], np.uint8), (0.0, 16.0)), [0, 128, 255, 255])


def test_at_least_64_grey_levels_of_a_fine_ramp_remain() -> None:
    for bits in range(9, 17):
        assert len(np.unique(to_8_bits(np.arange(2**bits, dtype=np.uint16)))) >= 64


@pytest.mark.parametrize(
    ("kind", "white", "opaque"),
    [
        ("uint16", 4095, 65535),
        ("uint16", 4095, 4095),
        ("uint16", 255, 65535),
        ("int32", 255, 255),
        ("float32", 1.0, 1.0),
        ("float32", 255.0, 1.0),
        ("float32", 1.0, 255.0),
        ("float64", 7000.0, 1.0),
        ("bool", 1, 1),
    ],
)
def test_alpha_has_ends_of_its_own(kind: str, white: float, opaque: float) -> None:
    pixels = np.array([[[0, white, white, opaque], [white, 0, 0, 0]]], dtype=kind)
    np.testing.assert_array_equal(to_8_bits(pixels), [[[0, 255, 255, 255], [255, 0, 0, 0]]])


def test_alpha_of_whole_numbers_has_the_depth_of_the_colours_or_a_wider_one() -> None:
    assert alpha_top(100, (0.0, 4095.0), whole=True) == 4095 and alpha_top(5000, (0.0, 4095.0), whole=True) == 16383
    assert alpha_top(0.5, (0.0, 255.0), whole=False) == 1 and alpha_top(2.0, (0.0, 1.0), whole=False) == 255
