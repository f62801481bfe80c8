from __future__ import annotations

import numpy as np
import torch

from headstart.models.label_rule import labels_of

SCORES = np.array([[0.2, 0.7, 0.1], [0.5, 0.5, 0.0]], dtype=np.float32)


def test_the_likeliest_class_the_first_of_equals() -> None:
    assert labels_of(SCORES, multi_label=False, threshold=0.5).tolist() == [1, 0]
    assert labels_of(torch.tensor(SCORES), multi_label=False, threshold=0.5).tolist() == [1, 0]


def test_of_several_labels_all_above_the_threshold_and_none_at_it() -> None:
    assert labels_of(SCORES, multi_label=True, threshold=0.5).tolist() == [[False, True, False], [False, False, False]]
    assert labels_of(torch.tensor(SCORES) + 0.1, multi_label=True, threshold=0.5).tolist() == [
        [False, True, False],
        [True, True, False],
    ]
