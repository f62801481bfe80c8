from __future__ import annotations

from pathlib import Path

import pytest

from tests.siege import corruption
from tests.siege.siege import besiege

FEW = 6


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_never_gives_another_result(tmp_path: Path) -> None:
    outcome = besiege(corruption.prepare, tmp_path, range(FEW))
    assert outcome.failures == {} and outcome.attempts == FEW


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_of_an_audit_a_halving_or_few_shot_training_never_gives_another_result(tmp_path: Path) -> None:
    outcome = besiege(corruption.prepare_wide, tmp_path, range(FEW))
    assert outcome.failures == {} and outcome.attempts == FEW
