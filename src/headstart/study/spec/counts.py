"""How many runs, seeds and configurations a study file asks for, counted before they are made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.errors import SpecError
from headstart.study.spec.markers import find_markers, merged
from headstart.study.spec.schema import StudySpec
from headstart.study.spec.yaml_lines import Path as KeyPath
from headstart.study.spec.yaml_lines import place_of, place_of_run, with_defaults

AXES = ("shots", "fraction")  # a list under one of these keys is an axis, as `each` is
MAX_RUNS = 2_000
MAX_FITS = 100_000  # runs times seeds
MAX_CONFIGURATIONS = 10_000  # of one run
MAX_TRIALS = 10_000


def check_counts(spec: StudySpec, name: str, lines: Mapping[KeyPath, int]) -> None:
    """Refuse a study of more runs, or of more runs times seeds, than anybody can wait for or read about.

    Raises:
        SpecError: with the line, the numbers and the bound.
    """
    total = 0
    for key, value in spec.runs.items():
        raw = merged(spec.defaults, value or {})
        axes = [len(raw[axis]) for axis in AXES if isinstance(raw.get(axis), list)]
        total += math.prod(axes) * math.prod(len(values) for _, values in find_markers(raw, "each", key, name))
        if total > MAX_RUNS:
            where = place_of_run(name, key, lines)
            raise SpecError(f"{where}: the study has {total:,} runs or more, and at most {MAX_RUNS:,} are possible")
    fits = total * len(spec.seed_list)
    if fits > MAX_FITS:
        where = place_of(name, ("seeds",), lines)
        raise SpecError(
            f"{where}: {total:,} runs with {len(spec.seed_list):,} seeds are {fits:,} fits; at most {MAX_FITS:,}"
        )


def check_configurations(
    run: str, grids: Sequence[tuple[tuple[str, ...], Sequence[Any]]], name: str, lines: Mapping[KeyPath, int]
) -> None:
    """Refuse grids whose combinations are too many.

    Raises:
        SpecError: with the line of the last grid.
    """
    count = math.prod(max(1, len(values)) for _, values in grids)
    if count > MAX_CONFIGURATIONS:
        where = place_of(name, ("runs", run, *grids[-1][0]), with_defaults(run, lines))
        raise SpecError(
            f"{where}: run {run!r:.80} has {count:,} configurations, and at most {MAX_CONFIGURATIONS:,} are possible"
        )
