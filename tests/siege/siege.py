"""A siege: one attack repeated with many seeds; each attempt ends in a way that is allowed, or is a failure."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

Attack = Callable[[int], str | list[str]]
"""From a seed to how the attempt ended, such as "rebuilt" or "refused"; raises Broken where headstart failed.

An attempt of several strokes says it of each.
"""

Prepare = Callable[[Path], Attack]
"""From an empty folder, in which everything is done, to the attack."""


class Enough(Exception):
    """Nothing is left to attack: the siege ends."""


class Broken(AssertionError):
    """headstart did what it must not: the message says what was attacked and what happened."""


@dataclass
class Outcome:
    """What came of the attempts.

    Args:
        ended: how many strokes, one an attempt unless the attack says more, ended in which way.
        well: attempts that ended well.
        failures: by seed, what went wrong.
        seconds: that the attempts took, without the preparation.
    """

    ended: Counter[str] = field(default_factory=Counter)
    well: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def attempts(self) -> int:
        return self.well + len(self.failures)


def besiege(
    prepare: Prepare,
    scratch: Path,
    seeds: Iterable[int],
    *,
    limit: float | None = None,
    told: Callable[[int, str], None] | None = None,
    journal: Path | None = None,
) -> Outcome:
    """Run one attempt for each seed, and count how they end.

    Args:
        prepare: sets the scene once in `scratch`, and returns the attack.
        scratch: an empty folder.
        seeds: of the attempts; one alone shows its failure again.
        limit: seconds after which no further attempt begins.
        told: is called with each failure as it happens.
        journal: a file that gets a line for each attempt; attempts that it already holds are counted, not repeated.
    """
    outcome, done = Outcome(), set()
    for attempt in [] if journal is None else _written(journal):
        done.add(attempt[0])
        _count(outcome, *attempt)
    attack, began = prepare(scratch), time.monotonic()
    for seed in seeds:
        if limit is not None and time.monotonic() - began > limit:
            break
        if seed in done:
            continue
        ended: str | list[str] = ""
        failure, started = "", time.monotonic()
        try:
            ended = attack(seed)
        except Enough:
            break
        except Exception as error:  # whatever gets through is what a siege looks for
            failure = f"{type(error).__name__}: {error}"
            if told is not None:
                told(seed, failure)
        attempt = (seed, ended, failure, round(time.monotonic() - started, 3))
        _count(outcome, *attempt)
        if journal is not None:
            with journal.open("a") as file:
                file.write(json.dumps(attempt) + "\n")
    return outcome


def _count(outcome: Outcome, seed: int, ended: str | list[str], failure: str, seconds: float) -> None:
    outcome.seconds += seconds
    if failure:
        outcome.failures[seed] = failure
    else:
        outcome.well += 1
        outcome.ended.update([ended] if isinstance(ended, str) else ended)


def _written(journal: Path) -> list[tuple[int, str | list[str], str, float]]:
    """Return the attempts in a journal; a line that a kill cut short is dropped from it."""
    if not journal.exists():
        return []
    text = journal.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        journal.write_text(whole)
    return [tuple(json.loads(line)) for line in whole.splitlines()]
