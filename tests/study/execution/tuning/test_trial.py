from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.study.execution.tuning.trial import Trial


def trial(name: str, merit: float | None, log_loss: float | None) -> Trial:
    known: dict[str, Any] = {"history": [], "best_epoch": 0, "notes": [], "seconds": 0.0, "learned": 0, "total": 0}
    return Trial(values={("n",): name}, accuracy=0.0, log_loss=log_loss, merit=merit, folder=Path(), **known)


def test_trials_are_ranked_by_merit_then_by_log_loss() -> None:
    good, sure, poor = trial("good", 0.9, 0.5), trial("sure", 0.9, 0.4), trial("poor", -3.0, 0.1)
    nothing, half = trial("nothing", None, None), trial("half", 0.9, None)
    ranked = sorted([sure, nothing, good, half, poor], key=lambda each: each.rank)
    assert [each.values["n",] for each in ranked] == ["nothing", "poor", "half", "good", "sure"]
