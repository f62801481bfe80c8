"""One execution of a study: its plan, resources, folder, state and listener."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from headstart.storage.files import read_json
from headstart.study.planning.plan import Plan
from headstart.study.resources import Resources
from headstart.study.results.folder import StudyFolder
from headstart.study.results.run_record import KIND as FITS
from headstart.study.results.state import Expected, StudyState
from headstart.study.results.tracking import Logged, Tracker
from headstart.study.task import Task
from headstart.version import VERSION


class Listener(Protocol):
    """Receives what happens while a study runs."""

    def overview(self, lines: Sequence[str]) -> None:
        """What the images are, before any work."""

    def plan(self, rows: list[Expected]) -> None:
        """All tasks that the study expects: run and seed."""

    def running(self, run: str) -> None:
        """A task started."""

    def reused(self, run: str) -> None:
        """A task was done before."""

    def done(self, run: str, score: float, seconds: float | None = None, images: int | None = None) -> None:
        """A task finished with this score on so many test images, after so many seconds of its own (None: unknown)."""

    def failed(self, run: str, why: str) -> None:
        """A task failed."""

    def note(self, text: str) -> None:
        """Something to tell the user."""

    def close(self) -> None:
        """The study ended."""


class Silent:
    """A listener that ignores everything."""

    def overview(self, lines: Sequence[str]) -> None:
        """Ignore."""

    def plan(self, rows: list[Expected]) -> None:
        """Ignore."""

    def running(self, run: str) -> None:
        """Ignore."""

    def reused(self, run: str) -> None:
        """Ignore."""

    def done(self, run: str, score: float, seconds: float | None = None, images: int | None = None) -> None:
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
        plan: what is done.
        resources: shared by all runs.
        folder: where results are written.
        state: the content of study.json.
        listener: receives progress and notes.
        trackers: log each finished run for other viewers.
    """

    plan: Plan
    resources: Resources
    folder: StudyFolder
    state: StudyState
    listener: Listener
    trackers: list[Tracker] = field(default_factory=list)

    def done(self, name: str, result: Mapping[str, Any]) -> None:
        """Tell the listener that a run finished, with its score by the study's metric."""
        metric = self.plan.study.spec.compare.metric
        score = result["metrics"]["test"].get(metric, {}).get("value", float("nan"))
        self.listener.done(name, score, result["cost"]["seconds"], result["n_test"])

    def finished(self, task: Task) -> bool:
        """Return whether a task's results are in the study's folder."""
        return self.folder.has(task.run.name, task.seed, task.key)

    def track(self, run: str, seed: int, key: str) -> None:
        """Pass a finished run to the trackers."""
        place = self.folder.run_folder(run, seed)
        spec, result, history = (read_json(place / f"{name}.json") for name in ("spec", "result", "history"))
        for track in self.trackers:
            track(Logged(key, spec, result, history))

    @property
    def provenance(self) -> dict[str, str]:
        """What every bundle of the study says of where it comes from."""
        return {"study": self.state.name, "headstart": VERSION, "created": self.state.created}

    def write_state(self, status: str) -> None:
        """Write study.json."""
        self.folder.write_study(self.state.to_dict(status))


def network_of(task: Task, session: Session) -> Path:
    """Return the folder of a finished task's network: in the cache, or else its run folder."""
    store = session.resources.store
    if store.has(FITS, task.key):
        return store.path(FITS, task.key)
    return session.folder.run_folder(task.run.name, task.seed)
