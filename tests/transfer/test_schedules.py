"""Learning rate schedules against figures worked out by hand."""

from __future__ import annotations

import pytest

from headstart.transfer.schedules import Course, Plateau, factor


def test_schedules_have_the_values_worked_out_by_hand() -> None:
    course = Course(epochs=10, step_size=3, gamma=0.1, milestones=(2, 5))
    assert [factor("step", t, course, 10) for t in (0.0, 2.9, 3.0, 6.0)] == pytest.approx([1, 1, 0.1, 0.01])
    assert [factor("multistep", t, course, 10) for t in (1.9, 2.0, 5.0)] == pytest.approx([1, 0.1, 0.01])
    assert [factor("cosine", t, course, 10) for t in (0.0, 5.0, 10.0)] == pytest.approx([1, 0.5, 0])
    warm = Course(epochs=10, warmup=2.0)
    assert [factor("cosine", t, warm, 10) for t in (0.0, 2.0, 6.0)] == pytest.approx([0.1 / 2.1, 1, 0.5])
    assert [factor("onecycle", t, course, 10) for t in (0.0, 3.0)] == pytest.approx([0.04, 1])
    assert factor("onecycle", 9.99, course, 10) < 0.001
    assert factor("none", 3.0, course, 10) == 1


def test_plateau_lowers_the_rate_after_patience_and_survives_a_checkpoint() -> None:
    plateau = Plateau(patience=1, gamma=0.5)
    factors = []
    for loss in (1.0, 0.9, 0.95, 0.95, 0.8, 0.8, 0.8):
        plateau.observe(loss)
        factors.append(plateau.factor)
        other = Plateau(patience=1, gamma=0.5)
        other.restore(plateau.state())
        plateau = other
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
