"""Which labels a model's probabilities stand for."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

Scores = TypeVar("Scores", np.ndarray, Tensor)


def labels_of(probabilities: Scores, *, multi_label: bool, threshold: float) -> Scores:
    """Return the labels of calibrated probabilities [n, C].

    These are the likeliest class [n] or, where an image may have several, bool [n, C]: all above the threshold.
    """
    return probabilities > threshold if multi_label else probabilities.argmax(1)
