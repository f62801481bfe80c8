from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from headstart import progress
from headstart.study.parallel.setup import setup_of
from tests.study.conftest import OpenStudy


def test_a_setup_holds_what_the_jobs_of_a_session_need(
    open_study: OpenStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_verbosity", progress.QUIET)
    session = open_study({"a": {"strategy": "ridge"}, "b": {"strategy": "knn"}}, seeds=2)
    setup = setup_of(session)
    assert setup.keys == tuple((task.run.name, task.seed, task.key) for task in session.plan.tasks)
    assert len(setup.keys) == 4 and setup.learned_on == session.plan.learned_on
    assert setup.folder == (tmp_path / "out" / "small").resolve() and setup.cwd == str(Path.cwd())
    assert (setup.device, setup.verbosity, setup.store) == ("cpu", progress.QUIET, session.resources.store)
    again = pickle.loads(pickle.dumps(setup))  # it is sent to other processes
    assert again.keys == setup.keys and again.study == setup.study and again.state == setup.state
