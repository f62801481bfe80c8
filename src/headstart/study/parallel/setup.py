"""What every job of a study needs to know."""

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
    """What every job of a study needs to know.

    Args:
        study: what is studied.
        state: what study.json says.
        keys: run, seed and content key of every task, in the order of the plan.
        learned_on: the fingerprint of the images that each run learns from.
        folder: the study's folder; None where it cannot be seen: run folders are then sent back.
        store: where shared work is kept, or the address that each machine opens with a cache of its own.
        device: where networks run.
        cwd: the directory that relative paths of the study start from.
        verbosity: as in headstart.progress.
        token: tells this setup from others.
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
    """Return what the workers of a session need to know."""
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
