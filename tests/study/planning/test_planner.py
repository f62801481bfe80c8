from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import WeightsAbsent
from headstart.storage.opening import default_store
from headstart.study.planning import planner
from headstart.study.planning.describe import describe
from headstart.study.planning.plan import Plan
from headstart.study.planning.planner import make_plan
from headstart.study.resources import Resources
from headstart.study.results.folder import StudyFolder
from headstart.study.spec.load import load_study


def planned(pictures: Path, runs: dict[str, Any], *, seeds: int = 1, strict: bool = False) -> Plan:
    spec = {"name": "s", "data": str(pictures), "seeds": seeds, "runs": runs}
    spec["defaults"] = {"backbone": "lenet5", "weights": "none"}
    return make_plan(load_study(spec), Resources(default_store(), "cpu"), strict=strict)


def grouped(plan: Plan) -> dict[frozenset[tuple[str, int]], str]:
    return {frozenset((task.run.name, task.seed) for task in group.tasks): group.kind for group in plan.groups}


def test_heads_on_the_same_features_are_one_group_and_everything_else_its_own(pictures: Path) -> None:
    train = {"recipe": {"epochs": 1, "batch_size": 8}}
    runs = {
        "ridge": {"strategy": "ridge"},
        "knn": {"strategy": "knn", "head": {"k": 3}},
        "cut": {"strategy": "ridge", "truncate_at": "conv1"},
        "larger": {"strategy": "ridge", "input_size": 40},
        "blurred": {"strategy": "ridge", "resize": 36},
        "trained": {"strategy": "scratch", **train},
        "carried": {"strategy": "ridge", "weights": {"run": "trained"}},
        "episodes": {"episodes": {"ways": 3, "shots": 1, "queries": 2}},
    }
    found = grouped(planned(pictures, runs, seeds=2))
    both = {name: frozenset({(name, 0), (name, 1)}) for name in runs}
    assert found == {
        both["ridge"] | both["knn"]: "heads",  # random weights are drawn once for heads
        both["cut"]: "heads",
        both["larger"]: "heads",
        both["blurred"]: "heads",
        **{frozenset({("trained", seed)}): "tune" for seed in (0, 1)},
        **{frozenset({("carried", seed)}): "heads" for seed in (0, 1)},  # each seed trains another network
        **{frozenset({("episodes", seed)}): "episodes" for seed in (0, 1)},
    }


def test_planning_twice_gives_the_same_plan_and_changes_nothing(pictures: Path) -> None:
    short = {"recipe": {"epochs": 1, "batch_size": 8}}
    runs = {
        "ridge": {"strategy": "ridge"},
        "trained": {"strategy": "scratch", **short},
        "searched": {"strategy": "scratch", "recipe": {**short["recipe"], "lr": {"grid": [0.1, 0.01]}}},
        "carried": {"strategy": "ridge", "weights": {"run": "trained"}},
        "episodes": {"episodes": {"ways": 3, "shots": 1, "queries": 2}},
    }
    spec = {"name": "s", "data": str(pictures), "seeds": 2, "runs": runs, "ensembles": {"both": ["ridge", "trained"]}}
    spec["defaults"] = {"backbone": "lenet5", "weights": "none"}
    study, resources = load_study(spec), Resources(default_store(), "cpu")
    before = copy.deepcopy(study)
    first = make_plan(study, resources)
    kept = copy.deepcopy(first)
    rows = describe(first, resources, StudyFolder(pictures.parent / "out"))
    second = make_plan(study, resources)
    assert study == before and first == second == kept
    assert describe(second, resources, StudyFolder(pictures.parent / "out")) == rows
    assert not (pictures.parent / "out").exists()


def test_planning_writes_nothing(pictures: Path) -> None:
    plan = planned(pictures, {"ridge": {"strategy": "ridge"}})
    assert not [path for path in Path(os.environ["HEADSTART_CACHE"]).glob("*/*") if path.parent.name != "digests"]
    (fingerprint,) = plan.learned_on.values()
    assert len(fingerprint) == 32 and plan.learned_on.keys() == {"ridge"}


def test_each_run_is_checked_once_with_the_first_seed(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    for name in ("check_run", "check_batches", "check_choosing", "check_evaluate_only"):
        monkeypatch.setattr(planner, name, lambda run, *rest, name=name: called.append((name, run.name, rest[-1])))
    monkeypatch.setattr(planner, "check_extras", lambda study: called.append("extras"))
    plan = planned(pictures, {"a": {"strategy": "ridge"}, "b": {"strategy": "knn"}}, seeds=3)
    assert called[0] == "extras" and len(called) == 1 + 2 * 4 and len(plan.tasks) == 6
    assert [row for row in called if row[0] in ("check_batches", "check_choosing")] == [
        (name, run, 0) for run in "ab" for name in ("check_batches", "check_choosing")
    ]


def test_an_unavailable_run_is_set_aside_unless_the_plan_is_strict(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, *, download: bool = True) -> Path:
        raise WeightsAbsent("no route")

    monkeypatch.setattr("headstart.models.create.fetch_url", refuse)
    runs = {"near": {"strategy": "ridge"}, "far": {"backbone": "alexnet", "weights": "imagenet", "strategy": "ridge"}}
    plan = planned(pictures, runs)
    assert [task.run.name for task in plan.tasks] == ["near"] and plan.learned_on.keys() == {"near"}
    assert [(each.run.name, each.why) for each in plan.unavailable] == [("far", "no route")]
    with pytest.raises(WeightsAbsent, match="run 'far': no route"):
        planned(pictures, runs, strict=True)
