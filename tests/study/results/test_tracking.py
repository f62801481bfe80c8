from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import StoreError
from headstart.study.run import run_study
from headstart.study.spec.load import load_study


def spec(small_study: dict[str, Any], **more: Any) -> dict[str, Any]:
    runs = {name: small_study["runs"][name] for name in ("pixels", "tuned")}
    return {**small_study, "seeds": 1, "runs": runs, **more}


def test_tensorboard_holds_every_epoch_and_every_score(small_study: dict[str, Any], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    root = run_study(load_study(spec(small_study)), tmp_path / "out", device="cpu").root
    events = EventAccumulator(str(root / "tensorboard" / "tuned" / "seed-0")).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"train/loss", "validation/accuracy", "lr", "test/accuracy", "cost/seconds"} <= tags
    import json

    history = json.loads((root / "runs" / "tuned" / "seed-0" / "history.json").read_text())
    assert [e.value for e in events.Scalars("train/loss")] == pytest.approx([row["train_loss"] for row in history])


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Any:
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'headstart[track]'")
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination",
        str(tmp_path / "a"),
    ]
    server = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # processes that headstart does not use
        start_new_session=True,
    )
    try:
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=1):
                    break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail("the MLflow server did not start within two minutes")
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(timeout=30)


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")  # MLflow's own deprecations
def test_a_real_mlflow_server_gets_parameters_curves_and_scores(
    small_study: dict[str, Any], tmp_path: Path, mlflow_server: str
) -> None:
    import mlflow

    ensembles = {"mean": ["pixels", "tuned"]}
    study = spec(small_study, track=mlflow_server, ensembles=ensembles)
    root = run_study(load_study(study), tmp_path / "out", device="cpu").root
    client = mlflow.MlflowClient(tracking_uri=mlflow_server)
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"pixels (seed 0)", "tuned (seed 0)", "mean (seed 0)"}
    tuned = runs["tuned (seed 0)"]
    import json

    result = json.loads((root / "runs" / "tuned" / "seed-0" / "result.json").read_text())
    assert tuned.data.metrics["test.accuracy"] == pytest.approx(result["metrics"]["test"]["accuracy"]["value"])
    assert tuned.data.params["backbone"] == "lenet5" and tuned.info.status == "FINISHED"
    assert len(client.get_metric_history(tuned.info.run_id, "train_loss")) == 1


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")
def test_mlflow_goes_to_an_sqlite_file_unless_told_otherwise(small_study: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'headstart[track]'")
    root = run_study(load_study(spec(small_study, track="mlflow")), tmp_path / "out", device="cpu").root
    assert (root / "mlflow.db").stat().st_size > 0


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")
def test_an_mlflow_server_that_does_not_answer_is_one_line(
    small_study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'headstart[track]'")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreError, match="does not answer"):
        run_study(load_study(spec(small_study, track="http://127.0.0.1:9")), tmp_path / "out", device="cpu")
