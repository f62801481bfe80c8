"""Describes a plan as rows for people."""

from __future__ import annotations

from typing import Any

from headstart.notebook import Shown
from headstart.study.planning.plan import Plan, Unavailable
from headstart.study.resources import Resources
from headstart.study.results.folder import StudyFolder
from headstart.study.results.run_record import KIND as FITS
from headstart.transfer.frozen.features import KIND as FEATURES


class PlanRows(Shown, list[dict[str, Any]]):
    """The rows of a plan, one per group."""


def describe(plan: Plan, resources: Resources, folder: StudyFolder) -> list[dict[str, Any]]:
    """Return one row per group: what it computes, shares and finds finished; unavailable runs come last."""
    rows = []
    for group in plan.groups:
        task = group.first
        dataset = resources.dataset(task.run.data)
        done = sum(folder.has(t.run.name, t.seed, t.key) or resources.store.has(FITS, t.key) for t in group.tasks)
        row: dict[str, Any] = {
            "kind": group.kind,
            "dataset": dataset.name,
            "images": len(dataset),
            "backbone": task.run.spec.backbone,
            "runs": list(dict.fromkeys(t.run.name for t in group.tasks)),
            "tasks": len(group.tasks),
            "configurations": sum(t.run.tries for t in group.tasks),
            "done": done,
        }
        if task.run.needs is None and group.kind != "tune":
            row["features_stored"] = resources.store.has(
                FEATURES, resources.features_key(task.run.data, task.run.network, task.seed)
            )
        rows.append(row)
    return rows + [_unavailable_row(each, len(plan.study.spec.seed_list)) for each in plan.unavailable]


def _unavailable_row(unavailable: Unavailable, tasks: int) -> dict[str, Any]:
    return {
        "kind": "unavailable",
        "dataset": unavailable.run.data.name or unavailable.run.data.source,
        "images": 0,
        "backbone": unavailable.run.spec.backbone,
        "runs": [unavailable.run.name],
        "tasks": tasks,
        "configurations": 0,
        "done": 0,
        "why": unavailable.why,
    }
