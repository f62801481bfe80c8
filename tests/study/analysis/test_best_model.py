from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.models.bundle import MEMBERS, MODEL
from headstart.study.analysis import best_model
from headstart.study.analysis.best_model import save_best
from headstart.study.execution.session import Session
from headstart.study.results.folder import json_bytes, npz_bytes
from tests.study.conftest import OpenStudy

RUNS: dict[str, Any] = {
    "pixels": {"backbone": "pixels", "strategy": "ridge"},
    "net": {"strategy": "ridge"},
    "wide": {"strategy": "knn"},
}


def finish(session: Session, run: str, accuracies: list[float], *, parameters: int = 10, **more: float) -> None:
    """Write a finished run with these accuracies on validation, one per seed, and a model that names itself."""
    for task in session.plan.tasks:
        if task.run.name == run and task.seed < len(accuracies):
            metrics = {"accuracy": {"value": accuracies[task.seed]}, "log_loss": {"value": more.get("log_loss", 1.0)}}
            result = {"metrics": {"validation": metrics}, "parameters": {"total": parameters}}
            files = {"result.json": json_bytes(result), MODEL: f"{run} {task.seed}".encode()}
            session.folder.write_run(run, task.seed, task.key, files)


def test_the_median_seed_of_the_best_run_on_validation_is_saved(open_study: OpenStudy) -> None:
    session = open_study(RUNS, seeds=3)
    finish(session, "net", [0.9, 0.6, 0.8])
    finish(session, "wide", [0.7, 0.7, 0.85])
    save_best(session)
    assert session.state.best is not None and session.state.best_network is None
    assert session.state.best == {
        "run": "net", "folder": "runs/net/seed-2", "by": "the highest validation accuracy", "seed": 2, "seeds": 3
    }  # fmt: skip
    assert (session.folder.root / MODEL).read_bytes() == b"net 2"


def test_a_metric_for_which_lower_is_better_turns_the_choice(open_study: OpenStudy) -> None:
    session = open_study(RUNS, compare={"metric": "log_loss"})
    finish(session, "net", [0.9], log_loss=0.5)
    finish(session, "wide", [0.8], log_loss=0.4)
    save_best(session)
    assert session.state.best is not None and session.state.best["run"] == "wide"
    assert session.state.best["by"] == "the lowest validation log loss"


def test_of_equal_runs_a_network_comes_before_a_baseline_and_the_smaller_first(open_study: OpenStudy) -> None:
    session = open_study(RUNS)
    finish(session, "pixels", [0.9], parameters=1)
    finish(session, "wide", [0.9], parameters=50)
    finish(session, "net", [0.9], parameters=40)
    save_best(session)
    assert session.state.best is not None and session.state.best["run"] == "net"


def test_nothing_is_saved_where_no_run_was_judged_on_validation(open_study: OpenStudy) -> None:
    session = open_study(RUNS)
    save_best(session)
    assert session.state.best is None and not (session.folder.root / MODEL).exists()


def test_an_ensemble_that_leads_is_written_as_one_file_beside_the_best_single_network(
    open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_study(RUNS, ensembles={"both": ["net", "wide"]})
    finish(session, "net", [0.7])
    finish(session, "wide", [0.8])
    found = {"metrics": {"validation": {"accuracy": {"value": 0.9}}}, "parameters": {"total": 20}}
    judged = {f"validation_{name}": [0] for name in ("rows", "labels", "probabilities")}
    files = {"result.json": json_bytes(found), MEMBERS: b"{}", "predictions.npz": npz_bytes(**judged)}  # type: ignore[arg-type]
    place = session.folder.write_run("both", 0, "key", files)
    asked: list[Path] = []
    monkeypatch.setattr(best_model, "read_ensemble", lambda folder, agreed: asked.append(folder) or "networks")
    monkeypatch.setattr(best_model, "model_bytes", lambda networks: f"all {networks}".encode())
    save_best(session)
    assert session.state.best is not None and session.state.best["run"] == "both" and asked == [place]
    assert session.state.best_network is not None and session.state.best_network["run"] == "wide"
    assert session.state.best_network["by"] == "the highest validation accuracy, among single networks"
    assert (session.folder.root / MODEL).read_bytes() == b"all networks"
    session.state.leave_out([{"run": "both", "seed": 0, "why": "skipped"}])
    save_best(session)
    assert session.state.best["run"] == "wide"
