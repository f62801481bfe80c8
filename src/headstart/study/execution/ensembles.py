"""Ensembles: the mean of finished runs' calibrated probabilities, for each seed, as a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Split
from headstart.models.bundle import MEMBERS
from headstart.storage.files import read_json
from headstart.study.execution.session import Session
from headstart.study.planning.ensemble_keys import STRATEGY, ensemble_key, expected
from headstart.study.results.folder import json_bytes
from headstart.study.results.run_record import Fit, Probabilities, judged, result_files
from headstart.study.results.state import LeftOut
from headstart.study.task import Task

BODY = ("backbone", "weights", "truncate_at", "input_size", "resize")  # members with equal settings share cost


def write_ensembles(session: Session) -> None:
    """Write a run folder for each ensemble and seed whose members are all finished; record why others are skipped.

    Nothing is learned and nothing is chosen: all members have equal weight (soft voting), and only the temperature of
    the mean is fitted, on validation.
    """
    spec = session.plan.study.spec
    left_out: list[LeftOut] = []
    for row in expected(spec):
        name, seed = row["run"], row["seed"]
        tasks = {task.run.name: task for task in session.plan.tasks if task.seed == seed}
        gone = [m for m in spec.ensembles[name] if m not in tasks or not session.finished(tasks[m])]
        if gone:
            left_out.append(LeftOut(run=name, seed=seed, why=f"averages {gone[0]!r}, which was skipped or failed"))
            continue
        _write(session, name, [tasks[member] for member in spec.ensembles[name]])
    if left_out:
        session.state.leave_out(left_out)
        session.listener.note(f"skipped the ensemble {left_out[0]['run']}: {left_out[0]['why']}")


def _write(session: Session, name: str, members: Sequence[Task]) -> None:
    first, seed = members[0], members[0].seed
    key = ensemble_key(members)
    shown = f"{name} ({first.run.data.split.words(seed)})"
    if session.folder.has(name, seed, key):
        session.listener.reused(shown)
        return
    session.listener.running(shown)
    started, resources = time.perf_counter(), session.resources
    dataset = resources.dataset(first.run.data)
    folders = [session.folder.run_folder(task.run.name, seed) for task in members]
    rows = _arrays(folders[0] / "split.npz")  # without images that could not be decoded
    split = replace(
        resources.split(first.run.data, seed, first.run.subset),
        train=rows["train"],
        validation=rows["validation"],
        test=rows["test"],
    )
    results = [read_json(folder / "result.json") for folder in folders]
    specs = [read_json(folder / "spec.json") for folder in folders]
    test, validation = _means([_arrays(folder / "predictions.npz") for folder in folders], split)
    learned, total, seconds = _counted(specs, results)
    fit = Fit(
        notes=[f"the mean of {len(members)} runs' probabilities: {', '.join(task.run.name for task in members)}"],
        validation=validation,
        learned=learned,
        total=total,
        seconds=time.perf_counter() - started,
    )
    result, predictions = judged(
        fit,
        dataset,
        split,
        test,
        weights={"origin": "those of its members", "sha256": None, "licence": None},
        shared={"seconds": seconds},
        device=resources.device,
    )
    places = [f"../../{folder.relative_to(folder.parent.parent)}" for folder in folders]
    files = {
        "spec.json": json_bytes(_settings(name, members, specs)),
        **result_files(result, predictions, fit, split, resources.device),
        MEMBERS: json_bytes({"members": places, "temperature": result["temperature"]}),
    }
    session.folder.write_run(name, seed, key, files)
    session.track(name, seed, key)
    session.done(shown, result)


def _counted(specs: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> tuple[int, int, float]:
    """Return the learned and total parameters and the seconds of the members; shared work is counted once."""
    bodies = [json_bytes([spec[name] for name in BODY]) for spec in specs]
    parameters, costs = [result["parameters"] for result in results], [result["cost"] for result in results]
    learned = sum(each["learned"] for each in parameters)
    frozen = {(body, each["total"] - each["learned"]) for body, each in zip(bodies, parameters, strict=True)}
    passes = {(body, cost["shared_seconds"] or 0.0) for body, cost in zip(bodies, costs, strict=True)}
    seconds = sum(cost["seconds"] or 0.0 for cost in costs) + sum(each for _, each in passes)
    return learned, learned + sum(count for _, count in frozen), seconds


def _means(found: Sequence[Mapping[str, np.ndarray]], split: Split) -> tuple[Probabilities, Probabilities | None]:
    """Return the mean probabilities of the test rows, and of the validation rows if all members have them."""

    def mean(part: str) -> Probabilities:
        average: Probabilities = np.mean([each[f"{part}_probabilities"] for each in found], axis=0).astype(np.float32)
        return average

    assert all(np.array_equal(each["test_rows"], split.test) for each in found), "members tested on other rows"
    held = [each["validation_rows"] for each in found if "validation_rows" in each]
    everyone = len(held) == len(found) and all(np.array_equal(rows, split.validation) for rows in held)
    return mean("test"), mean("validation") if everyone else None


def _settings(name: str, members: Sequence[Task], specs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the content of spec.json: the common settings of the members, and their names."""
    return {
        **specs[0],
        "run": name,
        "strategy": STRATEGY,
        "backbone": " + ".join(dict.fromkeys(spec["backbone"] for spec in specs)),
        "weights": {"name": "of its members"},
        "members": [task.run.name for task in members],
        "head": {},
        "recipe": {},
        "axes": {},
        "deterministic": all(spec.get("deterministic") for spec in specs),
    }


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)
