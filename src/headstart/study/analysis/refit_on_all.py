"""`refit: all`: the delivered model, fitted with the kept run's configuration on every labelled image.

The kept run, its model and its scores stay as they are. The delivered model keeps the temperature of the tested one: no
image is left that could calibrate it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.data.dataset import Split
from headstart.errors import DataError, ModelError, RunFailed
from headstart.models.bundle import MODEL, Bundle, Ensemble, model_bytes
from headstart.models.bundle_file import licence_entry
from headstart.models.network import Network
from headstart.models.refitted import REFITTED, Refitted
from headstart.storage.files import read_json, write_atomic
from headstart.study.analysis.finished import finished_key
from headstart.study.execution.session import Session
from headstart.study.results.facts import known_facts, write_facts
from headstart.study.results.state import Kept
from headstart.study.spec.schema import AS_IS
from headstart.study.spec.settings import head_options
from headstart.study.task import Task, origin_of
from headstart.transfer.heads.fit import HeadJob, fit_heads
from headstart.version import VERSION

INDEX = "refitted.json"  # in the study's folder; it is there as long as the study's model is a refitted one


def refit_on_all(session: Session, kept: Kept) -> bool:
    """Refit the kept run on all images if the study asks for it; say whether the study's model is a refitted one.

    A refit that fails leaves the tested model to be delivered, and a note.
    """
    spec, path = session.plan.study.spec, session.folder.root / INDEX
    if spec.refit != "all":
        path.unlink(missing_ok=True)
        return False
    members = spec.ensembles.get(kept["run"], [kept["run"]])
    key = finished_key(session, "refit all", kept["run"], kept["seed"], members, VERSION)
    known = known_facts(path, key)
    if known is not None:
        session.state.refitted = known[REFITTED]
        return True
    path.unlink(missing_ok=True)
    tasks = [_task(session, member, kept["seed"]) for member in members]
    try:
        model, found = _refitted(session, kept, tasks)
    except (DataError, ModelError, RunFailed) as error:
        why = f"{kept['run']} could not be refitted on all images, so the tested model is delivered: {error}"
        session.state.not_refitted = why
        session.listener.note(why)
        return False
    write_atomic(session.folder.root / MODEL, model_bytes(model))
    write_facts(path, {"key": key, REFITTED: found}, [MODEL])
    session.state.refitted = found
    return True


def _task(session: Session, run: str, seed: int) -> Task:
    return next(task for task in session.plan.tasks if task.run.name == run and task.seed == seed)


def _refitted(session: Session, kept: Kept, tasks: list[Task]) -> tuple[Ensemble, Refitted]:
    result, metric = _result(session, kept["run"], kept["seed"]), session.plan.study.spec.compare.metric
    score = result["metrics"]["test"][metric]
    splits = [_split(session, task) for task in tasks]
    found = Refitted(
        images=len(splits[0].train) + len(splits[0].validation),
        run=kept["run"],
        seed=kept["seed"],
        metric=metric,
        value=score["value"],
        low=score["low"],
        high=score["high"],
        n_test=result["n_test"],
    )
    members = tuple(_member(session, task, split, found) for task, split in zip(tasks, splits, strict=True))
    return Ensemble(members, result["temperature"] if len(members) > 1 else 1.0), found


def _split(session: Session, task: Task) -> Split:
    """Return the images of a task with its test part, and what a subset left out, among those to learn from."""
    resources = session.resources
    resources.images(task.run.data, resources.loaded(task.run.network, task.seed).backbone.preprocessing)
    bad = resources.bad_rows(resources.dataset(task.run.data))
    whole = resources.split(task.run.data, task.seed).without(sorted(bad))
    train = np.sort(np.concatenate([whole.train, whole.test]))
    return replace(whole, train=train, test=whole.test[:0])


def _member(session: Session, task: Task, split: Split, found: Refitted) -> Bundle:
    """Return one network, refitted."""
    result, spec = _result(session, task.run.name, task.seed), task.run.spec
    session.listener.note(f"refitting {task.run.name} on all {found['images']:,} images, test images included")
    provenance: dict[str, Any] = {
        **session.provenance,
        **task.provenance(session.resources.dataset(task.run.data)),
        **licence_entry(result["weights"]["licence"]),
        REFITTED: dict(found),
    }
    if spec.strategy == AS_IS:
        raise ModelError(f"{task.run.name} evaluates another run's network and learns nothing")
    if task.probe:
        return _head(session, task, split, result, provenance)
    from headstart.study.execution.tuning.fit import retrained  # imports Lightning, which heads do not need

    chosen = {name: value for name, value in result["chosen"].items() if name != "epoch"}
    values = {tuple(name.split(".")): value for name, value in chosen.items()}
    epoch = int(result["chosen"]["epoch"])
    bundle = retrained(task, split, session.resources, session.listener.note, values=values, epochs=epoch)
    return replace(bundle, temperature=result["temperature"], provenance=provenance)


def _head(
    session: Session, task: Task, split: Split, result: Mapping[str, Any], provenance: Mapping[str, Any]
) -> Bundle:
    """Fit a head on the stored features of all images, with the settings that validation chose."""
    resources, kind = session.resources, task.run.spec.head_kind
    assert kind is not None
    dataset = resources.dataset(task.run.data)
    features = resources.features(task.run.data, task.run.network, task.seed)
    options = {**head_options(task.run), **result["chosen"]}
    rows = np.sort(np.concatenate([split.train, split.validation]))
    job = HeadJob(kind, rows, rows[:0], len(dataset.classes), options, task.seed, False, task.run.metric)
    (fitted,) = fit_heads(features.reshape(len(features), -1), dataset.labels, [job], resources.device)
    network = Network(resources.loaded(task.run.network, task.seed).backbone, fitted.head)
    origin = origin_of(task.run, task.seed, resources)
    return Bundle(network, origin, dataset.classes, dataset.multi_label, result["temperature"], provenance)


def _result(session: Session, run: str, seed: int) -> dict[str, Any]:
    value: dict[str, Any] = read_json(session.folder.run_folder(run, seed) / "result.json")
    return value
