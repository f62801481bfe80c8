"""Mutated study files: text damaged byte by byte, and values of any type at any key."""

from __future__ import annotations

import random
from pathlib import Path

import yaml

from headstart.study.spec.load import load_study
from headstart.study.spec.settings import check_settings
from tests.siege.guarded import Guarded
from tests.siege.mutators import damaged
from tests.siege.siege import Attack
from tests.study.spec.test_properties import PLACES, STUDY, WRONG, with_value


def prepare(scratch: Path) -> Attack:
    """Return the attack on the readers of study files."""
    text = yaml.safe_dump(STUDY, sort_keys=False).encode()
    path = scratch / "study.yaml"

    def work(given: tuple[bytes | None, list[int], list[int]]) -> str:
        data, places, values = given
        study = STUDY
        for place, value in zip(places, values, strict=True):
            try:
                study = with_value(study, PLACES[place], WRONG[value])
            except (KeyError, IndexError, TypeError, AttributeError):  # an earlier value took this place away
                continue
        if data is not None:
            path.write_bytes(data)
        for run in load_study(study if data is None else path).runs:
            check_settings(run, None)
        return "read"

    guarded = Guarded(work)

    def attack(seed: int) -> str:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            return guarded((damaged(text, rng), [], []))
        count = rng.randint(1, 3)
        places = [rng.randrange(len(PLACES)) for _ in range(count)]
        return guarded((None, places, [rng.randrange(len(WRONG)) for _ in range(count)]))

    return attack
