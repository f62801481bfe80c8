from __future__ import annotations

import base64

import numpy as np

from headstart.maps.neighbourhoods import Mixing
from headstart.maps.points import NONE, Colouring, encoded_codes, mixing_rows, quantised


def decoded(text: str) -> list[int]:
    return np.frombuffer(base64.b64decode(text), dtype="<u2").tolist()


def test_positions_keep_their_shape_on_whole_numbers_and_are_turned_over() -> None:
    positions = np.array([[0, 0], [4, 0], [4, 2], [0, 2]], dtype=np.float32)
    assert quantised(positions).tolist() == [[0, 49151], [65535, 49151], [65535, 16384], [0, 16384]]
    assert quantised(positions[:1]).tolist() == [[32768, 32768]] and quantised(positions[:0]).shape == (0, 2)
    many = np.random.default_rng(0).standard_normal((1000, 2)).astype(np.float32)
    width = float((many.max(0) - many.min(0)).max())
    restored = quantised(many).astype(np.float64) / 65535 * width * (1, -1)
    offset = (restored - many).mean(axis=0)
    assert np.abs(restored - many - offset).max() < width / 65535


def test_codes_and_times_are_uint16_with_one_value_for_none() -> None:
    assert decoded(encoded_codes(np.array([0, 2, -1]))) == [0, 2, NONE]
    times = Colouring("time", ("2020", "2021"), np.array([100, 300, -1, 200])).plain
    assert times["scale"] and decoded(times["codes"]) == [0, NONE - 1, NONE, (NONE - 1) // 2]
    plain = Colouring("class", ("a", "b"), np.array([1, 0])).plain
    assert plain == {"name": "class", "labels": ["a", "b"], "codes": encoded_codes(np.array([1, 0]))}
    assert decoded(Colouring("time", ("", ""), np.array([-1])).plain["codes"]) == [NONE]


def test_rows_of_the_table_begin_with_the_largest_class_and_leave_out_empty_ones() -> None:
    found = [Mixing("a", 2, 0.123456, "b", 0.5), Mixing("b", 3, None, "", 0.0), Mixing("c", 0, None, "", 0.0)]
    assert mixing_rows(found) == [["b", 3, None, "", 0.0], ["a", 2, 0.1235, "b", 0.5]]
