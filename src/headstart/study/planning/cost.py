"""Estimates what each stage of a plan costs here: seconds, bytes on disk and peak memory, from short measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from headstart.data.decoding.decode import View
from headstart.data.decoding.image_store import KIND as IMAGES
from headstart.data.decoding.image_store import images_key, stored_key
from headstart.fewshot.finetune_episode import NAME as FINETUNE
from headstart.models.backbone import INPUT, Backbone
from headstart.progress import progress
from headstart.study.planning.checks import starts_fitted
from headstart.study.planning.microbenchmarks import Meter, resident
from headstart.study.planning.plan import Plan, TaskGroup
from headstart.study.resources import Resources
from headstart.study.results.folder import StudyFolder
from headstart.study.results.run_record import KIND as FITS
from headstart.study.spec.schema import EPISODIC, TUNED, EpisodesSpec, WeightsSpec
from headstart.study.spec.settings import (
    WHOLE,
    finetune_options,
    head_options,
    recipe_of,
    strategy_of,
    training_options,
)
from headstart.study.task import Task
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.finetune.routes import Route, activation_bytes, free_bytes, plan_routes
from headstart.transfer.frozen.features import KIND as FEATURES
from headstart.transfer.frozen.features import features_key
from headstart.transfer.frozen.views import view_of
from headstart.transfer.strategy import Resolved, Strategy, resolve


def with_costs(
    rows: Sequence[dict[str, Any]], plan: Plan, resources: Resources, folder: StudyFolder
) -> list[dict[str, Any]]:
    """Return the rows of a plan with "seconds", "disk_bytes", "memory_bytes" and "stages" of every group."""
    forecast = CostModel(resources, folder, Meter(resources.store, resources.device))
    seen: set[str] = set()
    found = []
    with progress("measuring this machine's speed", len(plan.groups), "groups") as ticker:
        for row, group in zip(rows, plan.groups, strict=False):  # rows of unavailable runs follow
            found.append({**row, **forecast.describe(group, seen)})
            ticker.advance()
    return [*found, *rows[len(plan.groups) :]]


STORED = ("stored", "views")  # routes on which training reads cached activations


TASK = 0.1  # seconds to write a run's folder, without its scores


_CLOSING = (2.0, 0.004)  # seconds to finish a study: fixed, and per image (audit, thumbnails, report)


@dataclass(frozen=True)
class Stage:
    """One piece of work.

    Args:
        kind: decode, features, heads, activations, soft labels, training, episodes, scores.
        what: a description.
        seconds, disk, memory: its cost; 0 seconds if it is done. Memory is what it adds to that of the process.
        key: stages with the same key are done once.
        done: its result is cached.
        shared: an earlier stage of the plan does it.
    """

    kind: str
    what: str
    seconds: float
    disk: int = 0
    memory: int = 0
    key: str = ""
    done: bool = False
    shared: bool = False


@dataclass
class CostModel:
    """Estimates the cost of groups of tasks.

    Args:
        resources: shared by all runs.
        folder: of the study; finished runs cost nothing.
        meter: measures what has not been measured before.
    """

    resources: Resources
    folder: StudyFolder
    meter: Meter
    _base: int = field(default_factory=resident)

    def stages(self, group: TaskGroup, seen: set[str] | None = None) -> list[Stage]:
        """Return the stages of a group; those in `seen` are shared with earlier groups. Adds its own keys to `seen`."""
        known = set() if seen is None else seen
        todo = [task for task in group.tasks if not self.folder.has(task.run.name, task.seed, task.key)]
        found = []
        for stage in FORECASTS.get(group.kind, _heads_as_they_are)(self, todo) if todo else []:
            free = stage.done or stage.key in known
            found.append(replace(stage, shared=stage.key in known and not stage.done))
            if free:
                found[-1] = replace(found[-1], seconds=0.0, disk=0)
            if stage.key:
                known.add(stage.key)
        return found

    def seconds(self, group: TaskGroup) -> float:
        """Return the seconds that the remaining work of a group takes."""
        return sum(stage.seconds for stage in self.stages(group))

    def closing(self, groups: Sequence[TaskGroup], audit: bool) -> float:
        """Return the seconds that finishing the study takes after the last run."""
        datasets = {(d := self.resources.dataset(g.first.run.data)).fingerprint: len(d) for g in groups}
        return _CLOSING[0] + _CLOSING[1] * sum(datasets.values()) * (1.0 if audit else 0.2)

    def describe(self, group: TaskGroup, seen: set[str]) -> dict[str, Any]:
        """Return the figures of a group for the plan."""
        stages = self.stages(group, seen)
        return {
            "seconds": sum(stage.seconds for stage in stages),
            "disk_bytes": sum(stage.disk for stage in stages),
            "memory_bytes": self._base + max((stage.memory for stage in stages), default=0),
            "stages": [asdict(stage) for stage in stages],
        }

    # pieces

    def decode(self, task: Task, backbone: Backbone, *, whole: bool = False) -> Stage:
        """Return the stage that decodes the task's images."""
        dataset, view = self.resources.dataset(task.run.data), view_of(backbone.preprocessing, whole=whole)
        key = stored_key(dataset, view)
        done = self.resources.store.has(IMAGES, key)
        each = 0.0 if done else self.meter.decoding(dataset, view)["seconds"]
        side = f"{view.crop} px" if view.crop else f"shorter side {view.resize} px"
        size = 3 * len(dataset) * (view.crop or _wide(view)) ** 2
        return Stage("decode", f"{dataset.name}, {side}", each * len(dataset), size, 0, f"decode {key}", done)

    def features(self, task: Task, backbone: Backbone) -> tuple[Stage, int]:
        """Return the stage that computes features, and the number of features per image."""
        dataset = self.resources.dataset(task.run.data)
        known = task.run.needs is None
        key = (
            self.resources.features_key(task.run.data, task.run.network, task.seed)
            if known
            else f"{task.run.needs} {task.seed}"
        )
        done = known and self.resources.store.has(FEATURES, key)
        if done:
            dim = math.prod(self.resources.store.manifest(FEATURES, key)["shape"][1:])
            return Stage("features", backbone.name, 0.0, key=f"features {key}", done=True), dim
        cost = self.meter.passing(backbone.stages, backbone.preprocessing)
        dim, seconds = math.prod(cost["shape"]), cost["setup"] + cost["seconds"] * len(dataset)
        size = 4 * dim * len(dataset)
        return Stage("features", backbone.name, seconds, size, cost["memory"], f"features {key}"), dim

    def scores(self, tasks: Sequence[Task]) -> Stage:
        """Return the stage that scores these tasks and writes their folders."""
        task = tasks[0]
        dataset = self.resources.dataset(task.run.data)
        rows = len(self.resources.split(task.run.data, task.seed, task.run.subset).test)
        each = TASK + (self.meter.scoring(rows, len(dataset.classes))["seconds"] if not dataset.multi_label else 0)
        what = "1 run" if len(tasks) == 1 else f"{len(tasks)} runs and seeds"
        return Stage("scores", what, each * len(tasks), 40 * rows * len(tasks))

    def backbone(self, task: Task) -> Backbone:
        """Return the task's network; with random weights if another run has yet to produce it."""
        run = task.run
        if run.needs is not None:
            run = replace(run, spec=run.spec.model_copy(update={"weights": WeightsSpec(name="none")}))
        return self.resources.loaded(run.network, task.seed).backbone


def _wide(view: View) -> int:
    """Return the side of a square with as many pixels as a whole image of 4 : 3."""
    return round(view.resize * math.sqrt(4 / 3))


def _heads(forecast: CostModel, tasks: Sequence[Task]) -> list[Stage]:
    resources, first = forecast.resources, tasks[0]
    backbone = forecast.backbone(first)
    passing, dim = forecast.features(first, backbone)
    decoding = forecast.decode(first, backbone)
    fits: dict[str, Stage] = {}
    for task in tasks:
        if resources.store.has(FITS, task.key):
            continue
        kind = task.run.spec.head_kind
        assert kind is not None
        one = _fitting(forecast, task, kind, head_options(task.run), dim)
        sofar = fits.get(kind, replace(one, seconds=0.0, disk=0))
        fits[kind] = replace(sofar, seconds=sofar.seconds + one.seconds, disk=sofar.disk + one.disk)
    return [decoding, passing, *fits.values(), forecast.scores(tasks)]


def _fitting(forecast: CostModel, task: Task, kind: str, options: Mapping[str, Any], dim: int) -> Stage:
    """Return the stage that fits one head on `dim` features per image."""
    dataset, split = (
        forecast.resources.dataset(task.run.data),
        forecast.resources.split(task.run.data, task.seed, task.run.subset),
    )
    rows, classes = len(split.train) + len(split.validation), len(dataset.classes)
    few = forecast.meter.head(kind, options, rows, dim, classes, dataset.multi_label)
    seconds = few["seconds"] + few["slope"] * max(0, rows - few["rows"])
    return Stage("heads", kind, seconds, 4 * dim * classes, 10 * dim * len(dataset))


def _tune(forecast: CostModel, tasks: Sequence[Task]) -> list[Stage]:
    found: list[Stage] = []
    for task in tasks:
        if task.run.spec.strategy not in (*TUNED, "linear_probe"):
            found += _heads_as_they_are(forecast, [task])
            continue
        if not forecast.resources.store.has(FITS, task.key):
            found += _training(forecast, task)
        found.append(forecast.scores([task]))
    return found


def _training(forecast: CostModel, task: Task) -> list[Stage]:
    resources, spec = forecast.resources, task.run.spec
    backbone, recipe, strategy = forecast.backbone(task), recipe_of(spec), strategy_of(spec)
    dataset, split = resources.dataset(task.run.data), resources.split(task.run.data, task.seed, task.run.subset)
    found = [forecast.decode(task, backbone)]
    if starts_fitted(task, split):
        strategy = replace(strategy, probe_epochs=0)
        passing, dim = forecast.features(task, backbone)
        found += [passing, _fitting(forecast, task, "logistic", {}, dim)]
    resolved = resolve(strategy, backbone, recipe.epochs)
    if WHOLE.intersection(recipe.augment):
        found.append(forecast.decode(task, backbone, whole=True))
    sizes = activation_bytes(resolved, len(dataset))
    routes = plan_routes(resolved, recipe, free_bytes(resources.store), sizes)
    passes = [*_activations(forecast, task, resolved, routes, sizes), *_teaching(forecast, task, routes, recipe)]
    stored = all(route.mode in STORED for route in routes)
    cost = forecast.meter.tuning(backbone, strategy, recipe, stored, len(dataset.classes))
    tries = task.run.tries
    more = None if spec.teacher is None else resources.unlabelled(task.run.data)
    extra = 0 if more is None else len(more)
    images = len(split.train) + extra + len(split.validation) / 3  # evaluation, without a backward pass, is a third
    each = recipe.epochs * cost["train"]  # an upper bound: phases that train fewer stages take less
    seconds = tries * (cost["setup"] + each * images + cost["predict"] * len(split.validation))
    if spec.recipe.get("lr") == "auto":
        from headstart.transfer.finetune.lr_range_test import STEPS  # imports Lightning, which heads do not need

        steps = min(STEPS, recipe.epochs * math.ceil(len(split.train) / recipe.batch_size))
        seconds += tries * (cost["setup"] + cost["train"] * recipe.batch_size * steps)
    if task.run.refits:
        seconds += cost["setup"] + each * (len(split.train) + extra + len(split.validation))
    seconds += cost["predict"] * len(split.test)
    size = 4 * sum(p.numel() for p in backbone.stages.parameters())
    epochs = f"{recipe.epochs} epoch{'s' if recipe.epochs != 1 else ''}"
    what = f"{task.name}: {tries} × {epochs}" if tries > 1 else f"{task.name}: {epochs}"
    memory = round(cost["memory"] * max(1.0, recipe.batch_size / cost["batch"]))
    kept = 4 * size  # the best network so far, and the current one with its optimiser
    return [*found, *passes, Stage("training", what, seconds, kept, memory)]


def _activations(
    forecast: CostModel, task: Task, resolved: Resolved, routes: Sequence[Route], sizes: Mapping[str, int]
) -> list[Stage]:
    """Return the stages that compute the activations which training reads."""
    resources, backbone = forecast.resources, resolved.backbone
    dataset, split = resources.dataset(task.run.data), resources.split(task.run.data, task.seed, task.run.subset)
    found = []
    for route in routes:
        if route.phase.cut == INPUT or route.mode not in STORED:
            continue
        prefix = backbone.cut(route.phase.cut)[0]
        share = 1.0
        key, done = f"activations {task.run.needs} {task.seed} {route.phase.cut} {route.mode}", False
        if route.mode == "views":
            more = None if task.run.spec.teacher is None else resources.unlabelled(task.run.data)
            learned = len(split.train) + (0 if more is None else len(more))
            learned += len(split.validation) if task.run.refits else 0
            share = (resolved.strategy.views * learned + len(split.validation)) / len(dataset)
            key += f" {task.key}"
        elif task.run.needs is None:
            images = images_key(dataset, view_of(backbone.preprocessing))
            stored = features_key(images, prefix, backbone.preprocessing, resources.device)
            key, done = f"features {stored}", resources.store.has(FEATURES, stored)
        cost = {} if done else forecast.meter.passing(prefix, backbone.preprocessing)
        seconds = cost.get("setup", 0.0) + cost.get("seconds", 0.0) * share * len(dataset)
        what = f"{backbone.name} to {route.phase.cut}"
        disk = round(share * sizes.get(route.phase.cut, 0))
        found.append(Stage("activations", what, seconds, disk, cost.get("memory", 0), key, done))
    return found


def _teaching(forecast: CostModel, task: Task, routes: Sequence[Route], recipe: Recipe) -> list[Stage]:
    """Return the passes of the teacher's networks over the training images: one, or one for each augmented view."""
    resources, spec = forecast.resources, task.run.spec
    if spec.teacher is None:
        return []
    split, more = resources.split(task.run.data, task.seed, task.run.subset), resources.unlabelled(task.run.data)
    images = len(split.train) + len(split.validation) + (0 if more is None else len(more))
    fresh = spec.teacher_views != "plain" and bool(recipe.pixel_augment)
    views = (spec.views if routes[-1].mode == "views" and spec.views else recipe.epochs) if fresh else 1
    found = []
    for name, backbone, frozen in _teachers(forecast, task):
        if frozen and not fresh and more is None:  # its head reads the features that it was fitted on
            continue
        cost = forecast.meter.passing(backbone.stages, backbone.preprocessing)
        seconds = cost["setup"] + cost["seconds"] * images * views
        key = f"soft labels {task.teacher} {task.seed} {name} {fresh} {views}"
        what = f"{name}: {views} views" if views > 1 else name
        found.append(Stage("soft labels", what, seconds, 0, cost["memory"], key))
    return found


def _teachers(forecast: CostModel, task: Task) -> list[tuple[str, Backbone, bool]]:
    """Return name and network of each member of a teacher, and whether only its head was learned."""
    teacher = task.run.spec.teacher
    if teacher is not None and teacher.path is not None:
        members = forecast.resources.saved_teacher(teacher.path).ensemble.members
        return [(each.origin.name, each.network.backbone, False) for each in members]
    runs = task.run.teachers
    return [(run.name, forecast.backbone(replace(task, run=run)), run.spec.head_kind is not None) for run in runs]


def _episodes(forecast: CostModel, tasks: Sequence[Task]) -> list[Stage]:
    found: list[Stage] = []
    for task in tasks:
        spec, backbone = task.run.spec, forecast.backbone(task)
        assert spec.episodes is not None
        found.append(forecast.decode(task, backbone))
        if spec.episodes.method == FINETUNE:
            found.append(_tuned_episodes(forecast, task, backbone, spec.episodes))
        elif spec.strategy not in EPISODIC:
            passing, dim = forecast.features(task, backbone)
            seconds = forecast.meter.episodes(spec.episodes, dim)["seconds"] * spec.episodes.episodes
            found += [passing, Stage("episodes", task.name, seconds)]
        elif not forecast.resources.store.has(FITS, task.key):
            options = training_options(spec, task.seed)
            images = options.ways * (options.shots + options.queries)
            images = images if options.objective == "episodes" else options.batch_size
            cost = forecast.meter.passing(backbone.stages, backbone.preprocessing)
            seconds = 4 * cost["seconds"] * images * options.steps  # forward and back, without the engine's fusing
            found.append(Stage("training", f"{task.name}: {options.steps} steps", seconds, 0, 4 * cost["memory"]))
    return found


def _tuned_episodes(forecast: CostModel, task: Task, backbone: Backbone, asked: EpisodesSpec) -> Stage:
    """Return what it costs to tune the network in every episode."""
    options = finetune_options(task.run.spec)
    recipe = Recipe(optimizer="adamw", batch_size=options.batch_size)
    stored = options.freeze_until != INPUT  # the frozen part runs once over the support set
    learns = any(True for _ in backbone.cut(options.freeze_until)[1].parameters())
    strategy = Strategy("fine_tune", freeze_until=options.freeze_until) if learns else Strategy("linear_probe")
    cost = forecast.meter.tuning(backbone, strategy, recipe, stored, asked.ways)
    support, queries = asked.ways * asked.shots, asked.ways * asked.queries
    learned, judged = options.epochs * support, (2 if options.flip else 1) * support + queries
    seconds = asked.episodes * (learned * cost["train"] + judged * cost["predict"])
    return Stage("episodes", f"{task.name}: {asked.episodes} tuned", seconds, 0, cost["memory"])


def _heads_as_they_are(forecast: CostModel, tasks: Sequence[Task]) -> list[Stage]:
    """Return the stages of runs that learn nothing."""
    backbone = forecast.backbone(tasks[0])
    return [forecast.decode(tasks[0], backbone), forecast.features(tasks[0], backbone)[0], forecast.scores(tasks)]


FORECASTS = {"heads": _heads, "tune": _tune, "episodes": _episodes}
