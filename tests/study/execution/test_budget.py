from __future__ import annotations

import pytest

from headstart.study.execution import budget as module
from headstart.study.execution.budget import Budget, OverBudget


def test_what_is_left_is_the_limit_less_the_reserve_and_what_was_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module, "now", lambda: clock[0])
    budget = Budget(60.0, reserve=5.0)
    assert (budget.spent(), budget.left()) == (0.0, 55.0)
    clock[0] = 130.0
    assert (budget.spent(), budget.left()) == (30.0, 25.0)
    budget.check()
    clock[0] = 154.5
    budget.check()
    clock[0] = 155.0
    with pytest.raises(OverBudget):
        budget.check()
    assert Budget(1.0).reserve == 0.0


def test_the_clock_only_goes_forward() -> None:
    assert module.now() <= module.now()
