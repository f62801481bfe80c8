"""Audits a study's images, with features that the study computed."""

from __future__ import annotations

from headstart.data.dataset import Dataset, Split
from headstart.models.pixels import NAME as PIXELS
from headstart.study.analysis.finished import uses_images
from headstart.study.execution.session import Session
from headstart.study.results.facts import known_facts, write_facts
from headstart.study.task import Task


def audit_data(session: Session, dataset: Dataset, split: Split) -> None:
    """Audit a dataset of the study once, with the features of one of its networks if there are any."""
    from headstart.audit.audit import audit_dataset

    path = session.folder.data_folder(dataset.fingerprint) / "audit.json"
    if known_facts(path, dataset.fingerprint) is not None or not session.plan.study.spec.audit:
        return
    tasks = [task for task in with_trained_features(session) if uses_images(task, dataset, session)]
    features = None
    if tasks:
        task = tasks[0]
        features = session.resources.features(task.run.data, task.run.network, task.seed)
    bad = session.resources.bad_rows(dataset)
    found = audit_dataset(dataset, bad=bad, features=features, split=split, store=session.resources.store)
    write_facts(path, {**found, "key": dataset.fingerprint})


def with_trained_features(session: Session) -> list[Task]:
    """Return the finished tasks whose frozen features come from trained weights, published weights first."""
    found = [
        task
        for task in session.plan.tasks
        if task.probe
        and task.run.spec.backbone != PIXELS
        and task.run.spec.weights.name != "none"
        and session.finished(task)  # the features of the others may not be computed yet
    ]
    return sorted(found, key=lambda task: task.run.needs is not None)
