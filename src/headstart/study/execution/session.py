"""One execution of a study: its plan, its resources, its folder, and who is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from headstart.storage.files import read_json
from headstart.study.planning.plan import Plan
from headstart.study.resources import Workshop
from headstart.study.results.folder import StudyFolder
from headstart.study.results.run_record import KIND as FITS
from headstart.study.results.tracking import Logged, Tracker
from headstart.study.task import Task


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


def network_of(task: Task, session: Session) -> Path:
    """Return where the network of a task that ended lies: in the store, else in its run folder."""
    store = session.workshop.store
    if store.has(FITS, task.key):
        return store.path(FITS, task.key)
    return session.folder.run_folder(task.run.name, task.seed)
