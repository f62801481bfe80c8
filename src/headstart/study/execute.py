"""Running a study: the star from which every stage is called by name."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import headstart
from headstart.data.dataset import Split
from headstart.errors import RunFailed
from headstart.store import Store, default_store, read_json
from headstart.study.absent import startable, write_absent
from headstart.study.as_is import score_as_is
from headstart.study.closing import close_study
from headstart.study.ensemble import ensemble_keys, expected, write_ensembles
from headstart.study.expand import Study
from headstart.study.folder import StudyFolder, slug
from headstart.study.halving import halve
from headstart.study.plan import Group, Plan, make_plan
from headstart.study.probing import fit_probes
from headstart.study.record import KIND as FITS
from headstart.study.record import Fit, Probabilities, write_failure, write_result
from headstart.study.spec import AS_IS
from headstart.study.spread import check_crew, network_of, spread
from headstart.study.task import Task
from headstart.study.track import Logged, Tracker, trackers
from headstart.study.workshop import Workshop
from headstart.threads import hold


class Listener(Protocol):
    """Is told what happens while a study runs."""

    def plan(self, rows: list[dict[str, Any]]) -> None:
        """All tasks that the study expects: run and seed."""

    def running(self, run: str) -> None:
        """A task began."""

    def reused(self, run: str) -> None:
        """A task was found done."""

    def done(self, run: str, score: float) -> None:
        """A task ended with this test score."""

    def failed(self, run: str, why: str) -> None:
        """A task failed."""

    def note(self, text: str) -> None:
        """Something to tell the user."""

    def close(self) -> None:
        """The study ended."""


class Silent:
    """A listener that says nothing."""

    def plan(self, rows: list[dict[str, Any]]) -> None:
        """Ignore."""

    def running(self, run: str) -> None:
        """Ignore."""

    def reused(self, run: str) -> None:
        """Ignore."""

    def done(self, run: str, score: float) -> None:
        """Ignore."""

    def failed(self, run: str, why: str) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""

    def close(self) -> None:
        """Ignore."""


@dataclass
class Session:
    """One execution of a study.

    Args:
        plan: what is to be done.
        workshop: what is shared.
        folder: where it is written.
        listener: who is told.
        facts: what study.json says.
        trackers: log each finished run for other viewers.
    """

    plan: Plan
    workshop: Workshop
    folder: StudyFolder
    listener: Listener
    facts: dict[str, Any] = field(default_factory=dict)
    trackers: list[Tracker] = field(default_factory=list)

    def done(self, name: str, result: Mapping[str, Any]) -> None:
        """Tell the listener that a run ended, with its score by the study's metric."""
        metric = self.plan.study.spec.compare.metric
        self.listener.done(name, result["metrics"]["test"].get(metric, {}).get("value", float("nan")))

    def finished(self, task: Task) -> bool:
        """Say whether a task's results stand in the study's folder."""
        return self.folder.has(task.run.name, task.seed, task.key)

    def track(self, run: str, seed: int, key: str) -> None:
        """Tell the trackers of a run that has ended."""
        place = self.folder.run_folder(run, seed)
        spec, result, history = (read_json(place / f"{name}.json") for name in ("spec", "result", "history"))
        for track in self.trackers:
            track(Logged(key, spec, result, history))

    def leave_out(self, rows: list[dict[str, Any]]) -> None:
        """Note runs and seeds that will not be done, each with why: they are not expected any more."""
        gone = {(row["run"], row["seed"]) for row in rows}
        self.facts["expected"] = [row for row in self.facts["expected"] if (row["run"], row["seed"]) not in gone]
        self.facts["left_out"] = [*self.facts.get("left_out", ()), *rows]


def run_study(
    study: Study,
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
        store: where shared work is kept; the default store if None.
        device: "auto", "cpu", "cuda", "mps".
        listener: is told what happens.
        command: what the user typed, for the report.
        strict: refuse the study if published weights or images of any run are not to be had; else these runs fail.
        workers: how many processes do the work, each with its share of the cores; 1 does it in this one.
        on: "ray", or the address of a Ray cluster, whose nodes then do the work, `workers` at a time on each.

    Raises:
        HeadstartError: the input cannot be used; what was finished is kept.
    """
    hold()
    if workers != 1 or on is not None:
        check_crew(workers, on)
    budget = None
    if study.spec.budget is not None:
        from headstart.study.spending import budget_of, spend

        budget = budget_of(study.spec, workers, on)
    session = open_session(study, out, store=store, device=device, listener=listener, command=command, strict=strict)
    try:
        write_absent(session)
        halve(session)
        if workers > 1 or on is not None:
            spread(session, workers, on)
        elif budget is not None:
            spend(session, budget, _run_group)
        else:
            for group in session.plan.groups:
                _run_group(group, session)
        write_ensembles(session)
        close_study(session)
        _state(session, "complete")
    except BaseException:
        _state(session, "interrupted")
        raise
    finally:
        session.listener.close()
    return session.folder


def open_session(
    study: Study,
    out: str | Path,
    *,
    store: Store | None = None,
    device: str = "auto",
    listener: Listener | None = None,
    command: str = "",
    strict: bool = False,
) -> Session:
    """Plan a study and open its folder."""
    workshop = Workshop(store or default_store(), device)
    plan = make_plan(study, workshop, strict=strict)
    folder = StudyFolder(Path(out) / slug(study.spec.name))
    session = Session(plan, workshop, folder, listener or Silent())
    session.facts = _facts(study, command)
    session.trackers = trackers(folder, study.spec.track, study.spec.name)
    session.facts["keys"] = _keys(plan)
    _state(session, "running")
    absent = [{"run": each.run.name, "seed": seed} for each in plan.absent for seed in study.spec.seed_list]
    own = [{"run": task.run.name, "seed": task.seed} for task in plan.tasks]
    session.listener.plan([*own, *absent, *expected(study.spec)])
    return session


def _facts(study: Study, command: str) -> dict[str, Any]:
    spec = study.spec
    resolved = {
        **spec.model_dump(exclude={"runs", "defaults"}),
        "runs": {r.name: r.spec.model_dump() for r in study.runs},
    }
    return {
        "name": spec.name,
        "question": spec.question,
        "spec": resolved,
        "source": study.source,
        "command": command,
        "version": headstart.__version__,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "expected": [
            *({"run": run.name, "seed": seed} for run in study.runs for seed in spec.seed_list),
            *expected(spec),
        ],
        "compare": spec.compare.model_dump(),
        "budget": spec.budget,
    }


def _keys(plan: Plan) -> dict[str, dict[str, str]]:
    """Return the content key of each run and seed: what stands in the folder under another is of an older study."""
    keys = {(task.run.name, task.seed): task.key for task in plan.tasks}
    found: dict[str, dict[str, str]] = {}
    for (run, seed), key in {**keys, **ensemble_keys(plan.study.spec, plan.tasks)}.items():
        found.setdefault(run, {})[str(seed)] = key
    return found


def _state(session: Session, status: str) -> None:
    session.folder.write_study({**session.facts, "status": status})


def _run_group(group: Group, session: Session) -> None:
    open_tasks = []
    for task in group.tasks:
        left = session.workshop.store.path(FITS, task.key)
        if session.finished(task):
            session.listener.reused(task.name)
            left = network_of(task, session)
        else:
            open_tasks.append(task)
        session.workshop.upstream[(task.run.name, task.seed)] = left
    if open_tasks := startable(open_tasks, session):
        WORK[group.kind](open_tasks, session)


def _probe(tasks: list[Task], session: Session) -> None:
    workshop = session.workshop
    for task in tasks:
        session.listener.running(task.name)
    workshop.features(tasks[0].run, tasks[0].seed)
    splits = {task.key: _split(task, session) for task in tasks}

    def done(task: Task, fit: Fit, test: Probabilities) -> None:
        shared = workshop.features_facts(task.run, task.seed)
        _finish(task, fit, splits[task.key], test, shared, session)

    fit_probes(tasks, [splits[task.key] for task in tasks], workshop, _provenance(session), done)


def _tune(tasks: list[Task], session: Session) -> None:
    for task in tasks:
        session.listener.running(task.name)
        try:
            split = _split(task, session)
            work = score_as_is if task.run.spec.strategy == AS_IS else _trained
            fit, test = work(task, split, session.workshop, _provenance(session), session.listener.note)
        except RunFailed as error:
            dataset = session.workshop.dataset(task.run.data)
            write_failure(task, session.folder, dataset, str(error), getattr(error, "history", []))
            session.listener.failed(task.name, str(error))
            continue
        _finish(task, fit, split, test, {}, session)


def _trained(
    task: Task, split: Split, workshop: Workshop, provenance: Mapping[str, str], note: Callable[[str], None]
) -> tuple[Fit, Probabilities]:
    from headstart.study.tuning import tune  # imports Lightning, which heads do not need

    return tune(task, split, workshop, provenance, note)


def _episodes(tasks: list[Task], session: Session) -> None:
    from headstart.study.episodic import run_episodes

    for task in tasks:
        session.listener.running(task.name)
        score = run_episodes(task, session.workshop, session.folder)
        session.listener.done(task.name, score)


WORK = {"heads": _probe, "tune": _tune, "episodes": _episodes}


def _split(task: Task, session: Session) -> Split:
    """Return the task's split without the rows whose images turned out unreadable."""
    workshop = session.workshop
    dataset = workshop.dataset(task.run.data)
    workshop.images(task.run.data, workshop.loaded(task.run, task.seed).backbone.preprocessing)
    bad = workshop.bad_rows(dataset)
    return workshop.split(task.run, task.seed).without(sorted(bad))


def _finish(
    task: Task, fit: Fit, split: Split, test: Probabilities, shared: Mapping[str, Any], session: Session
) -> None:
    workshop = session.workshop
    weights = workshop.loaded(task.run, task.seed).weights
    described = {
        "origin": weights.origin if weights else "none: raw pixels",
        "sha256": weights.sha256 if weights else None,
        "licence": weights.licence if weights else None,
    }
    result = write_result(
        task,
        fit,
        folder=session.folder,
        store=workshop.store,
        dataset=workshop.dataset(task.run.data),
        split=split,
        test=test,
        weights=described,
        shared=shared,
        device=workshop.device,
    )
    session.track(task.run.name, task.seed, task.key)
    session.done(task.name, result)


def _provenance(session: Session) -> dict[str, str]:
    return {
        "study": session.facts["name"],
        "headstart": headstart.__version__,
        "created": session.facts["created"],
    }
