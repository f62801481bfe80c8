from __future__ import annotations

from pathlib import Path

import pytest

from tests.siege import corruption
from tests.siege.siege import besiege

each_time_and_weekly = pytest.mark.parametrize("attempts", [3, pytest.param(12, marks=pytest.mark.slow)])


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@each_time_and_weekly
def test_a_damaged_file_never_gives_another_result(attempts: int, tmp_path: Path) -> None:
    outcome = besiege(corruption.prepare, tmp_path, range(attempts))
    assert outcome.failures == {} and outcome.attempts == attempts


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@each_time_and_weekly
def test_a_damaged_file_of_an_audit_a_halving_or_few_shot_training_never_gives_another_result(
    attempts: int, tmp_path: Path
) -> None:
    outcome = besiege(corruption.prepare_wide, tmp_path, range(attempts))
    assert outcome.failures == {} and outcome.attempts == attempts
