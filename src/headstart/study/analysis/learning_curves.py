"""Predicts the gain from more labels, for runs with a shots or fraction axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from headstart.study.execution.session import Session
from headstart.study.results.facts import write_facts
from headstart.study.task import Task

Setting: TypeAlias = int | float | str


def learning_curves(session: Session) -> None:
    """Predict the gain from doubling the labels, for every run with a shots or fraction axis."""
    from headstart.fewshot.learning_curve import learning_curve

    found: list[dict[str, Any]] = []
    metric = session.plan.study.spec.compare.metric
    groups: dict[tuple[str, str], dict[Setting, list[tuple[float, float]]]] = {}
    for task in session.plan.tasks:
        axis = "shots" if task.run.spec.shots is not None else "fraction"
        setting = task.run.spec.shots if axis == "shots" else task.run.spec.fraction
        score = session.folder.score(task.run.name, task.seed, "test", metric)
        if setting is None or score is None:
            continue
        base = " · ".join(part for part in task.run.name.split(" · ") if not part.startswith(axis))
        groups.setdefault((base, axis), {}).setdefault(setting, []).append((_labels(session, task), score))
    for (run, axis), settings in groups.items():
        if len(settings) == 1:  # one size makes no curve
            continue
        unit = "labels per class" if axis == "shots" else "labels"
        curve = learning_curve(_by_size(settings, axis), metric=metric, unit=unit)
        found.append({"run": run, "axis": axis, "metric": metric, **curve.to_dict()})
        session.listener.note(f"{run}: {curve.words}")
    if found:
        write_facts(session.folder.root / "learning.json", {"curves": found})


def _labels(session: Session, task: Task) -> float:
    """Return the number of labels that a run learns from: per class with shots, in all with fractions."""
    shots = task.run.spec.shots
    if isinstance(shots, int):
        return float(shots)
    labels = len(session.resources.split(task.run.data, task.seed, task.run.subset).train)
    return float(labels) if shots is None else labels / len(session.resources.dataset(task.run.data).classes)


def _by_size(settings: Mapping[Setting, Sequence[tuple[float, float]]], axis: str) -> dict[float, list[float]]:
    """Return the scores by the number of labels, smallest first: the mean of a setting's, which folds may differ in."""
    found: dict[float, list[float]] = {}
    for pairs in settings.values():
        mean = sum(labels for labels, _ in pairs) / len(pairs)
        size = float(round(mean, -1) or round(mean)) if axis == "fraction" else float(round(mean))
        found.setdefault(size, []).extend(score for _, score in pairs)
    return dict(sorted(found.items()))
