"""Budgets: how they are read, what is skipped, that a stopped study continues, and how good estimates are."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from told import Told

from headstart.errors import SpecError
from headstart.models.create import create_backbone
from headstart.report.read.summary import load_summary
from headstart.report.render.terminal import ranking_table
from headstart.storage.opening import default_store
from headstart.study.execution import budget as budget_module
from headstart.study.planning.cost import CostModel
from headstart.study.planning.microbenchmarks import Meter
from headstart.study.planning.plan import TaskGroup
from headstart.study.run import open_session, run_study
from headstart.study.spec.load import load_study

pytestmark = pytest.mark.long


class Clock:
    """A clock that the test sets: each group that begins costs so many seconds."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Every group is said to cost 10 s, and costs 10 s on this clock; closing a study 1 s."""
    clock = Clock()
    monkeypatch.setattr(budget_module, "now", clock)

    def seconds(self: CostModel, group: TaskGroup) -> float:
        return 10.0

    monkeypatch.setattr(CostModel, "seconds", seconds)
    monkeypatch.setattr(CostModel, "closing", lambda self, groups, audit: 1.0)
    from headstart.study import run as execute

    real = execute._run_group

    def run_group(group: TaskGroup, session: Any) -> None:
        real(group, session)
        clock.time += 10.0

    monkeypatch.setattr(execute, "_run_group", run_group)
    return clock


def execute_study(spec: dict[str, Any], out: Path) -> tuple[Path, Told]:
    told = Told()
    return run_study(load_study(spec), out, device="cpu", listener=told).root, told


@pytest.mark.parametrize("text", ["", "soon", "5", "5 parsecs", "min", "-3s", "0s", "5min later", 300, "1e3"])
def test_what_is_no_duration_is_one_line(text: object) -> None:
    with pytest.raises(SpecError, match="budget") as caught:
        load_study({"name": "s", "data": "d", "runs": {"a": {}}, "budget": text})
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_left_out_and_said(small_study: dict[str, Any], tmp_path: Path, clock: Clock) -> None:
    root, told = execute_study({**small_study, "budget": "42s"}, tmp_path / "out")
    facts = json.loads((root / "study.json").read_text())
    assert told.ran[:2] == ["pixels (seed 0)", "pixels (seed 1)"]  # baselines, then frozen heads, tuned networks last
    assert facts["status"] == "complete" and len(told.ran) == 7
    assert [(row["run"], row["seed"]) for row in facts["left_out"]] == [("tuned", 1)]
    assert "takes about 10.0 s" in facts["left_out"][0]["why"] and "over budget" in facts["left_out"][0]["why"]
    assert {"run": "tuned", "seed": 1} not in facts["expected"]
    summary = load_summary(root)
    assert not summary.partial and summary.left_out[0]["run"] == "tuned"
    assert "Not run" in str(ranking_table(summary).caption)


def test_the_same_study_without_a_budget_goes_on_and_ends_with_the_same_numbers(
    small_study: dict[str, Any], tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute_study({**small_study, "budget": "35s"}, tmp_path / "out")
    root, told = execute_study(small_study, tmp_path / "out")
    assert sorted(told.ran) == ["tuned (seed 0)", "tuned (seed 1)"] and len(told.found) == 6
    assert "left_out" not in json.loads((root / "study.json").read_text())
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "another cache"))
    whole, _ = execute_study(small_study, tmp_path / "whole")
    for path in sorted(whole.glob("runs/*/*/predictions.npz")):
        with np.load(path) as one, np.load(root / path.relative_to(whole)) as other:
            assert one["test_probabilities"].tobytes() == other["test_probabilities"].tobytes(), path


def test_time_that_is_up_stops_a_training_and_keeps_its_trials(
    small_study: dict[str, Any], tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.study.execution.tuning import train as tuning

    real = tuning.finetune

    def slow(job: Any) -> Any:
        result = real(job)
        clock.time += 100.0
        return result

    monkeypatch.setattr(tuning, "finetune", slow)
    spec = {**small_study, "seeds": 1, "runs": {name: small_study["runs"][name] for name in ("pixels", "tuned")}}
    root, told = execute_study({**spec, "budget": "60s"}, tmp_path / "out")
    facts = json.loads((root / "study.json").read_text())
    assert told.ran == ["pixels (seed 0)"] and "stopped before its end" in facts["left_out"][0]["why"]
    assert len(list(default_store().root.glob("trials/*/manifest.json"))) == 1
    _, again = execute_study(spec, tmp_path / "out")
    assert again.ran == ["tuned (seed 0)"]
    assert len(list(default_store().root.glob("trials/*/manifest.json"))) == 3  # the second rate, and the refit


def test_what_was_not_reached_is_not_computed_for_the_audit(
    small_study: dict[str, Any], tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "lenet.pt"
    torch.save(create_backbone("lenet5", seed=1)[0].state_dict(), path)
    runs = {"pixels": small_study["runs"]["pixels"], "probe": {"strategy": "ridge", "weights": {"path": str(path)}}}
    spec = {**small_study, "seeds": 1, "audit": True, "runs": runs}
    root, told = execute_study({**spec, "budget": "15s"}, tmp_path / "out")
    assert told.ran == ["pixels (seed 0)"] and len(list(root.glob("data/*/audit.json"))) == 1
    assert len(list(default_store().root.glob("features/*/manifest.json"))) == 1  # those of the pixels


def test_an_older_form_of_a_run_that_is_not_reached_is_not_shown(
    small_study: dict[str, Any], tmp_path: Path, clock: Clock
) -> None:
    spec = {**small_study, "seeds": 1}
    execute_study(spec, tmp_path / "out")
    tuned = {**small_study["runs"]["tuned"], "recipe": {"epochs": 2, "batch_size": 8}}
    changed = {**spec, "runs": {**small_study["runs"], "tuned": tuned}}
    root, told = execute_study({**changed, "budget": "35s"}, tmp_path / "out")
    facts = json.loads((root / "study.json").read_text())
    assert told.ran == [] and [row["run"] for row in facts["left_out"]] == ["tuned"]
    assert "tuned" not in {row["run"] for row in load_summary(root).ranking()}
    execute_study(spec, tmp_path / "out")  # back to the first form
    assert "tuned" in {row["run"] for row in load_summary(root).ranking()}


def test_time_that_is_up_keeps_the_epoch_that_was_done(
    small_study: dict[str, Any], tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.study.execution.tuning import train as tuning

    real, told_of = tuning.finetune, []

    def slow(job: Any) -> Any:
        listen = job.on_epoch

        def on_epoch(row: Any) -> None:
            told_of.append(row["epoch"])
            clock.time += 100.0
            listen(row)

        return real(dataclasses.replace(job, on_epoch=on_epoch))

    monkeypatch.setattr(tuning, "finetune", slow)
    runs = {
        "pixels": small_study["runs"]["pixels"],
        "tuned": {"strategy": "scratch", "recipe": {"epochs": 3, "batch_size": 8}},
    }
    spec = {**small_study, "seeds": 1, "runs": runs}
    execute_study({**spec, "budget": "60s"}, tmp_path / "out")
    assert told_of == [1]
    execute_study({**spec, "budget": "60s"}, tmp_path / "out")
    assert told_of == [1, 1]  # it is told of again, found too late at once, and not done again
    _, again = execute_study(spec, tmp_path / "out")
    assert told_of == [1, 1, 1, 2, 3] and again.ran == ["tuned (seed 0)"]


def test_a_budget_too_small_for_one_run_says_the_least(
    small_study: dict[str, Any], tmp_path: Path, clock: Clock
) -> None:
    with pytest.raises(SpecError, match=r"too small for one run; set at least 14s \(for 'pixels'\)") as caught:
        execute_study({**small_study, "budget": "5s"}, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_tuned_networks_are_tried_where_the_frozen_features_did_best(
    small_study: dict[str, Any], tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.study.results.folder import StudyFolder

    def score(self: StudyFolder, run: str, seed: int, part: str, metric: str = "accuracy") -> float:
        return 0.9 if "conv4" in run else 0.5

    monkeypatch.setattr(StudyFolder, "score", score)
    recipe = {"epochs": 1, "batch_size": 8}
    runs = {
        "frozen": {"backbone": {"each": ["lenet5", "conv4"]}, "strategy": "prototypes"},
        "tuned": {"backbone": {"each": ["lenet5", "conv4"]}, "strategy": "scratch", "recipe": recipe},
    }
    _, told = execute_study({**small_study, "seeds": 1, "runs": runs, "budget": "32s"}, tmp_path / "out")
    assert told.ran[-1] == "tuned · conv4 (seed 0)" and len(told.ran) == 3


def test_what_starts_from_a_run_that_was_left_out_is_left_out_too(
    small_study: dict[str, Any], tmp_path: Path, clock: Clock
) -> None:
    recipe = {"epochs": 1, "batch_size": 8}
    runs = {
        "pixels": small_study["runs"]["pixels"],
        "first": {"strategy": "scratch", "recipe": recipe},
        "second": {"strategy": "ridge", "weights": {"run": "first"}},
    }
    root, _ = execute_study({**small_study, "seeds": 1, "runs": runs, "budget": "12s"}, tmp_path / "out")
    why = {row["run"]: row["why"] for row in json.loads((root / "study.json").read_text())["left_out"]}
    assert "over budget" in why["first"] and why["second"] == "starts from 'first', which was skipped"


def test_estimates_are_within_a_generous_factor(
    small_study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In seconds of this process, since what others do on the machine meanwhile is not to be foreseen."""
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    spec = {**small_study, "seeds": 1}
    spec["runs"] = {"probe": {"strategy": "ridge"}, "tuned": {"strategy": "scratch", "recipe": {"epochs": 3}}}
    spec["runs"]["tuned"]["recipe"]["batch_size"] = 8
    session = open_session(load_study(spec), tmp_path / "out", device="cpu")
    forecast = CostModel(session.resources, session.folder, Meter(session.resources.store, "cpu"))
    seen: set[str] = set()
    rows = [forecast.describe(group, seen) for group in session.plan.groups]
    began = time.perf_counter()
    known = [forecast.describe(group, set()) for group in session.plan.groups]
    assert time.perf_counter() - began < 1 and len(known) == 2  # what was measured is kept
    assert [stage["kind"] for stage in rows[0]["stages"]] == ["decode", "features", "heads", "scores"]
    assert all(row["seconds"] > 0 and row["disk_bytes"] > 0 and row["memory_bytes"] > 10**7 for row in rows)
    began = time.perf_counter()
    execute_study(spec, tmp_path / "out")
    took = time.perf_counter() - began
    assert took / 8 < sum(row["seconds"] for row in rows) < 8 * took
    after = [forecast.describe(group, set()) for group in session.plan.groups]
    assert [row["seconds"] for row in after] == [0.0, 0.0]  # all of it is there
