"""The context that every job of a study needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headstart import progress
from headstart.storage.store import Store
from headstart.study.execution.session import Session
from headstart.study.results.state import StudyState
from headstart.study.spec.run import ResolvedStudy


@dataclass(frozen=True)
class Setup:
    """The context that every job of a study needs.

    Args:
        study: the resolved study.
        state: the content of study.json.
        keys: run, seed and content key of every task, in the order of the plan.
        learned_on: the fingerprint of the images that each run learns from.
        folder: the study's folder, or None if workers cannot reach it: they then send run folders back.
        store: the shared cache, or an address that each machine opens with a local cache of its own.
        device: where networks run.
        cwd: the directory that relative paths of the study start from.
        verbosity: as in headstart.progress.
        token: identifies this setup.
    """

    study: ResolvedStudy
    state: StudyState
    keys: tuple[tuple[str, int, str], ...]
    learned_on: Mapping[str, str]
    folder: Path | None
    store: Store | str
    device: str
    cwd: str
    verbosity: int = progress.NORMAL
    token: str = ""


def setup_of(session: Session) -> Setup:
    """Return the setup of a session's workers."""
    return Setup(
        study=session.plan.study,
        state=session.state,
        keys=tuple((task.run.name, task.seed, task.key) for task in session.plan.tasks),
        learned_on=session.plan.learned_on,
        folder=session.folder.root.resolve(),
        store=session.resources.store,
        device=session.resources.device,
        cwd=str(Path.cwd()),
        verbosity=progress.verbosity(),
    )
