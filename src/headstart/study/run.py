"""Runs a study: every stage is called from here."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.dataset import Dataset
from headstart.storage.opening import default_store
from headstart.storage.presence import at_work, clear
from headstart.storage.store import Store
from headstart.study.analysis.finalize import close_study
from headstart.study.execution.budget import Budget, OverBudget
from headstart.study.execution.ensembles import write_ensembles
from headstart.study.execution.executors import WORK
from headstart.study.execution.halving import halve
from headstart.study.execution.session import Listener, Session, Silent, network_of
from headstart.study.execution.unavailable import startable, write_unavailable
from headstart.study.parallel.dispatcher import check_workers, dispatch
from headstart.study.planning.ensemble_keys import ensemble_keys, expected
from headstart.study.planning.found import found_lines
from headstart.study.planning.plan import Plan, TaskGroup
from headstart.study.planning.planner import make_plan
from headstart.study.resources import Resources
from headstart.study.results.folder import StudyFolder
from headstart.study.results.run_record import KIND as FITS
from headstart.study.results.state import Expected, StudyState
from headstart.study.results.tracking import trackers
from headstart.study.results.version import study_folder, versioned_name
from headstart.study.spec.run import ResolvedStudy
from headstart.threads import hold
from headstart.version import VERSION

if TYPE_CHECKING:
    from headstart.study.execution.budgeting import Spending  # imports what measures this machine's speed


def run_study(
    study: ResolvedStudy,
    out: str | Path = "headstart-runs",
    *,
    store: Store | None = None,
    device: str = "auto",
    listener: Listener | None = None,
    command: str = "",
    strict: bool = False,
    workers: int = 1,
    on: str | None = None,
) -> StudyFolder:
    """Run a study (or what is left of it) and return its folder.

    Args:
        study: read by `load_study`.
        out: the folder that holds studies.
        store: the cache of shared work; the default cache if None.
        device: "auto", "cpu", "cuda", "mps".
        listener: receives progress and notes.
        command: what the user typed, for the report.
        strict: refuse the study if published weights or images of any run are unavailable; otherwise these runs fail.
        workers: number of worker processes, which share the cores; 1 works in this process.
        on: "ray" or the address of a Ray cluster; each of its nodes then runs `workers` jobs at a time.

    Raises:
        HeadstartError: the input is invalid; finished work is kept.
    """
    hold()
    if workers != 1 or on is not None:
        check_workers(workers, on)
    budget = None
    if study.spec.budget is not None:
        from headstart.study.execution.budgeting import budget_of

        budget = budget_of(study.spec)
    store = store or default_store()
    with store.in_use():
        session = open_session(
            study,
            out,
            store=store,
            device=device,
            listener=listener,
            command=command,
            strict=strict,
            remote=on is not None,
        )
        with at_work(session.folder.root, pin=True):  # before anything is written there
            clear(session.folder.root)
            begin(session)
            _work(session, budget, workers, on)
            clear(session.folder.root)
        store.clear()
    return session.folder


def _work(session: Session, budget: Budget | None, workers: int, on: str | None) -> None:
    """Do all that the plan has, and write how the study ended."""
    try:
        write_unavailable(session)
        halve(session)
        if budget is None:
            _run_groups(session, workers, on)
        else:
            from headstart.study.execution.budgeting import spend

            with spend(session, budget) as spending:
                _run_groups(session, workers, on, spending)
        write_ensembles(session)
        close_study(session)
        session.write_state("complete")
    except BaseException:
        session.write_state("interrupted")
        raise
    finally:
        session.listener.close()


def open_session(
    study: ResolvedStudy,
    out: str | Path,
    *,
    store: Store | None = None,
    device: str = "auto",
    listener: Listener | None = None,
    command: str = "",
    strict: bool = False,
    remote: bool = False,
) -> Session:
    """Plan a study and say where it will be written; nothing is written yet."""
    resources = Resources(store or default_store(), device, remote=remote)
    plan = make_plan(study, resources, strict=strict)
    listener = listener or Silent()
    listener.overview(found_lines(plan, resources))
    if (name := versioned_name(out, study.spec.name, plan.fingerprint)) != study.spec.name:
        listener.note(f"the study {study.spec.name!r} in {out} is of other images; this one is {name!r}")
        study = replace(study, spec=study.spec.model_copy(update={"name": name}))
        plan = replace(plan, study=study)
    folder = study_folder(out, name)
    return Session(plan, resources, folder, _state_of(plan, command, resources.dataset(study.spec.data)), listener)


def begin(session: Session) -> None:
    """Write that a study is running, and tell the listener what it expects."""
    study, plan = session.plan.study, session.plan
    session.trackers = trackers(session.folder, study.spec.track, study.spec.name)
    session.write_state("running")
    missing = [Expected(run=each.run.name, seed=seed) for each in plan.unavailable for seed in study.spec.seed_list]
    own = [Expected(run=task.run.name, seed=task.seed, name=task.name, key=task.key) for task in plan.tasks]
    words = study.spec.data.split.words
    together = [_with_key(row, session.state.keys) for row in expected(study.spec)]
    others = [Expected(**row, name=f"{row['run']} ({words(row['seed'])})") for row in (*missing, *together)]
    session.listener.plan([*own, *others])


def _with_key(row: Expected, keys: Mapping[str, Mapping[str, str]]) -> Expected:
    """Return the run and seed of an ensemble with its content key, if all of its members are planned."""
    key = keys.get(row["run"], {}).get(str(row["seed"]))
    return row if key is None else Expected(run=row["run"], seed=row["seed"], key=key)


def _state_of(plan: Plan, command: str, dataset: Dataset) -> StudyState:
    study, spec = plan.study, plan.study.spec
    resolved = {
        **spec.model_dump(exclude={"runs", "defaults"}),
        "runs": {r.name: r.spec.model_dump() for r in study.runs},
    }
    return StudyState(
        name=spec.name,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        question=spec.question,
        spec=resolved,
        source=study.source,
        command=command,
        version=VERSION,
        fingerprint=plan.fingerprint,
        expected=[
            *(Expected(run=run.name, seed=seed) for run in study.runs for seed in spec.seed_list),
            *expected(spec),
        ],
        compare=spec.compare.model_dump(),
        budget=spec.budget,
        keys=_keys(plan),
        corrected=[asdict(each) for each in dataset.corrected],
    )


def _keys(plan: Plan) -> dict[str, dict[str, str]]:
    """Return the content key of each run and seed; results under another key are of an older version of the study."""
    keys = {(task.run.name, task.seed): task.key for task in plan.tasks}
    found: dict[str, dict[str, str]] = {}
    for (run, seed), key in {**keys, **ensemble_keys(plan.study.spec, plan.tasks)}.items():
        found.setdefault(run, {})[str(seed)] = key
    return found


def _run_groups(session: Session, workers: int, on: str | None, spending: Spending | None = None) -> None:
    """Run all groups, or those that a budget allows: in this process one after the other, or with workers."""
    if workers != 1 or on is not None:
        dispatch(session, workers, on, spending)
        return
    for group in session.plan.groups if spending is None else spending.groups(session):
        try:
            _run_group(group, session)
        except OverBudget:
            assert spending is not None  # which alone ends a stage in this way
            spending.stopped(group.tasks)


def _run_group(group: TaskGroup, session: Session) -> None:
    open_tasks = []
    for task in group.tasks:
        left = session.resources.store.path(FITS, task.key)
        if session.finished(task):
            session.listener.reused(task.name)
            left = network_of(task, session)
        else:
            open_tasks.append(task)
        session.resources.upstream[(task.run.name, task.seed)] = left
    if open_tasks := startable(open_tasks, session):
        WORK[group.kind](open_tasks, session)
