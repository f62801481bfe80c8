from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from headstart.study.planning.plan import TaskGroup
from headstart.study.planning.priority import (
    BASELINE,
    DEFAULT,
    FROZEN,
    LEARNED,
    RANDOM,
    kind_of,
    learns,
    needed,
    ordered,
    preferred_backbone,
    pretrained,
)
from headstart.study.spec.load import load_study
from headstart.study.task import Task

SIZES = {"big": 30, "small": 10}
RUNS: dict[str, Any] = {
    "tuned": {"strategy": "fine_tune"},
    "random": {"weights": "none"},
    "big": {"backbone": "big"},
    "small": {"backbone": "small"},
    "own": {},
    "pixels": {"backbone": "pixels", "strategy": "ridge"},
    "majority": {"strategy": "majority"},
    "chain": {"weights": {"run": "tuned"}},
    "episodes": {"strategy": "protonet", "weights": "none", "episodes": {}},
}


def groups_of(runs: dict[str, Any] = RUNS, seeds: int = 1, **more: Any) -> tuple[Any, list[TaskGroup]]:
    study = load_study({"name": "s", "data": "d", "seeds": seeds, "runs": runs, **more})
    kinds = {"tuned": "tune", "more": "tune", "episodes": "episodes"}
    groups = [
        TaskGroup(kinds.get(run.name, "heads"), (Task(run, seed, ""),))
        for seed in study.spec.seed_list
        for run in study.runs
    ]
    return study, groups


def loaded(network: Any, seed: int) -> Any:
    stages = torch.nn.Linear(SIZES.get(network.backbone, 1), 1, bias=False)
    return SimpleNamespace(backbone=SimpleNamespace(stages=stages))


RESOURCES: Any = SimpleNamespace(loaded=loaded)


def test_baselines_come_first_and_tuned_networks_last() -> None:
    study, groups = groups_of()
    kinds = {group.first.run.name: kind_of(group, preferred_backbone(study)) for group in groups}
    assert kinds == {
        "tuned": LEARNED,
        "random": RANDOM,
        "big": FROZEN,
        "small": FROZEN,
        "own": DEFAULT,
        "pixels": BASELINE,
        "majority": BASELINE,
        "chain": DEFAULT,
        "episodes": LEARNED,
    }
    assert [name for name, kind in kinds.items() if kind == LEARNED] == [g.first.run.name for g in groups if learns(g)]
    assert {group.first.run.name for group in groups if pretrained(group)} == {"big", "small", "own"}
    order = [group.first.run.name for group in ordered(groups, study, RESOURCES)]
    assert order == ["pixels", "majority", "own", "small", "big", "random", "tuned", "chain", "episodes"]


@pytest.mark.parametrize("first", ["majority", "probe"])
def test_a_baseline_among_the_heads_of_a_network_does_not_hide_it(first: str) -> None:
    runs: dict[str, Any] = {"majority": {"strategy": "majority"}, "probe": {"strategy": "ridge"}}
    _, groups = groups_of({first: runs.pop(first), **runs}, defaults={"backbone": "big"})
    group = TaskGroup("heads", tuple(sorted((each.first for each in groups), key=lambda task: task.run.name != first)))
    assert group.first.run.name == first and pretrained(group)
    assert not any(pretrained(TaskGroup("heads", (task,))) for task in group.tasks if task.run.name == "majority")


def test_one_seed_of_each_tuned_run_comes_before_the_next_seed_of_any() -> None:
    study, groups = groups_of({"tuned": {"strategy": "fine_tune"}, "more": {"strategy": "fine_tune"}}, seeds=2)
    by_run = sorted(groups, key=lambda group: group.first.run.name)
    order = [(group.first.run.name, group.first.seed) for group in ordered(by_run, study, RESOURCES)]
    assert order == [("more", 0), ("tuned", 0), ("more", 1), ("tuned", 1)]


def test_a_group_needs_the_sources_of_its_tasks() -> None:
    _, groups = groups_of()
    found = {group.first.run.name: needed(group) for group in groups}
    assert found["chain"] == {("tuned", 0)} and found["own"] == set()


def test_the_preferred_backbone_is_that_of_the_defaults() -> None:
    plain: dict[str, Any] = {"a": {}}
    assert preferred_backbone(groups_of(plain, defaults={"backbone": "big"})[0]) == "big"
    both = {"backbone": {"each": ["big", "small"]}}
    assert preferred_backbone(groups_of(plain, defaults=both)[0]) == "efficientnet_lite0"
    assert preferred_backbone(groups_of(plain)[0]) == "efficientnet_lite0"
