"""From a study file to single runs: `each` multiplies into runs, `grid` and `search` become choices."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from headstart.errors import SpecError, unknown_name
from headstart.study.leave_out import take_out, without
from headstart.study.references import check_references
from headstart.study.spec import DataSpec, RunSpec, StudySpec, validate
from headstart.study.yaml_lines import Path as KeyPath
from headstart.study.yaml_lines import load_yaml

AXES = ("shots", "fraction")  # a list under one of these keys is an axis, as `each` is


@dataclass(frozen=True)
class Choice:
    """One setting that is chosen on validation.

    Args:
        path: where it stands in the run, such as ("recipe", "lr").
        values: the candidates of a grid, or () for a search range.
        search: {"low", "high", "log", "step"} of a range, or None.
    """

    path: tuple[str, ...]
    values: tuple[Any, ...] = ()
    search: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Run:
    """One run of the study, the same for all its seeds.

    Args:
        name: unique in the study.
        spec: its settings; where something is chosen, the first candidate stands.
        data: its images.
        choices: what is chosen on validation.
        axes: the values that `each`, `shots` or `fraction` gave it, by path.
        trials: how many configurations a `search` may try.
    """

    name: str
    spec: RunSpec
    data: DataSpec
    choices: tuple[Choice, ...] = ()
    axes: Mapping[str, Any] = field(default_factory=dict)
    trials: int = 20

    @property
    def needs(self) -> str | None:
        """The run whose network this one starts from, or None."""
        return self.spec.weights.run

    @property
    def searches(self) -> bool:
        """Say whether a setting is searched for in a range."""
        return any(choice.search for choice in self.choices)

    @property
    def tries(self) -> int:
        """How many configurations are tried."""
        return self.trials if self.searches else len(self.configurations())

    def configurations(self) -> list[dict[tuple[str, ...], Any]]:
        """Return every combination of the grid's values, in order (one empty combination without a grid)."""
        grids = [choice for choice in self.choices if choice.search is None]
        products = itertools.product(*(choice.values for choice in grids))
        return [dict(zip((choice.path for choice in grids), values, strict=True)) for values in products]

    def with_values(self, values: Mapping[tuple[str, ...], Any]) -> RunSpec:
        """Return the settings with these choices put in."""
        raw = self.spec.model_dump()
        for path, value in values.items():
            _set(raw, path, value)
        return RunSpec.model_validate(raw)


@dataclass(frozen=True)
class Study:
    """A study file, read and multiplied out: what is to be computed, before any computing."""

    spec: StudySpec
    runs: tuple[Run, ...]
    source: str
    file: str

    def run(self, name: str) -> Run:
        """Return the run of that name."""
        return next(run for run in self.runs if run.name == name)


def load_study(place: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, smoke: bool = False) -> Study:
    """Read a study from a YAML file (or a mapping), with `key=value` overrides, and check all of it.

    An override `~runs.NAME` (or `runs.NAME=null`) leaves a run out.

    Raises:
        SpecError: one line with the place, what is wrong and the nearest valid word.
    """
    raw, lines, text, name = _read(place)
    if not isinstance(raw, dict):
        raise SpecError(f"{name}: a study file is a mapping with name, data and runs; this one is {type(raw).__name__}")
    if smoke:
        raw = _merge(raw, raw.get("smoke") or {})
    settings, left_out = take_out(overrides, raw.get("runs") or {})
    for override in settings:
        raw = _override(raw, override)
    spec = validate(StudySpec, raw, name=name, at=(), lines=lines)
    runs = [run for key, value in spec.runs.items() for run in _expand(key, value, spec, name, lines)]
    _check_names(runs, spec, name)
    check_references(spec, runs, name)
    runs = without(runs, left_out, spec.compare.baseline)
    return Study(spec, tuple(_ordered(runs, name)), text, name)


def _read(place: str | Path | Mapping[str, Any]) -> tuple[Any, dict[KeyPath, int], str, str]:
    if isinstance(place, Mapping):
        return copy.deepcopy(dict(place)), {}, yaml.safe_dump(dict(place), sort_keys=False), "study"
    path = Path(place)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(f"{path}: no such study file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: this study file cannot be read ({error})") from error
    value, lines = load_yaml(text, str(path))
    return value, lines, text, str(path)


def _override(raw: dict[str, Any], override: str) -> dict[str, Any]:
    key, sign, text = override.partition("=")
    if not sign or not key:
        raise SpecError(f"{override!r}: an override is written key=value, such as defaults.recipe.lr=0.1")
    changed = copy.deepcopy(raw)
    parts = key.split(".")
    if parts[0] == "data" and isinstance(changed.get("data"), str) and len(parts) > 1:
        changed["data"] = {"source": changed["data"]}
    try:
        _set(changed, parts, yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise SpecError(f"{override!r}: the value is not YAML") from error
    return changed


def _set(target: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        inner = target.get(part)
        target[part] = inner = dict(inner) if isinstance(inner, Mapping) else {}
        target = inner
    target[path[-1]] = value


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `over` on `base`: mappings merge; everything else, markers such as grid, and weights replace."""
    merged: dict[str, Any] = dict(base)
    for key, value in over.items():
        old: Any = merged.get(key)
        both = key != "weights" and isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both and not _is_marker(value) and not _is_marker(old) else value
    return merged


def _is_marker(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in ("each", "grid", "search")


def _expand(key: str, value: Mapping[str, Any], spec: StudySpec, name: str, lines: dict[KeyPath, int]) -> Iterator[Run]:
    raw = _merge(spec.defaults, value or {})
    trials = raw.pop("trials", 20)
    if not isinstance(trials, int) or trials < 1:
        raise SpecError(f"{name}: run {key!r}: trials must be a whole number of at least 1, not {trials!r}")
    for axis in AXES:
        if isinstance(raw.get(axis), list):
            raw[axis] = {"each": raw[axis]}
    axes = list(_markers(raw, "each", key, name))
    for values in itertools.product(*(candidates for _, candidates in axes)):
        single = copy.deepcopy(raw)
        for (path, _), chosen in zip(axes, values, strict=True):
            _set(single, path, chosen)
        choices = _choices(single, key, name)
        named = {".".join(path): chosen for (path, _), chosen in zip(axes, values, strict=True)}
        label = " · ".join([key, *(_shown(path, chosen) for path, chosen in named.items())])
        checked = _check_run(single, choices, key, name, lines)
        yield Run(label, checked, checked.data or spec.data, choices, named, trials)


def _shown(path: str, value: Any) -> str:
    last = path.rsplit(".", 1)[-1]
    if isinstance(value, str) and last not in AXES:
        return value
    if isinstance(value, Mapping):
        return " ".join(str(v) for v in value.values())
    if isinstance(value, list):
        return "+".join(str(v) for v in value) or "none"
    return f"{last} {value}"


def _markers(
    raw: Any, kind: str, run: str, name: str, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    if not isinstance(raw, Mapping):
        return
    if _is_marker(raw) and kind in raw:
        if not isinstance(raw[kind], list) or not raw[kind]:
            raise SpecError(f"{name}: run {run!r}: {'.'.join(path)}: {kind} needs a list with at least one value")
        yield path, raw[kind]
        return
    for key, value in raw.items():
        yield from _markers(value, kind, run, name, (*path, str(key)))


def _choices(single: dict[str, Any], run: str, name: str) -> tuple[Choice, ...]:
    """Find the choices of a run and put each one's first candidate in its place."""
    choices = [Choice(path, tuple(values)) for path, values in _markers(single, "grid", run, name)]
    for path, bounds in _searches(single):
        choices.append(Choice(path, (), _check_range(bounds, f"{name}: run {run!r}: {'.'.join(path)}")))
    for choice in choices:
        first = (
            choice.values[0]
            if choice.search is None
            else choice.search.get("low", choice.search.get("choices", [None])[0])
        )
        _set(single, choice.path, first)
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


def _check_run(
    single: dict[str, Any], choices: Sequence[Choice], run: str, name: str, lines: dict[KeyPath, int]
) -> RunSpec:
    at: KeyPath = ("runs", run)
    extra = {("runs", run, *path[1:]): line for path, line in lines.items() if path[:1] == ("defaults",)}
    known = {**extra, **lines}  # a setting taken from `defaults` is pointed at there
    checked = validate(RunSpec, single, name=name, at=at, lines=known)
    for choice in choices:
        for value in choice.values:
            variant = copy.deepcopy(single)
            _set(variant, choice.path, value)
            validate(RunSpec, variant, name=name, at=at, lines=known)
    return checked


def _check_names(runs: Sequence[Run], spec: StudySpec, name: str) -> None:
    names = [run.name for run in runs]
    for double in {n for n in names if names.count(n) > 1}:
        raise SpecError(f"{name}: two runs are both named {double!r}")
    for run in runs:
        if run.needs is not None and run.needs not in names:
            raise SpecError(f"{name}: run {run.name!r} starts from {unknown_name('run', run.needs, names)}")
    if spec.compare.baseline is not None and spec.compare.baseline not in names:
        raise SpecError(f"{name}: compare.baseline: {unknown_name('run', spec.compare.baseline, names)}")


def _ordered(runs: Sequence[Run], name: str) -> list[Run]:
    """Order runs so that each comes after the one it starts from."""
    done: list[Run] = []
    waiting = list(runs)
    while waiting:
        ready = [run for run in waiting if run.needs is None or run.needs in {r.name for r in done}]
        if not ready:
            raise SpecError(f"{name}: runs start from one another in a circle: {', '.join(r.name for r in waiting)}")
        done.extend(ready)
        waiting = [run for run in waiting if run not in ready]
    return done
