from __future__ import annotations

from pathlib import Path

import pytest

from tests.siege import corruption
from tests.siege.corruption import Turns
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


def _stored() -> dict[str, dict[str, list[Path]]]:
    rare = {"rare": [Path("cache/trials/1.partial/a"), Path("cache/trials/2.partial/a")]}
    usual = {f"usual {n}": [Path(f"cache/kind/{n}/{key}") for key in "abc"] for n in range(9)}
    return {"finished": usual, "interrupted": {**rare, "usual 0": usual["usual 0"]}}


def test_every_kind_of_file_has_as_many_turns_also_one_that_is_rarely_there() -> None:
    turns = Turns(_stored())
    for seed in range(200):
        turns(seed)
    assert len(turns.had) == 10 and max(turns.had.values()) - min(turns.had.values()) <= 2


def test_an_attempt_damages_one_file_of_a_folder_and_is_the_same_when_it_is_repeated_alone() -> None:
    turns = Turns(_stored())
    planned = [turns(seed) for seed in range(30)]
    assert Turns(_stored())(29) == planned[29]
    for tried in planned:
        for state, files in tried:
            assert all(path in turns.stored[state][kind] for kind, path in files)
            assert len({path.parent for _, path in files}) == len(files)
