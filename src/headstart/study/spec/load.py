"""Reads a study file into runs: `each` expands into several runs, `grid` and `search` become choices."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from headstart.errors import SpecError, unknown_name
from headstart.progress import say
from headstart.study.spec.counts import AXES, MAX_TRIALS, check_configurations, check_counts
from headstart.study.spec.markers import choices_of, find_markers, merged
from headstart.study.spec.networks import networks_of, with_networks, with_weights
from headstart.study.spec.overrides import take_out, without
from headstart.study.spec.references import check_references
from headstart.study.spec.relative_paths import from_folder
from headstart.study.spec.run import Choice, ResolvedStudy, Run, set_at
from headstart.study.spec.schema import RunSpec, StudySpec
from headstart.study.spec.teachers import teachers_of
from headstart.study.spec.validation import validate
from headstart.study.spec.yaml_lines import Path as KeyPath
from headstart.study.spec.yaml_lines import load_yaml, place_of, place_of_run, with_defaults, with_override


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
        found = "empty" if raw is None else "a list" if isinstance(raw, list) else "a single value"
        raise SpecError(f"{name}: a study file is a mapping with name, data and runs; this one is {found}")
    if smoke:
        raw = _small_form(raw, name, lines)
    settings, left_out = take_out(overrides, _mapping(raw, "runs", name, lines))
    for override in settings:
        raw = _override(raw, override)
        lines = with_override(lines, tuple(override.partition("=")[0].split(".")), override)
    spec = validate(StudySpec, raw, name=name, at=(), lines=lines)
    networks = networks_of(spec, place_of(name, ("networks",), lines))
    each = spec.model_copy(update={"runs": with_networks(spec, networks)})
    check_counts(each, name, lines)
    runs = [run for key, value in each.runs.items() for run in _expand(key, value, each, networks, name, lines)]
    _check_names(runs, spec, name, lines)
    check_references(spec, runs, name, lines)
    taught = teachers_of(spec, runs, name, lines)
    runs = without(runs, left_out, spec.compare.baseline, taught)
    return ResolvedStudy(spec, tuple(_ordered(runs, taught, name)), text, name)


def _read(place: str | Path | Mapping[str, Any]) -> tuple[Any, dict[KeyPath, int], str, str]:
    if isinstance(place, Mapping):
        return copy.deepcopy(dict(place)), {}, yaml.safe_dump(dict(place), sort_keys=False), "study"
    path = Path(place)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(f"{path}: no such study file") from None
    except IsADirectoryError:
        raise SpecError(
            f"{path}: is a folder, not a study file; to compare networks on the images in it: headstart compare {path}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot read this study file ({error})") from error
    value, lines = load_yaml(text, str(path))
    return from_folder(value, path.absolute().parent), lines, text, str(path)


def _small_form(raw: dict[str, Any], name: str, lines: dict[KeyPath, int]) -> dict[str, Any]:
    """Return the study with its smoke block applied; it has a name of its own, so that no result is overwritten."""
    smoke = _mapping(raw, "smoke", name, lines)
    if not smoke:
        say(f"{name}: has no smoke block, so its small form is the whole study")
    if not smoke or not isinstance(raw.get("name"), str):
        return raw
    return merged({**raw, "name": f"{raw['name']}-smoke"}, smoke)


def _mapping(raw: Mapping[Any, Any], key: str, name: str, lines: dict[KeyPath, int]) -> Mapping[Any, Any]:
    """Return the mapping under a key that is used before the file is validated; {} where there is none."""
    value = raw.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise SpecError(f"{place_of(name, (key,), lines)}: {key} is a mapping, not {value!r:.40}")
    return value or {}


def _override(raw: dict[str, Any], override: str) -> dict[str, Any]:
    key, sign, text = override.partition("=")
    if not sign or not key:
        raise SpecError(f"{override!r}: write an override as key=value, such as defaults.recipe.lr=0.1")
    changed = copy.deepcopy(raw)
    parts = key.split(".")
    if parts[0] == "data" and isinstance(changed.get("data"), str) and len(parts) > 1:
        changed["data"] = {"source": changed["data"]}
    try:
        value, _ = load_yaml(text, "the value")
    except SpecError as error:
        raise SpecError(f"{override!r:.200}: the value is not YAML ({error})") from error
    set_at(changed, parts, value)
    return changed


def _expand(
    key: str,
    value: Mapping[str, Any],
    spec: StudySpec,
    networks: Mapping[str, str],
    name: str,
    lines: dict[KeyPath, int],
) -> Iterator[Run]:
    raw = merged(spec.defaults, value or {})
    trials = raw.pop("trials", 20)
    if isinstance(trials, bool) or not isinstance(trials, int) or not 1 <= trials <= MAX_TRIALS:
        place = place_of(name, ("runs", key, "trials"), with_defaults(key, lines))
        raise SpecError(f"{place}: run {key!r}: trials must be between 1 and {MAX_TRIALS:,}, not {trials!r:.40}")
    for axis in AXES:
        if isinstance(raw.get(axis), list):
            raw[axis] = {"each": raw[axis]}
    where = place_of_run(name, key, lines)
    axes = list(find_markers(raw, "each", key, where))
    for values in itertools.product(*(candidates for _, candidates in axes)):
        single = copy.deepcopy(raw)
        for (path, _), chosen in zip(axes, values, strict=True):
            set_at(single, path, chosen)
        single = with_weights(single, networks)
        choices = choices_of(single, key, where)
        grids = [(choice.path, choice.values) for choice in choices]
        check_configurations(key, grids, name, lines)
        named = {".".join(path): chosen for (path, _), chosen in zip(axes, values, strict=True)}
        label = " · ".join([key, *(_shown(path, chosen) for path, chosen in named.items())])
        checked = _check_run(single, choices, key, name, lines)
        yield Run(
            label,
            checked,
            checked.data or spec.data,
            choices,
            named,
            trials,
            spec.compare.metric,
            where if lines else "",
            key,
        )


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
    known = with_defaults(run, lines)
    checked = validate(RunSpec, single, name=name, at=at, lines=known)
    for choice in choices:
        for value in choice.values:
            variant = copy.deepcopy(single)
            set_at(variant, choice.path, value)
            validate(RunSpec, variant, name=name, at=at, lines=known)
    return checked


def _check_names(runs: Sequence[Run], spec: StudySpec, name: str, lines: dict[KeyPath, int]) -> None:
    names = Counter(run.name for run in runs)
    for double in (each for each, count in names.items() if count > 1):
        raise SpecError(f"{name}: two runs are named {double!r:.100}")
    for run in runs:
        if run.needs is not None and run.needs not in names:
            where = place_of(name, ("runs", run.key, "weights"), with_defaults(run.key, lines))
            raise SpecError(f"{where}: run {run.name!r} starts from {unknown_name('run', run.needs, names)}")
    if spec.compare.baseline is not None and spec.compare.baseline not in names:
        where = place_of(name, ("compare", "baseline"), lines)
        raise SpecError(f"{where}: compare.baseline: {unknown_name('run', spec.compare.baseline, names)}")


def _ordered(runs: Sequence[Run], taught: Mapping[str, Sequence[str]], name: str) -> list[Run]:
    """Return the runs with their teachers, each after those that it starts or learns from."""
    done: list[Run] = []
    names: dict[str, Run] = {}
    waiting = list(runs)
    while waiting:
        ready = [run for run in waiting if {*run.sources, *taught.get(run.name, ())} <= names.keys()]
        ready = [replace(run, teachers=tuple(names[each] for each in taught.get(run.name, ()))) for run in ready]
        if not ready:
            circle = ", ".join(run.name for run in waiting[:10])
            raise SpecError(f"{name}: runs start or learn from one another in a circle: {circle}")
        names.update((run.name, run) for run in ready)
        waiting = [run for run in waiting if run.name not in names]
        done.extend(ready)
    return done
