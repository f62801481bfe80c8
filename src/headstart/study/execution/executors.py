"""Executes each kind of group: heads, tuning, episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headstart.data.dataset import Split
from headstart.errors import HeadstartError
from headstart.study.execution.evaluate_only import evaluate_only
from headstart.study.execution.head_runs import FAULTS, fit_head_runs
from headstart.study.execution.session import Session
from headstart.study.resources import Resources
from headstart.study.results.run_record import Fit, Probabilities, write_failure, write_result
from headstart.study.spec.schema import AS_IS
from headstart.study.task import Task


def _probe(tasks: list[Task], session: Session) -> None:
    resources = session.resources
    for task in tasks:
        session.listener.running(task.name)
    resources.features(tasks[0].run.data, tasks[0].run.network, tasks[0].seed)
    splits = {task.key: _split(task, session) for task in tasks}

    def done(task: Task, fit: Fit, test: Probabilities) -> None:
        shared = resources.features_facts(task.run.data, task.run.network, task.seed)
        _finish(task, fit, splits[task.key], test, shared, session)

    def failed(task: Task, error: HeadstartError) -> None:
        _fail(task, error, session)

    fit_head_runs(tasks, [splits[task.key] for task in tasks], resources, session.provenance, done, failed)


def _tune(tasks: list[Task], session: Session) -> None:
    for task in tasks:
        session.listener.running(task.name)
        try:
            split = _split(task, session)
            work = evaluate_only if task.run.spec.strategy == AS_IS else _train
            fit, test = work(task, split, session.resources, session.provenance, session.listener.note)
        except FAULTS as error:
            _fail(task, error, session)
            continue
        _finish(task, fit, split, test, {}, session)


def _train(
    task: Task, split: Split, resources: Resources, provenance: Mapping[str, str], note: Callable[[str], None]
) -> tuple[Fit, Probabilities]:
    from headstart.study.execution.tuning.fit import tune  # imports Lightning, which heads do not need

    return tune(task, split, resources, provenance, note)


def _episodes(tasks: list[Task], session: Session) -> None:
    from headstart.study.execution.episode_runs import run_episodes

    for task in tasks:
        session.listener.running(task.name)
        try:
            score = run_episodes(task, session.resources, session.folder, session.plan.learned_on)
        except FAULTS as error:
            _fail(task, error, session)
            continue
        session.listener.done(task.name, score)


WORK = {"heads": _probe, "tune": _tune, "episodes": _episodes}


def _fail(task: Task, error: HeadstartError, session: Session) -> None:
    """Write the reason of a run that could not be finished; the study continues with the others."""
    dataset = session.resources.dataset(task.run.data)
    write_failure(task, session.folder, dataset, str(error), getattr(error, "history", []))
    session.listener.failed(task.name, str(error))


def _split(task: Task, session: Session) -> Split:
    """Return the task's split without the rows of unreadable images."""
    resources = session.resources
    dataset = resources.dataset(task.run.data)
    resources.images(task.run.data, resources.loaded(task.run.network, task.seed).backbone.preprocessing)
    bad = resources.bad_rows(dataset)
    return resources.split(task.run.data, task.seed, task.run.subset).without(sorted(bad))


def _finish(
    task: Task, fit: Fit, split: Split, test: Probabilities, shared: Mapping[str, Any], session: Session
) -> None:
    resources = session.resources
    weights = resources.loaded(task.run.network, task.seed).weights
    described = {
        "origin": weights.origin if weights else "none: raw pixels",
        "sha256": weights.sha256 if weights else None,
        "licence": weights.licence if weights else None,
    }
    result = write_result(
        task,
        fit,
        study=session.state.name,
        folder=session.folder,
        store=resources.store,
        dataset=resources.dataset(task.run.data),
        split=split,
        test=test,
        weights=described,
        shared=shared,
        device=resources.device,
    )
    session.track(task.run.name, task.seed, task.key)
    session.done(task.name, result)
