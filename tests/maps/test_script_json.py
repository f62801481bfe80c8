from __future__ import annotations

import json

import numpy as np

from headstart.maps.script_json import script_json


def test_data_cannot_close_the_script_it_stands_in() -> None:
    text = script_json({"class": "</script><b>", "score": float("nan")})
    assert "<" not in text
    assert json.loads(text) == {"class": "</script><b>", "score": None}


def test_numbers_that_are_not_finite_become_null_at_any_depth() -> None:
    value = {"a": [1.5, float("inf")], "b": {"c": (float("nan"), np.float32(0.5), np.int64(3))}, 4: None}
    assert json.loads(script_json(value)) == {"a": [1.5, None], "b": {"c": [None, 0.5, 3]}, "4": None}


def test_line_separators_cannot_end_a_line_of_the_script() -> None:
    text = script_json("a\u2028b\u2029c")
    assert "\u2028" not in text and "\u2029" not in text and json.loads(text) == "a\u2028b\u2029c"
