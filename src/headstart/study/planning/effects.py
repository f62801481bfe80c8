"""Finds settings that change nothing in any of the runs they were written for: a typing mistake or a wrong idea."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headstart.errors import SpecError
from headstart.models.pixels import NAME as PIXELS
from headstart.study.spec.overrides import OF_EACH
from headstart.study.spec.run import ResolvedStudy, Run
from headstart.study.spec.schema import AS_IS, DISTIL, EPISODIC, TUNED, RunSpec
from headstart.study.spec.settings import ends, head_options, recipe_of
from headstart.transfer.heads.catalogue import HALF, complete

Setting = tuple[str, ...]
_ONLY: dict[str, tuple[str, ...]] = {  # a setting, and the strategies that read it
    "lora_rank": ("lora",),
    "lora_alpha": ("lora",),
    "thaw_every": ("gradual",),
    "probe_epochs": ("lp_ft",),
    "teacher": (DISTIL,),
    "teacher_views": (DISTIL,),
    "temperature": (DISTIL,),
    "hard_labels": (DISTIL,),
    "layer_decay": TUNED,
    "views": ("linear_probe", *(kind for kind in TUNED if kind != "scratch")),
    "freeze_until": TUNED,
    "train_only": ("scratch", "fine_tune", "lp_ft", DISTIL),
}
_OPTIMIZERS = {"momentum": ("sgd", "muon"), "nesterov": ("sgd", "muon")}
_SCHEDULES = {"step_size": ("step", "plateau"), "gamma": ("step", "multistep", "plateau"), "milestones": ("multistep",)}


def check_effects(study: ResolvedStudy) -> None:
    """Refuse a setting that has no effect on any of the runs that it was written for.

    A setting in `defaults`, or beside an `each`, is for several runs: it is refused if it has no effect on any of them.

    Raises:
        SpecError: the run, the setting, why it changes nothing and what to do.
    """
    own: dict[str, list[Run]] = {}
    for run in study.runs:
        own.setdefault(_key(run, study), []).append(run)
    for key, runs in own.items():
        _check(runs, study.spec.runs.get(key) or {})
    _check(study.runs, study.spec.defaults)
    if study.spec.data.unlabelled is not None and all(run.spec.strategy != DISTIL for run in study.runs):
        raise SpecError(
            "data.unlabelled has no effect: no run learns from images without labels; add one with strategy distil"
        )


def _key(run: Run, study: ResolvedStudy) -> str:
    """Return the name in the file of the run, or of the runs that `each` made; "" of one that was made otherwise."""
    name = run.name
    while name and name not in study.spec.runs:
        name = name.rpartition(OF_EACH)[0]
    return name


def _check(runs: list[Run] | tuple[Run, ...], written: Mapping[str, Any]) -> None:
    found = [dict(_idle(run)) for run in runs]
    for setting in _settings(written):
        whys = [idle.get(setting) or idle.get(setting[:1]) for idle in found]
        if whys and all(whys):
            raise SpecError(f"{runs[0].called}: {'.'.join(setting)} has no effect: {whys[0]}")


def _settings(written: Mapping[str, Any]) -> Iterator[Setting]:
    """Yield the settings that are written, those of a head and of a recipe one by one; an empty one is none."""
    for name, value in written.items():
        if name in ("head", "recipe") and isinstance(value, Mapping):
            yield from ((name, str(key)) for key in value)
        elif value is not None:
            yield (name,)


def _idle(run: Run) -> Iterator[tuple[Setting, str]]:
    """Yield the settings that this run would not read, whatever their value, and why."""
    spec = run.spec
    kind = spec.strategy
    if kind == AS_IS:
        names = (*_ONLY, "refit", "shots", "fraction", "truncate_at")
        yield from (((name,), "strategy 'as_is' learns nothing; drop it") for name in names)
        return
    if spec.episodes is not None:
        yield from _idle_in_episodes(spec)
        return
    frozen = f"strategy {kind!r} fits a head on stored features and trains no stage; drop it, or use fine_tune"
    for name, strategies in _ONLY.items():
        if spec.head_kind is not None:
            yield (name,), frozen
        elif kind not in strategies:
            yield (name,), f"strategy {kind!r} does not read it; drop it, or use {' or '.join(strategies)}"
    if spec.backbone == PIXELS:
        yield ("truncate_at",), "backbone 'pixels' has no stages; drop it"
        if spec.weights.name is None:
            yield ("weights",), "backbone 'pixels' has no weights; drop it"
    if spec.head_kind is None:
        yield ("head",), f"strategy {kind!r} trains the head with the network; use recipe, or drop it"
    yield from _idle_of_training(run)


def _idle_in_episodes(spec: RunSpec) -> Iterator[tuple[Setting, str]]:
    for name in (*_ONLY, "head", "refit", "shots", "fraction"):
        yield (name,), "episodes do not read it; drop it, or set what is in episodes"
    if spec.strategy not in EPISODIC:
        yield ("recipe",), "the network of these episodes is not trained first; set episodes.options, or drop it"


def _idle_of_training(run: Run) -> Iterator[tuple[Setting, str]]:
    """Yield what the optimiser and the schedule do not read, in any of the configurations that are tried."""
    if run.spec.head_kind not in (None, "sgd"):
        return
    try:
        optimizers, schedules = _rules(run)
    except SpecError:  # what cannot be is said where settings are checked
        return
    for what, used, known in (("optimizer", optimizers, _OPTIMIZERS), ("schedule", schedules, _SCHEDULES)):
        for name, readers in known.items():
            if not used & set(readers):
                why = f"{what} {'/'.join(sorted(used))} does not read it; drop it, or set {what}: {readers[0]}"
                yield from (((block, name), why) for block in ("head", "recipe"))


def _rules(run: Run) -> tuple[set[str], set[str]]:
    """Return the optimisers and the schedules of all configurations of a run that is trained by gradients."""
    if run.spec.head_kind == "sgd":
        options = complete("sgd", {key: value for key, value in head_options(run).items() if key != HALF})
        return _several(options["optimizer"]), _several(options["schedule"])
    recipes = [recipe_of(run.with_values(values)) for values in [*run.configurations(), *ends(run)]]
    return {each.optimizer for each in recipes}, {each.schedule for each in recipes}


def _several(value: Any) -> set[str]:
    return set(map(str, value)) if isinstance(value, (list, tuple)) else {str(value)}
