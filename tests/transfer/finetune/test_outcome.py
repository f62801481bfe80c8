"""When a network is better than guessing; what is returned after a divergence is in test_finetune.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tuning_subject import Pictures, job

from headstart.models.heads import LinearHead
from headstart.transfer.finetune.assembly import make_learner
from headstart.transfer.finetune.outcome import _constant_accuracy, _knows_something


@pytest.mark.parametrize(
    ("loss", "accuracy", "expected"),
    [
        (np.log(3), 1 / 3, False),  # the head of zeros that a new training starts from
        (np.log(3) - 0.01, 1 / 3, True),
        (9.0, 1 / 3, False),
        (9.0, 0.5, True),
        (12.0, 0.5, False),  # more than ten times ln 3: about to overflow
    ],
)
def test_better_than_guessing_is_more_accurate_than_a_constant_or_a_lower_loss(
    loss: float, accuracy: float, expected: bool, tmp_path: Path
) -> None:
    made = job(tmp_path, initial_head=LinearHead(16, 3))
    learner, _ = make_learner(made, "cpu")
    learner.history.begin(loss, accuracy)
    assert _knows_something(made, learner, 0) is expected


def test_a_new_head_before_its_first_step_is_right_by_chance_only(tmp_path: Path) -> None:
    made = job(tmp_path)
    learner, _ = make_learner(made, "cpu")
    learner.history.begin(0.68, 1.0)  # every one of a handful of validation images
    assert _knows_something(made, learner, 0) is False


def test_the_best_constant_answer_by_hand() -> None:
    assert _constant_accuracy(np.array([0, 0, 0, 1]), False) == 0.75
    assert _constant_accuracy(np.array([[True, False], [True, False], [False, False], [True, False]]), True) == 0.875
    assert _constant_accuracy(Pictures().labels, False) == pytest.approx(1 / 3)
