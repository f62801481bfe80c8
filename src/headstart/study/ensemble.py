"""Ensembles: the mean of finished runs' calibrated probabilities, seed by seed, as a run of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.deploy.bundle import MEMBERS
from headstart.store import content_key, read_json
from headstart.study.folder import json_bytes
from headstart.study.record import Fit, judged, result_files

if TYPE_CHECKING:
    from headstart.study.execute import Session
    from headstart.study.task import Task

STRATEGY = "ensemble"
_VERSION = 1  # raise it when the same members would give other numbers


def expected(session: Session) -> list[dict[str, Any]]:
    """Return the run and seed of every ensemble of the study."""
    spec = session.plan.study.spec
    return [{"run": name, "seed": seed} for name in spec.ensembles for seed in spec.seed_list]


def write_ensembles(session: Session) -> None:
    """Write a run folder for each ensemble and seed whose members have all ended well; say of the others why not.

    Nothing is learned and nothing is chosen: every member counts alike (soft voting), and only the temperature of the
    mean is fitted, on validation.
    """
    spec = session.plan.study.spec
    left_out = []
    for row in expected(session):
        name, seed = row["run"], row["seed"]
        tasks = {task.run.name: task for task in session.plan.tasks if task.seed == seed}
        gone = [m for m in spec.ensembles[name] if m not in tasks or not session.folder.has(m, seed, tasks[m].key)]
        if gone:
            left_out.append({**row, "why": f"averages {gone[0]!r}, which was not run or failed"})
            continue
        _write(session, name, [tasks[member] for member in spec.ensembles[name]])
    if left_out:
        session.leave_out(left_out)
        session.listener.note(f"not averaged: {left_out[0]['run']}: {left_out[0]['why']}")


def _write(session: Session, name: str, members: Sequence[Task]) -> None:
    first, seed = members[0], members[0].seed
    key = content_key([STRATEGY, _VERSION, [task.key for task in members]])
    shown = f"{name} (seed {seed})"
    if session.folder.has(name, seed, key):
        session.listener.reused(shown)
        return
    session.listener.running(shown)
    started, workshop = time.perf_counter(), session.workshop
    dataset = workshop.dataset(first.run.data)
    split = workshop.split(first.run, seed).without(sorted(workshop.bad_rows(dataset)))
    folders = [session.folder.run_folder(task.run.name, seed) for task in members]
    found = [_predictions(folder / "predictions.npz") for folder in folders]
    results = [read_json(folder / "result.json") for folder in folders]
    specs = [read_json(folder / "spec.json") for folder in folders]
    assert all(np.array_equal(each["test_rows"], split.test) for each in found), "members tested on other rows"
    held = all(
        "validation_rows" in each and np.array_equal(each["validation_rows"], split.validation) for each in found
    )
    mean = {
        part: np.mean([each[f"{part}_probabilities"] for each in found], axis=0).astype(np.float32)
        for part in (("test", "validation") if held else ("test",))
    }
    fit = Fit(
        notes=[f"the mean of {len(members)} runs' probabilities: {', '.join(task.run.name for task in members)}"],
        validation=mean.get("validation"),
        learned=sum(result["parameters"]["learned"] for result in results),
        total=sum(result["parameters"]["total"] for result in results),
        seconds=time.perf_counter() - started,
    )
    costs = [result["cost"] for result in results]
    result, predictions = judged(
        fit,
        dataset,
        split,
        mean["test"],
        weights={"origin": "those of its members", "sha256": None, "licence": None},
        shared={"seconds": sum((cost["seconds"] or 0.0) + (cost["shared_seconds"] or 0.0) for cost in costs)},
        device=workshop.device,
    )
    settings = {
        **specs[0],
        "run": name,
        "strategy": STRATEGY,
        "backbone": " + ".join(dict.fromkeys(spec["backbone"] for spec in specs)),
        "weights": {"name": "of its members"},
        "members": [task.run.name for task in members],
        "head": {},
        "recipe": {},
        "axes": {},
    }
    place = session.folder.run_folder(name, seed)
    listed = {"members": [_from(place, folder) for folder in folders], "temperature": result["temperature"]}
    files = {
        "spec.json": json_bytes(settings),
        **result_files(result, predictions, fit, split, workshop.device),
        MEMBERS: json_bytes(listed),
    }
    session.folder.write_run(name, seed, key, files)
    metric = session.plan.study.spec.compare.metric
    session.listener.done(shown, result["metrics"]["test"].get(metric, {}).get("value", float("nan")))


def _predictions(path: Any) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


def _from(place: Any, folder: Any) -> str:
    """Return a run folder as seen from another of the same study."""
    return f"../../{folder.relative_to(place.parent.parent)}"
