"""Logs for TensorBoard if it is installed, and for MLflow if the study asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headstart.disclosure import disclosable
from headstart.errors import StoreError, first_line, require
from headstart.storage.names import folder_name
from headstart.study.results.folder import StudyFolder
from headstart.study.spec.tracker import MLFLOW
from headstart.transfer.event_file import EventFile

CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr")
Tracker = Callable[["Logged"], None]


@dataclass(frozen=True)
class Logged:
    """The content of a finished run's folder.

    Args:
        key: of the run and seed.
        spec: its settings, as spec.json holds them.
        result: its scores and costs.
        history: a row for each epoch.
    """

    key: str
    spec: Mapping[str, Any]
    result: Mapping[str, Any]
    history: list[dict[str, Any]]


def trackers(folder: StudyFolder, track: str | None, name: str) -> list[Tracker]:
    """Return the trackers of finished runs: TensorBoard if it is installed, and MLflow if the study asks for it.

    Args:
        folder: the study's folder.
        track: None, "mlflow" (an sqlite file in the study's folder), or the address of an MLflow server.
        name: of the study.

    Raises:
        MissingExtra: the study asks for MLflow, which is not installed.
        StoreError: the MLflow server does not answer.
    """
    chosen: list[Tracker] = [_tensorboard(folder)] if find_spec("tensorboard") is not None else []
    if track is not None:
        address = f"sqlite:///{(folder.root / 'mlflow.db').resolve()}" if track == MLFLOW else track
        chosen.append(_mlflow(address, name))
    return chosen


def scalars(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a result by name, such as "test/accuracy"."""
    found: dict[str, float] = {}
    for side, metrics in result["metrics"].items():
        for name, entry in (metrics or {}).items():
            if isinstance(entry, Mapping) and isinstance(entry.get("value"), int | float):
                found[f"{side}/{name}"] = float(entry["value"])
    found["cost/seconds"] = float(result["cost"]["seconds"])
    return found


def _tensorboard(folder: StudyFolder) -> Tracker:
    def log(done: Logged) -> None:
        place: Path = folder.root / "tensorboard" / folder_name(done.spec["run"]) / f"seed-{done.spec['seed']}"
        with EventFile(place) as events:
            for row in done.history:
                known = {name.replace("_", "/", 1): float(row[name]) for name in CURVES if row.get(name) is not None}
                events.add(known, int(row["epoch"]))
            events.add(scalars(done.result), 0)

    return log


def _mlflow(address: str, study: str) -> Tracker:
    require("mlflow", "tracking with MLflow", "track")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # standard output is for results
    import mlflow
    from mlflow.entities import Metric, Param, RunTag

    try:
        client = mlflow.MlflowClient(tracking_uri=address)
        experiment = client.get_experiment_by_name(study)
        number = client.create_experiment(study) if experiment is None else experiment.experiment_id
    except Exception as error:  # MLflow raises whatever its transport or database raises
        why = first_line(error).split(". ")[0]
        raise StoreError(f"MLflow at {address} does not answer ({why}); start it, or drop track") from error

    def log(done: Logged) -> None:
        spec, name = done.spec, f"{done.spec['run']} (seed {done.spec['seed']})"
        run = client.create_run(number, run_name=name, tags={"headstart.key": done.key})
        params = [
            Param(key, disclosable(str(spec[key]))[:500])
            for key in ("run", "seed", "backbone", "weights", "strategy", "recipe")
        ]
        params += [
            Param(f"chosen.{key}", disclosable(str(value))[:500]) for key, value in done.result["chosen"].items()
        ]
        metrics = [Metric(key.replace("/", "."), value, 0, 0) for key, value in scalars(done.result).items()]
        for row in done.history:
            step = int(row["epoch"])
            metrics += [Metric(name, float(row[name]), 0, step) for name in CURVES if row.get(name) is not None]
        for start in range(0, len(metrics), 900):  # MLflow takes 1,000 metrics a call
            client.log_batch(run.info.run_id, metrics=metrics[start : start + 900])
        client.log_batch(run.info.run_id, params=params, tags=[RunTag("headstart.study", study)])
        client.set_terminated(run.info.run_id)

    return log
