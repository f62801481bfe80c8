"""The plan's figures: what each group costs, after those before it have done what is shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headstart.progress import progress
from headstart.study.estimate import Forecast
from headstart.study.folder import StudyFolder
from headstart.study.measure import Meter
from headstart.study.plan import Plan
from headstart.study.workshop import Workshop


def with_costs(
    rows: Sequence[dict[str, Any]], plan: Plan, workshop: Workshop, folder: StudyFolder
) -> list[dict[str, Any]]:
    """Return the rows of a plan with "seconds", "disk_bytes", "memory_bytes" and "stages" of every group."""
    forecast = Forecast(workshop, folder, Meter(workshop.store, workshop.device))
    seen: set[str] = set()
    found = []
    with progress("measuring what this machine does", len(plan.groups), "stages") as ticker:
        for row, group in zip(rows, plan.groups, strict=False):  # rows of runs that cannot be done follow
            found.append({**row, **forecast.describe(group, seen)})
            ticker.advance()
    return [*found, *rows[len(plan.groups) :]]
