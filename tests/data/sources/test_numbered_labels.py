from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.data.sources.numbered_labels import class_numbers
from headstart.errors import DataError


def test_numbers_text_and_absent_labels_are_numbers() -> None:
    found = class_numbers([2, "0", -1, None, "1.0", np.int32(1)], ["a", "b", "c"], "t", range(1, 7))
    assert found.tolist() == [2, 0, -1, -1, 1, 1]


@pytest.mark.parametrize("value", [3, 99, -2, "cat", 0.5, "nan", "inf", "", [1], 10**400, "0|1"])
def test_what_is_no_class_is_refused_with_its_row(value: Any) -> None:
    with pytest.raises(DataError, match=r"t, row 8: the label '.*' is not the number of a class; there are 3 classes"):
        class_numbers([0, value], ["a", "b", "c"], "t", [7, 8])
