"""Whose turn it is: which stored files an attempt damages, so that every kind of file is attacked equally often."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.siege import scene
from tests.siege.siege import Enough

Files = list[tuple[str, Path]]
"""Files to damage: the kind of each, and its path."""
UNCHANGED = "not changed"
_AT_ONCE = (1, 8)  # files that are damaged at once, in folders of their own: from the fewest to the most
_LACKING_AT_ONCE = (8, 16)  # the same, where only kinds that lack turns are damaged
_TRIES = 2  # states in which a file is damaged until one is found in which it is read


@dataclass(frozen=True)
class Aim:
    """How many turns every kind of file shall have.

    Args:
        turns: kinds that had as many take no further turns.
        had: turns that kinds had before, by kind.
    """

    turns: int
    had: Counter[str] = field(default_factory=Counter)


def strokes_in(journals: Iterable[Path]) -> Counter[str]:
    """Return how often each kind of file was damaged in the attempts of these journals that ended well."""
    counted: Counter[str] = Counter()
    for journal in journals:
        for line in journal.read_text().splitlines() if journal.exists() else ():
            ended = json.loads(line)[1]
            strokes = [stroke.rpartition(": ") for stroke in ended if isinstance(ended, list)]
            counted.update(kind for kind, _, became in strokes if became != UNCHANGED)
    return counted


class Turns:
    """Which files are damaged in each attempt: of the kinds that had the fewest turns in the attempts before it.

    Without an aim they are the same for the same seed, whichever attempts are run.

    Args:
        stored: the paths of the files in each state, by their kind.
        aim: kinds that had enough turns take none; the turns then begin with the first attempt that is asked for.
    """

    def __init__(self, stored: dict[str, dict[str, list[Path]]], aim: Aim | None = None) -> None:
        self.stored, self.aim = stored, aim
        before = Counter[str]() if aim is None else aim.had
        self.had = Counter({kind: before[kind] for found in stored.values() for kind in found})
        self._planned: dict[int, list[tuple[str, Files]]] = {}

    def __call__(self, seed: int) -> list[tuple[str, Files]]:
        """Return the states that an attempt tries, the second only if need be, and the files to damage in each.

        Raises:
            Enough: every kind had as many turns as it shall have.
        """
        for each in range(len(self._planned), seed + 1) if self.aim is None else (seed,):
            if each not in self._planned:
                self._planned[each] = self._next(random.Random(each))
        return self._planned[seed]

    def lacking(self) -> list[str]:
        """Return the kinds that have not had enough turns; all of them where no number is aimed at."""
        return [kind for kind in self.had if self.aim is None or self.had[kind] < self.aim.turns]

    def _next(self, draw: random.Random) -> list[tuple[str, Files]]:
        kinds = self.lacking()
        if not kinds:
            raise Enough
        first = self._by_turn(kinds, draw)[0]
        states = [state for state, found in self.stored.items() if first in found]
        draw.shuffle(states)
        tried = [(state, self._files(state, first, draw)) for state in states[:_TRIES]]
        self.had.update(kind for kind, _ in tried[0][1])
        return tried

    def _files(self, state: str, first: str, draw: random.Random) -> Files:
        kinds = self.stored[state]
        files: Files = []
        taken: set[Path] = set()
        most = draw.randint(*(_AT_ONCE if self.aim is None else _LACKING_AT_ONCE))
        for kind in (first, *self._by_turn(sorted({*kinds}.intersection(self.lacking()) - {first}), draw)):
            path = draw.choice(kinds[kind])
            if len(files) < most and _unit(path) not in taken:
                taken.add(_unit(path))
                files.append((kind, path))
        return files

    def _by_turn(self, kinds: list[str], draw: random.Random) -> list[str]:
        return sorted(kinds, key=lambda kind: (self.had[kind], draw.random()))


def _unit(path: Path) -> Path:
    """Return what is checked and replaced as one: the folder, or the file itself directly in the study's folder."""
    return path.with_suffix("") if path.parent == Path("out") / scene.NAME else path.parent
