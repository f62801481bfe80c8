"""Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943): drops bad candidates early, on validation.

In rung r of R every remaining candidate is evaluated on validation after learning from a share eta^-(R - r) of the
labels (or epochs); the best 1 / eta remain, and those that remain after the last rung are run in full. A dropped
candidate costs a small part of a run: its frozen pass covers only the images of the rung, and its test images are
never used. Rungs use the study's first seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import IntArray, Split
from headstart.errors import RunFailed, SpecError, unknown_name
from headstart.evaluate.metrics.names import measure_name
from headstart.evaluate.metrics.scoring import METRICS
from headstart.progress import progress
from headstart.storage.store import content_key
from headstart.study.execution.session import Session
from headstart.study.execution.validation_scores import validation_scores
from headstart.study.resources import Resources
from headstart.study.results.state import LeftOut
from headstart.study.spec.run import Run
from headstart.study.spec.schema import TUNED, HalvingSpec, RunSpec
from headstart.study.spec.settings import head_options, recipe_of
from headstart.study.task import Task
from headstart.transfer.frozen.features import KIND as FEATURES
from headstart.transfer.heads.fit import HeadJob, fit_heads
from headstart.units import percent

KIND = "rungs"


@dataclass(frozen=True, order=True)
class RungScore:
    """What a candidate reached on validation: the larger the better."""

    merit: float  # by the study's metric
    sharpness: float  # minus the log loss
    accuracy: float


def halve(session: Session) -> None:
    """Remove the dropped candidates from the session's plan, and record every rung in its state.

    Raises:
        SpecError: there are fewer than two candidates, or one cannot be evaluated on a part of its labels.
    """
    spec = session.plan.study.spec.halving
    if spec is None:
        return
    metric = session.plan.study.spec.compare.metric
    runs = candidates(session.plan.study.runs, spec, session.plan.study.spec.compare.baseline)
    seed = session.plan.study.spec.seed_list[0]
    tasks = {t.run.name: t for t in session.plan.tasks if t.seed == seed and t.run.name in {r.name for r in runs}}
    rungs: list[dict[str, Any]] = []
    dead: dict[str, str] = {}
    alive = list(tasks)
    for number in range(spec.rungs):
        share = float(spec.eta) ** (number - spec.rungs)
        scores: dict[str, RungScore] = {}
        with progress(f"rung {number + 1} of {spec.rungs}", len(alive), "candidates") as ticker:
            for name in alive:
                scores[name] = judge(tasks[name], share, spec, session)
                ticker.advance()
        kept = sorted(alive, key=lambda name: scores[name], reverse=True)[: math.ceil(len(alive) / spec.eta)]
        for name in alive:
            if name not in kept:
                reached = f"{_shown(scores[name], metric)} on validation"
                dead[name] = f"dropped by successive halving in rung {number + 1} of {spec.rungs} ({reached})"
        ranked = [
            {
                "run": name,
                "validation_accuracy": scores[name].accuracy,
                "validation_score": _score(scores[name], metric),
            }
            for name in alive
        ]
        rungs.append({"share": share, "runs": ranked, "kept": kept})
        session.listener.note(f"rung {number + 1}: {len(kept)} of {len(alive)} candidates continue: {', '.join(kept)}")
        alive = [name for name in alive if name in kept]
    session.state.halving = {**spec.model_dump(), "metric": metric, "tried": len(tasks), "rungs": rungs}
    _take_out(session, dead)


def _score(score: RungScore, metric: str) -> float:
    """Return the score in the metric's own direction."""
    return score.merit if METRICS[metric].higher_is_better else -score.merit


def _shown(score: RungScore, metric: str) -> str:
    own = _score(score, metric)
    return percent(own) if metric == "accuracy" else f"{measure_name(metric)} {own:.3f}"


def candidates(runs: Sequence[Run], spec: HalvingSpec, baseline: str | None) -> list[Run]:
    """Return the runs that compete.

    Raises:
        SpecError: there are fewer than two, one is unknown, or one cannot be evaluated on a part of its labels.
    """
    names = [run.name for run in runs]
    for name in spec.runs or ():
        if name not in names:
            raise SpecError(f"halving.runs: {unknown_name('run', name, names)}")
    needed = {source for run in runs for source in run.sources}
    found = [run for run in runs if (run.name in spec.runs if spec.runs else _competes(run, baseline, needed))]
    if len(found) < 2:
        raise SpecError(
            f"halving needs at least two candidates; here are {len(found)} (baselines and chains do not count)"
        )
    for run in found:
        if run.searches:
            raise SpecError(f"halving: run {run.name!r} searches ranges; give it a grid, or drop it from halving.runs")
        if run.spec.shots is not None and spec.over == "labels":
            raise SpecError(f"halving: run {run.name!r} has shots already; use over: epochs, or fraction")
        if run.sources or run.name in needed or run.spec.episodes is not None:
            raise SpecError(f"halving: run {run.name!r} is part of a chain or has episodes; drop it from halving.runs")
    return found


def judge(task: Task, share: float, spec: HalvingSpec, session: Session) -> RungScore:
    """Return the validation score of a candidate after a share of its labels or epochs."""
    run = replace(task.run, spec=smaller(task.run.spec, share, spec.over))
    part = replace(task, run=run, key=content_key([task.key, "rung", share, spec.over]))
    resources = session.resources
    split = resources.split(run.data, task.seed, run.subset)
    if not len(split.validation):
        raise SpecError(
            f"halving: run {run.name!r} has no validation images to compare on; set split.validation above 0"
        )
    if task.probe:
        return _judge_head(part, split, resources)
    return _judge_tuned(part, split, session)


def smaller(spec: RunSpec, share: float, over: str) -> RunSpec:
    """Return the settings with a share of the labels, or of the epochs of a tuned network."""
    if over == "epochs" and spec.strategy in TUNED:
        epochs = max(1, round(recipe_of(spec).epochs * share))
        return spec.model_copy(update={"recipe": {**spec.recipe, "epochs": epochs}})
    if spec.shots is not None:
        return spec
    return spec.model_copy(update={"fraction": share * (spec.fraction or 1.0)})


def _competes(run: Run, baseline: str | None, needed: set[str]) -> bool:
    chained = bool(run.sources) or run.name in needed
    learns = run.spec.head_kind is not None or run.spec.strategy in (*TUNED, "linear_probe")
    return learns and not (run.spec.is_baseline or chained or run.name == baseline or run.spec.episodes is not None)


def _judge_head(task: Task, split: Split, resources: Resources) -> RungScore:
    dataset, kind = resources.dataset(task.run.data), task.run.spec.head_kind
    assert kind is not None
    with resources.store.building(KIND, task.key) as entry:
        if entry is not None:
            rows = np.sort(np.concatenate([split.train, split.validation]))
            features, good = features_of_rows(task, rows, resources)
            place = {int(row): number for number, row in enumerate(rows) if good[number]}
            train, held = (
                np.array([place[int(row)] for row in side if int(row) in place], dtype=np.int64)
                for side in (split.train, split.validation)
            )
            labels = dataset.labels[rows]
            job = HeadJob(
                kind, train, held, len(dataset.classes), head_options(task.run), task.seed, False, task.run.metric
            )
            fit = fit_heads(features, labels, [job], resources.device)[0]
            assert fit.validation_probabilities is not None
            entry.manifest.update(validation_scores(fit.validation_probabilities, labels[held], task.run.metric))
    facts = resources.store.manifest(KIND, task.key)
    return RungScore(facts["merit"], -facts["log_loss"], facts["accuracy"])


def features_of_rows(
    task: Task, rows: IntArray, resources: Resources
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return features float32 [len(rows), d] of some rows, and whether the image of each could be decoded."""
    dataset = resources.dataset(task.run.data)
    part, every = dataset, resources.features_key(task.run.data, task.run.network, task.seed)
    if not resources.store.has(FEATURES, every):
        part = replace(dataset.select(rows), name=f"{dataset.name}, {len(rows):,} images")
        rows = np.arange(len(rows))
    features = resources.features_of(part, task.run.network, task.seed)
    bad = resources.bad_rows(part)
    return np.reshape(features[rows], (len(rows), -1)), np.array([int(row) not in bad for row in rows])


def _judge_tuned(task: Task, split: Split, session: Session) -> RungScore:
    from headstart.study.execution.tuning.train import try_one  # imports Lightning, which heads do not need
    from headstart.study.execution.tuning.trial import TrialContext

    resources = session.resources
    dataset = resources.dataset(task.run.data)
    resources.images(task.run.data, resources.loaded(task.run.network, task.seed).backbone.preprocessing)
    split = split.without(sorted(resources.bad_rows(dataset)))
    context = TrialContext(task, split, dataset, resources, {}, session.listener.note)
    found = [RungScore(-math.inf, -math.inf, 0.0)]
    for values in task.run.configurations():
        try:
            trial = try_one(context, values)
        except RunFailed:  # a diverged training is never the best
            continue
        found.append(RungScore(*trial.rank, trial.accuracy or 0.0))
    return max(found)


def _take_out(session: Session, dead: Mapping[str, str]) -> None:
    plan = session.plan
    groups = []
    for group in plan.groups:
        tasks = tuple(task for task in group.tasks if task.run.name not in dead)
        if tasks:
            groups.append(replace(group, tasks=tasks))
    session.plan = replace(plan, groups=tuple(groups))
    gone = [row for row in session.state.expected if row["run"] in dead]
    session.state.leave_out(LeftOut(run=row["run"], seed=row["seed"], why=dead[row["run"]]) for row in gone)
