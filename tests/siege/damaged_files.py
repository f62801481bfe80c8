"""Attacks on what reads a file: a sound one is damaged, written and read in a guarded process."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.siege.guarded import Guarded
from tests.siege.mutators import damaged
from tests.siege.siege import Attack


def attack_on_files(scratch: Path, sound: Mapping[str, bytes], work: Callable[[Path], str]) -> Attack:
    """Return the attack that damages one of the sound files, by suffix, and has it read."""
    guarded = Guarded(work)

    def attack(seed: int) -> str:
        rng = random.Random(seed)
        suffix = rng.choice(list(sound))
        path = scratch / f"{seed}.{suffix}"
        path.write_bytes(damaged(sound[suffix], rng))
        try:
            return guarded(path)
        finally:
            path.unlink()

    return attack
