from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from lines_table import Lines

from headstart.labelling.undo import UndoStacks


def test_a_change_in_the_middle_is_taken_out_of_the_chain(tmp_path: Path) -> None:
    table = Lines(tmp_path / "t")
    undo: UndoStacks[str, str, str] = UndoStacks(table)
    for who, value in (("ann", "1"), ("bob", None), ("cat", "2"), ("bob", "3")):
        undo.note(who, f"{who} {value}", table.change({"a": value})[0], {"a": value})
    assert undo.take_back("cat") is None and table.read() == {"a": "3"}
    taken = undo.take_back("bob")
    assert taken is not None and (taken.about, taken.keys, taken.table) == ("bob 3", ["a"], {})
    taken = undo.take_back("bob")
    assert taken is not None and taken.about == "bob None" and table.read() == {"a": "1"}
    assert undo.take_back("ann") is not None and table.read() == {}


def test_one_without_rows_is_taken_back_in_its_turn(tmp_path: Path) -> None:
    table = Lines(tmp_path / "t")
    undo: UndoStacks[str, str, str] = UndoStacks(table)
    undo.note("ann", "first", table.change({"a": "1"})[0], {"a": "1"})
    undo.note("ann", "a skip", {}, {})
    assert [taken.about for taken in iter(lambda: undo.take_back("ann"), None)] == ["a skip", "first"]
    assert undo.take_back("ann") is None is undo.take_back("bob")


def test_a_change_that_changed_nothing_is_not_taken_back_instead_of_the_one_before_it(tmp_path: Path) -> None:
    table = Lines(tmp_path / "t")
    undo: UndoStacks[str, str, str] = UndoStacks(table)
    for about, changes in (("first", {"a": "1"}), ("again", {"a": "1"}), ("away", {"b": None})):
        undo.note("ann", about, table.change(changes)[0], changes)
    taken = undo.take_back("ann")
    assert taken is not None and (taken.about, taken.table) == ("first", {}) and undo.take_back("ann") is None


class Memory(Lines):
    """The same without a disk."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.found: dict[str, str] = {}

    def read(self) -> dict[str, str]:
        return dict(self.found)

    def change(
        self, changes: Mapping[str, str | None], expected: Mapping[str, str | None] | None = None
    ) -> tuple[dict[str, str], dict[str, str]]:
        before = self.read()
        for key, row in changes.items():
            if expected is None or before.get(key) == expected.get(key):
                self.found.pop(key, None)
                if row is not None:
                    self.found[key] = row
        return before, self.read()


@pytest.mark.parametrize("seed", range(30))
def test_the_table_holds_exactly_the_changes_that_are_left_whoever_takes_back_what(seed: int) -> None:
    """The oracle plays all changes that were not taken back again from the start."""
    draw, table = np.random.default_rng(seed), Memory()
    undo: UndoStacks[str, str, int] = UndoStacks(table)
    left: dict[int, tuple[str, dict[str, str | None]]] = {}
    for number in range(80):
        who = ("ann", "bob", "cat")[draw.integers(3)]
        if draw.random() < 0.6:
            keys = draw.choice(["a", "b", "c", "d"], size=draw.integers(1, 4), replace=False).tolist()
            changes = {key: None if draw.random() < 0.2 else f"{who}{number}" for key in keys}
            before = table.change(changes)[0]
            undo.note(who, number, before, changes)
            left[number] = who, {key: row for key, row in changes.items() if before.get(key) != row}
        else:
            taken = undo.take_back(who)  # those after it, of which nothing was left, are passed over
            for each in [number for number, (owner, _) in left.items() if owner == who]:
                if taken is None or each >= taken.about:
                    del left[each]
        played: dict[str, str | None] = {}
        for _, changes in left.values():
            played |= changes
        assert table.read() == {key: row for key, row in played.items() if row is not None}


def test_taking_back_many_rows_does_not_look_at_every_change_for_each_of_them() -> None:
    table = Memory()
    undo: UndoStacks[str, str, str] = UndoStacks(table)
    many = {f"row {number}": "red" for number in range(4000)}
    undo.note("ann", "many", table.change(many)[0], many)
    for number in range(4000):
        undo.note("bob", "one", {}, {f"other {number}": "blue"})
    began = time.process_time()
    taken = undo.take_back("ann")
    assert taken is not None and len(taken.keys) == 4000 and time.process_time() - began < 0.5
