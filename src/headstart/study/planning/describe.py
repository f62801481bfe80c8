"""A plan as rows, for people."""

from __future__ import annotations

from typing import Any

from headstart.study.planning.plan import Plan, Unavailable
from headstart.study.resources import Resources
from headstart.study.results.folder import StudyFolder
from headstart.study.results.run_record import KIND as FITS
from headstart.transfer.frozen.features import KIND as FEATURES


def describe(plan: Plan, resources: Resources, folder: StudyFolder) -> list[dict[str, Any]]:
    """Return one row per group: what it computes, what it shares, what is there already; last, what cannot be done."""
    rows = []
    for group in plan.groups:
        task = group.first
        dataset = resources.dataset(task.run.data)
        there = sum(folder.has(t.run.name, t.seed, t.key) or resources.store.has(FITS, t.key) for t in group.tasks)
        row: dict[str, Any] = {
            "kind": group.kind,
            "dataset": dataset.name,
            "images": len(dataset),
            "backbone": task.run.spec.backbone,
            "runs": list(dict.fromkeys(t.run.name for t in group.tasks)),
            "tasks": len(group.tasks),
            "configurations": sum(t.run.tries for t in group.tasks),
            "done": there,
        }
        if task.run.needs is None and group.kind != "tune":
            row["features_stored"] = resources.store.has(
                FEATURES, resources.features_key(task.run.data, task.run.network, task.seed)
            )
        rows.append(row)
    return rows + [_absent_row(absent, len(plan.study.spec.seed_list)) for absent in plan.absent]


def _absent_row(absent: Unavailable, tasks: int) -> dict[str, Any]:
    return {
        "kind": "absent",
        "dataset": absent.run.data.name or absent.run.data.source,
        "images": 0,
        "backbone": absent.run.spec.backbone,
        "runs": [absent.run.name],
        "tasks": tasks,
        "configurations": 0,
        "done": 0,
        "why": absent.why,
    }
