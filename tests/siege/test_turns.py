from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.siege.siege import Enough
from tests.siege.turns import Aim, Turns, strokes_in


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


def test_only_kinds_that_lack_turns_take_them_until_all_have_enough() -> None:
    had = Counter({"rare": 7, "usual 3": 12, **{f"usual {n}": 10 for n in range(9) if n != 3}})
    turns, seeds = Turns(_stored(), Aim(10, had)), iter(range(700, 800))
    assert turns.lacking() == ["rare"]
    with pytest.raises(Enough):
        for seed in seeds:
            tried = turns(seed)
            assert [kind for _, files in tried for kind, _ in files] == ["rare"]
    assert next(seeds) == 704, "three turns of the rare kind, and one that found none lacking"
    assert Turns(_stored(), Aim(10, had))(700) == Turns(_stored(), Aim(10, had))(700)


def test_the_strokes_of_journals_are_counted_by_kind_unless_they_changed_nothing(tmp_path: Path) -> None:
    attempts = [
        [0, ["a/*/b: not read", "c: replaced", "c: not changed"], "", 1.0],
        [1, "", "Broken: c was believed", 1.0],
        [2, ["c: rebuilt with a line"], "", 1.0],
    ]
    journal = tmp_path / "journal"
    journal.write_text("".join(json.dumps(attempt) + "\n" for attempt in attempts))
    assert strokes_in([journal, tmp_path / "absent"]) == {"a/*/b": 1, "c": 2}
