from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import SpecError
from headstart.study.spec.counts import AXES, MAX_CONFIGURATIONS, MAX_FITS, MAX_RUNS, MAX_TRIALS
from headstart.study.spec.load import load_study

HEAD = "name: s\ndata: somewhere\n"
TEN = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"
GRIDS = "".join(f"      k{number}: {{MARK: {TEN}}}\n" for number in range(7))


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("seeds: 1000000000\nruns: {a: {}}\n", 3, "seeds"),
        ("seeds: [-1]\nruns: {a: {}}\n", 3, "seeds"),
        ("runs:\n  a:\n    recipe:\n" + GRIDS.replace("MARK", "each"), 4, "10,000,000 runs or more"),
        ("runs:\n  a:\n    recipe:\n" + GRIDS.replace("MARK", "grid"), 12, "10,000,000 configurations"),
        ("runs:\n  a: {trials: 1000000000}\n", 4, "trials must be between 1 and 10,000"),
        (f"runs:\n  a: {{shots: {list(range(1, 2002))}}}\n", 4, "2,001 runs or more"),
        (f"seeds: 1000\nruns:\n  a: {{shots: {list(range(1, 102))}}}\n", 3, "101 runs with 1,000 seeds are 101,000"),
        ("runs: {a: {input_size: 1000000}}\n", 3, "input_size"),
    ],
)
def test_too_many_are_refused_by_line_within_a_second(text: str, line: int, says: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + text)
    began = time.process_time()
    with pytest.raises(SpecError, match=rf"line {line}: .*{says}") as told:
        load_study(path)
    assert time.process_time() - began < 1
    assert "\n" not in str(told.value)


def test_as_many_as_are_possible_are_read() -> None:
    def study(**settings: Any) -> int:
        return len(load_study({"name": "s", "data": "d", "runs": {"a": settings}}).runs)

    assert study(shots=list(range(1, 201))) == 200
    assert study(head={"k": {"grid": list(range(MAX_CONFIGURATIONS // 100))}}) == 1
    assert study(trials=MAX_TRIALS) == 1
    assert (AXES, MAX_RUNS, MAX_FITS) == (("shots", "fraction"), 2_000, 100_000)
