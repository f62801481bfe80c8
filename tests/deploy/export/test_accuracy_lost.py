from __future__ import annotations

import numpy as np
import pytest

from headstart.deploy.export.accuracy_lost import accuracy_lost


def test_the_difference_is_paired_and_in_points() -> None:
    original = np.array([True] * 900 + [False] * 100)
    exported = original.copy()
    exported[:8], exported[990:992] = False, True  # eight lost, two won
    lost = accuracy_lost(original, exported)
    assert lost.points == pytest.approx(0.6)
    # the standard error of the mean of 8 ones and 2 minus ones among 1000 is 0.0998 points · √10 = 0.316
    assert lost.low == pytest.approx(0.6 - 1.96 * 0.316, abs=0.08) and lost.high == pytest.approx(
        0.6 + 1.96 * 0.316, abs=0.08
    )
    turned = accuracy_lost(exported, original)
    assert turned == pytest.approx((-lost.points, -lost.high, -lost.low))
    same = accuracy_lost(original, original.copy())
    assert same.points == 0 and same.low <= 0 <= same.high
