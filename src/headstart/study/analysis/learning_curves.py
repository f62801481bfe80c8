"""Predicts the gain from more labels, for runs with a shots or fraction axis."""

from __future__ import annotations

from typing import Any

from headstart.study.execution.session import Session
from headstart.study.results.facts import write_facts
from headstart.study.task import Task


def learning_curves(session: Session) -> None:
    """Predict the gain from doubling the labels, for every run with a shots or fraction axis."""
    from headstart.fewshot.learning_curve import learning_curve

    found: list[dict[str, Any]] = []
    metric = session.plan.study.spec.compare.metric
    groups: dict[tuple[str, str], dict[float, list[float]]] = {}
    for task in session.plan.tasks:
        axis = (
            "shots" if task.run.spec.shots is not None else "fraction" if task.run.spec.fraction is not None else None
        )
        score = session.folder.score(task.run.name, task.seed, "test", metric)
        if axis is None or score is None:
            continue
        base = " · ".join(part for part in task.run.name.split(" · ") if not part.startswith(axis))
        groups.setdefault((base, axis), {}).setdefault(_labels(session, task, axis), []).append(score)
    for (run, axis), scores in groups.items():
        if len(scores) == 1:  # one size is a setting, and nobody asked for a curve
            continue
        unit = "labels per class" if axis == "shots" else "labels"
        curve = learning_curve(dict(sorted(scores.items())), metric=metric, unit=unit)
        found.append({"run": run, "axis": axis, "metric": metric, **curve.to_dict()})
        session.listener.note(f"{run}: {curve.words}")
    if found:
        write_facts(session.folder.root / "learning.json", {"curves": found})


def _labels(session: Session, task: Task, axis: str) -> float:
    """Return the number of labels of a run: per class with shots, in all with fractions."""
    split = session.resources.split(task.run.data, task.seed, task.run.subset)
    classes = len(session.resources.dataset(task.run.data).classes)
    if axis == "fraction":
        return float(round(len(split.train), -1) or len(split.train))
    return (
        float(task.run.spec.shots) if isinstance(task.run.spec.shots, int) else float(round(len(split.train) / classes))
    )
