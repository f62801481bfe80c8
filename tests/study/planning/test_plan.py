from __future__ import annotations

from typing import Any

from headstart.study.planning.plan import Plan, TaskGroup
from headstart.study.spec.load import load_study
from headstart.study.task import Task


def plan_of(runs: dict[str, Any], *groups: tuple[str, ...]) -> Plan:
    study = load_study({"name": "s", "data": "d", "runs": runs})
    return Plan(study, tuple(TaskGroup("heads", tuple(Task(study.run(n), 0, n) for n in names)) for names in groups))


RUNS: dict[str, Any] = {"a": {"strategy": "ridge"}, "b": {"strategy": "knn"}, "c": {"strategy": "ridge"}}


def test_the_parts_of_heads_are_their_kinds_in_order() -> None:
    group = plan_of(RUNS, ("a", "b", "c")).groups[0]
    assert [[task.run.name for task in part.tasks] for part in group.parts()] == [["a", "c"], ["b"]]
    assert {part.kind for part in group.parts()} == {"heads"} and group.first.run.name == "a"
    tuned = TaskGroup("tune", group.tasks)
    assert tuned.parts() == [tuned]


def test_the_tasks_of_a_plan_are_those_of_its_groups_in_order() -> None:
    plan = plan_of(RUNS, ("b",), ("a", "c"))
    assert [task.run.name for task in plan.tasks] == ["b", "a", "c"]
    assert plan.own_tasks == plan.tasks and plan.unavailable == ()


def test_own_tasks_are_on_the_studys_own_images() -> None:
    runs: dict[str, Any] = {"far": {"data": "other"}, "near": {}}
    assert [task.run.name for task in plan_of(runs, ("far",), ("near",)).own_tasks] == ["near"]
    assert [task.run.name for task in plan_of({"far": {"data": "other"}}, ("far",)).own_tasks] == ["far"]
