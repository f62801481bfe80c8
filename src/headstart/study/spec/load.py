"""Reads a study file into runs: `each` expands into several runs, `grid` and `search` become choices."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from headstart.errors import SpecError, unknown_name
from headstart.study.spec.markers import choices_of, find_markers, merged
from headstart.study.spec.overrides import take_out, without
from headstart.study.spec.references import check_references
from headstart.study.spec.relative_paths import from_folder
from headstart.study.spec.run import Choice, ResolvedStudy, Run, set_at
from headstart.study.spec.schema import RunSpec, StudySpec, validate
from headstart.study.spec.yaml_lines import Path as KeyPath
from headstart.study.spec.yaml_lines import load_yaml

AXES = ("shots", "fraction")  # a list under one of these keys is an axis, as `each` is


def load_study(
    place: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, smoke: bool = False
) -> ResolvedStudy:
    """Read a study from a YAML file (or a mapping), with `key=value` overrides, and check all of it.

    An override `~runs.NAME` (or `runs.NAME=null`) excludes a run.

    Raises:
        SpecError: one line with the place, the fault and the nearest valid word.
    """
    raw, lines, text, name = _read(place)
    if not isinstance(raw, dict):
        raise SpecError(f"{name}: a study file is a mapping with name, data and runs; this one is {type(raw).__name__}")
    if smoke:
        raw = _small_form(raw)
    settings, left_out = take_out(overrides, raw.get("runs") or {})
    for override in settings:
        raw = _override(raw, override)
    spec = validate(StudySpec, raw, name=name, at=(), lines=lines)
    runs = [run for key, value in spec.runs.items() for run in _expand(key, value, spec, name, lines)]
    _check_names(runs, spec, name)
    check_references(spec, runs, name)
    runs = without(runs, left_out, spec.compare.baseline)
    return ResolvedStudy(spec, tuple(_ordered(runs, name)), text, name)


def _read(place: str | Path | Mapping[str, Any]) -> tuple[Any, dict[KeyPath, int], str, str]:
    if isinstance(place, Mapping):
        return copy.deepcopy(dict(place)), {}, yaml.safe_dump(dict(place), sort_keys=False), "study"
    path = Path(place)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(f"{path}: no such study file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot read this study file ({error})") from error
    value, lines = load_yaml(text, str(path))
    return from_folder(value, path.absolute().parent), lines, text, str(path)


def _small_form(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the study with its smoke block applied; it has a name of its own, so that no result is overwritten."""
    smoke = raw.get("smoke")
    if not smoke or not isinstance(raw.get("name"), str):
        return raw
    return merged({**raw, "name": f"{raw['name']} smoke"}, smoke)


def _override(raw: dict[str, Any], override: str) -> dict[str, Any]:
    key, sign, text = override.partition("=")
    if not sign or not key:
        raise SpecError(f"{override!r}: write an override as key=value, such as defaults.recipe.lr=0.1")
    changed = copy.deepcopy(raw)
    parts = key.split(".")
    if parts[0] == "data" and isinstance(changed.get("data"), str) and len(parts) > 1:
        changed["data"] = {"source": changed["data"]}
    try:
        set_at(changed, parts, yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise SpecError(f"{override!r}: the value is not YAML") from error
    return changed


def _expand(key: str, value: Mapping[str, Any], spec: StudySpec, name: str, lines: dict[KeyPath, int]) -> Iterator[Run]:
    raw = merged(spec.defaults, value or {})
    trials = raw.pop("trials", 20)
    if not isinstance(trials, int) or trials < 1:
        raise SpecError(f"{name}: run {key!r}: trials must be a whole number of at least 1, not {trials!r}")
    for axis in AXES:
        if isinstance(raw.get(axis), list):
            raw[axis] = {"each": raw[axis]}
    axes = list(find_markers(raw, "each", key, name))
    for values in itertools.product(*(candidates for _, candidates in axes)):
        single = copy.deepcopy(raw)
        for (path, _), chosen in zip(axes, values, strict=True):
            set_at(single, path, chosen)
        choices = choices_of(single, key, name)
        named = {".".join(path): chosen for (path, _), chosen in zip(axes, values, strict=True)}
        label = " · ".join([key, *(_shown(path, chosen) for path, chosen in named.items())])
        checked = _check_run(single, choices, key, name, lines)
        yield Run(label, checked, checked.data or spec.data, choices, named, trials, spec.compare.metric)


def _shown(path: str, value: Any) -> str:
    last = path.rsplit(".", 1)[-1]
    if isinstance(value, str) and last not in AXES:
        return value
    if isinstance(value, Mapping):
        return " ".join(str(v) for v in value.values())
    if isinstance(value, list):
        return "+".join(str(v) for v in value) or "none"
    return f"{last} {value}"


def _check_run(
    single: dict[str, Any], choices: Sequence[Choice], run: str, name: str, lines: dict[KeyPath, int]
) -> RunSpec:
    at: KeyPath = ("runs", run)
    extra = {("runs", run, *path[1:]): line for path, line in lines.items() if path[:1] == ("defaults",)}
    known = {**extra, **lines}  # a setting that comes from `defaults` has its line there
    checked = validate(RunSpec, single, name=name, at=at, lines=known)
    for choice in choices:
        for value in choice.values:
            variant = copy.deepcopy(single)
            set_at(variant, choice.path, value)
            validate(RunSpec, variant, name=name, at=at, lines=known)
    return checked


def _check_names(runs: Sequence[Run], spec: StudySpec, name: str) -> None:
    names = [run.name for run in runs]
    for double in {n for n in names if names.count(n) > 1}:
        raise SpecError(f"{name}: two runs are named {double!r}")
    for run in runs:
        if run.needs is not None and run.needs not in names:
            raise SpecError(f"{name}: run {run.name!r} starts from {unknown_name('run', run.needs, names)}")
    if spec.compare.baseline is not None and spec.compare.baseline not in names:
        raise SpecError(f"{name}: compare.baseline: {unknown_name('run', spec.compare.baseline, names)}")


def _ordered(runs: Sequence[Run], name: str) -> list[Run]:
    """Return the runs, each after the one that it starts from."""
    done: list[Run] = []
    waiting = list(runs)
    while waiting:
        ready = [run for run in waiting if run.needs is None or run.needs in {r.name for r in done}]
        if not ready:
            raise SpecError(f"{name}: runs start from one another in a circle: {', '.join(r.name for r in waiting)}")
        done.extend(ready)
        waiting = [run for run in waiting if run not in ready]
    return done
