from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import RunFailed
from headstart.study.execution.finite import check_features, check_probabilities


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_with_features_that_are_no_numbers_are_counted(value: float) -> None:
    features = np.ones((9000, 2, 3), np.float32)
    check_features(features, "lenet5")
    features[[0, 4095, 4096, 8999], 1, 2] = value
    features[0] = value
    with pytest.raises(RunFailed, match="features of 4 of 9,000 images by lenet5 are not finite"):
        check_features(features, "lenet5")


def test_predictions_that_are_no_numbers_are_refused() -> None:
    good = np.full((3, 2), 0.5, np.float32)
    check_probabilities(good, None)
    check_probabilities()
    with pytest.raises(RunFailed, match="not finite numbers"):
        check_probabilities(good, np.array([[np.nan, 1.0]]))
