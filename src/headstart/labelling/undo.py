"""What each person changed in a shared table, so that it can be taken back without what others did since."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

from headstart.labelling.shared_table import SharedTable

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


@dataclass
class Step(Generic[K, V, T]):
    """One change of one person.

    Args:
        number: its place among the changes of all.
        about: what the person did, for whoever shows it.
        rows: of the table, each before and after; None where there is none.
    """

    number: int
    about: T
    rows: dict[K, tuple[V | None, V | None]]


@dataclass(frozen=True)
class TakenBack(Generic[K, V, T]):
    """A change that was taken back: what it was about, which rows, and the whole table now."""

    about: T
    keys: list[K]
    table: dict[K, V]


class UndoStacks(Generic[K, V, T]):
    """The changes of all people to one table; the caller sees to it that one thread uses it at a time.

    Args:
        table: that is changed.
    """

    def __init__(self, table: SharedTable[K, V]) -> None:
        self._table = table
        self._steps: dict[str, list[Step[K, V, T]]] = {}
        self._of_key: dict[K, list[Step[K, V, T]]] = {}  # the changes of each row, in their order
        self._numbers = count()

    def note(self, who: str, about: T, before: Mapping[K, V], changes: Mapping[K, V | None]) -> None:
        """Remember a change that was made, unless all rows were so already."""
        rows = {key: (before.get(key), row) for key, row in changes.items() if before.get(key) != row}
        if changes and not rows:
            return
        step = Step(next(self._numbers), about, rows)
        self._steps.setdefault(who, []).append(step)
        for key in rows:
            self._of_key.setdefault(key, []).append(step)

    def take_back(self, who: str) -> TakenBack[K, V, T] | None:
        """Take back a person's last change, as far as nobody changed the same rows since; None if there is none.

        One of which nothing is left is passed over, and the one before it is taken back.

        Raises:
            StoreError: the file cannot be written; nothing has changed.
        """
        while self._steps.get(who):
            step = self._steps[who][-1]
            following = {key: self._following(key, step) for key in step.rows}
            last = {key: rows for key, rows in step.rows.items() if following[key] is None}
            expected = {key: after for key, (_, after) in last.items()}
            was, now = self._table.change({key: before for key, (before, _) in last.items()}, expected)
            self._steps[who].pop()
            for key in step.rows:
                self._of_key[key].pop(self._after(key, step) - 1)
            for key, later in following.items():
                if later is not None and later.rows[key][0] == step.rows[key][1]:
                    later.rows[key] = (step.rows[key][0], later.rows[key][1])
            done = [key for key, after in expected.items() if was.get(key) == after]
            if done or not step.rows:
                return TakenBack(step.about, done, now)
        return None

    def _following(self, key: K, step: Step[K, V, T]) -> Step[K, V, T] | None:
        """Return the next change of a row after this one."""
        changes, place = self._of_key[key], self._after(key, step)
        return changes[place] if place < len(changes) else None

    def _after(self, key: K, step: Step[K, V, T]) -> int:
        """Return the place of the next change of a row after this one, among its changes."""
        return bisect(self._of_key[key], step.number, key=lambda each: each.number)
