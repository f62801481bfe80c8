"""Limits: a disk that is full or read-only, and ulimit -f, -n, -v, from some point of a study on.

The study ends with one line; without the limit, the next run gives the same bits and leaves nothing stale.
"""

from __future__ import annotations

import errno
import os
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.siege.forked import Ended, run_forked
from tests.siege.rehearsal import Attempt, check_same, rehearsed
from tests.siege.siege import Attack, Broken

_CALLS = ("fsync", "replace", "mkdir", "posix_fallocate", "link")  # of `os`: where a study writes
_MANY = 160  # of these calls: about as many as the study makes


def _failing(number: int, draw: random.Random) -> None:
    """Let every call that writes fail with this error from a random one on."""
    left = draw.randrange(_MANY)

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **how: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(number, os.strerror(number), str(given[0]) if isinstance(given[0], Path) else None)
            return real(*given, **how)

        return call

    for name in _CALLS:
        setattr(os, name, wrapped(getattr(os, name)))


def _limited(kind: int, value: int) -> None:
    _, most = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, most))


def _memory(draw: random.Random) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _limited(resource.RLIMIT_AS, used + draw.randrange(1 << 20, 60 << 20))


LIMITS: dict[str, Callable[[random.Random], None]] = {
    "disk full": lambda draw: _failing(errno.ENOSPC, draw),
    "read-only": lambda draw: _failing(errno.EROFS, draw),
    "ulimit -f": lambda draw: _limited(resource.RLIMIT_FSIZE, int(2 ** draw.uniform(0, 19))),
    "ulimit -n": lambda draw: _limited(
        resource.RLIMIT_NOFILE, len(list(Path("/proc/self/fd").iterdir())) + draw.randrange(12)
    ),
    "ulimit -v": _memory,
}


def prepare(scratch: Path) -> Attack:
    """Run the study once without a limit."""
    rehearsal = rehearsed(scratch)

    def attempt(one: Attempt) -> str:
        limit = sorted(LIMITS)[one.seed % len(LIMITS)]

        def limited() -> None:
            LIMITS[limit](one.draw)
            one.study()

        how = _ended_well(run_forked(limited), limit)
        one.finish(limit)
        check_same(one.place, rehearsal.wanted, f"{limit}: afterwards ")
        return f"{limit}: {how}"

    return rehearsal.attack(attempt)


def _ended_well(ended: Ended, limit: str) -> str:
    lines = [line for line in ended.said.splitlines() if line.startswith("headstart: ")]
    if ended.status == 0:
        return "not reached"
    if ended.status != 2 or len(lines) != 1 or "Traceback" in ended.said:
        raise Broken(f"{limit}: ended with {ended.status}: {ended.said[-2000:]}")
    return "one line"
