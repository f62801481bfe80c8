"""Finds, checks and expands `each`, `grid` and `search` in a study file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from headstart.errors import SpecError, unknown_name
from headstart.study.spec.run import Choice, set_at


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `over` into `base`: mappings merge; weights, markers such as grid and all other values replace."""
    found: dict[str, Any] = dict(base)
    for key, value in over.items():
        old: Any = found.get(key)
        both = key != "weights" and isinstance(old, Mapping) and isinstance(value, Mapping)
        found[key] = merged(old, value) if both and not _is_marker(value) and not _is_marker(old) else value
    return found


def _is_marker(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in ("each", "grid", "search")


def find_markers(
    raw: Any, kind: str, run: str, name: str, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Yield the path and the values of each marker of one kind, in the order of the file.

    Raises:
        SpecError: a marker has no values.
    """
    if not isinstance(raw, Mapping):
        return
    if _is_marker(raw) and kind in raw:
        if not isinstance(raw[kind], list) or not raw[kind]:
            raise SpecError(f"{name}: run {run!r}: {'.'.join(path)}: {kind} needs a list with at least one value")
        yield path, raw[kind]
        return
    for key, value in raw.items():
        yield from find_markers(value, kind, run, name, (*path, str(key)))


def choices_of(single: dict[str, Any], run: str, name: str) -> tuple[Choice, ...]:
    """Return the choices of a run, and replace each in `single` with its first candidate."""
    choices = [Choice(path, tuple(values)) for path, values in find_markers(single, "grid", run, name)]
    for path, bounds in _searches(single):
        choices.append(Choice(path, (), _check_range(bounds, f"{name}: run {run!r}: {'.'.join(path)}")))
    for choice in choices:
        first = (
            choice.values[0]
            if choice.search is None
            else choice.search.get("low", choice.search.get("choices", [None])[0])
        )
        set_at(single, choice.path, first)
    return tuple(choices)


def _searches(raw: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(raw, Mapping):
        return
    if _is_marker(raw) and "search" in raw:
        yield path, raw["search"]
        return
    for key, value in raw.items():
        yield from _searches(value, (*path, str(key)))


def _check_range(bounds: Any, where: str) -> Mapping[str, Any]:
    if isinstance(bounds, list) and len(bounds) == 2:
        bounds = {"low": bounds[0], "high": bounds[1]}
    if not isinstance(bounds, Mapping):
        raise SpecError(f"{where}: a search is [low, high], or {{low, high, log}}, or {{choices: [...]}}")
    unknown = set(bounds) - {"low", "high", "log", "step", "choices"}
    if unknown:
        raise SpecError(f"{where}: {unknown_name('key', unknown.pop(), ('low', 'high', 'log', 'step', 'choices'))}")
    if "choices" in bounds:
        if not isinstance(bounds["choices"], list) or not bounds["choices"]:
            raise SpecError(f"{where}: choices needs a list with at least one value")
        return dict(bounds)
    low, high = bounds.get("low"), bounds.get("high")
    if not all(_is_number(x) for x in (low, high)) or not low < high:  # type: ignore[operator]
        raise SpecError(f"{where}: a range needs low < high, both numbers; got low {low!r}, high {high!r}")
    if bounds.get("log") and low <= 0:  # type: ignore[operator]
        raise SpecError(f"{where}: a log range needs low > 0, got {low!r}")
    step = bounds.get("step")
    if step is not None and (not _is_number(step) or not 0 < step <= high - low):  # type: ignore[operator]
        raise SpecError(f"{where}: step must be above 0 and at most {high - low!r}, got {step!r}")  # type: ignore[operator]
    return dict(bounds)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
