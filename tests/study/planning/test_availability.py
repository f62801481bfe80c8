"""Weights and images that are unavailable: their runs fail with the reason, and the study continues."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from told import Told

from headstart.errors import DataAbsent, WeightsAbsent, WeightsError
from headstart.study.run import run_study
from headstart.study.spec.load import load_study

WHY = "the weights cannot be downloaded (no route to host)"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse every download of weights, and say which were asked for."""
    asked: list[str] = []

    def refuse(url: str, *, download: bool = True) -> Path:
        asked.append(url)
        raise WeightsAbsent(WHY)

    monkeypatch.setattr("headstart.models.create.fetch_url", refuse)
    return asked


@pytest.fixture
def study(pictures: Path) -> dict[str, Any]:
    return {
        "name": "partly",
        "data": str(pictures),
        "seeds": 1,
        "audit": False,
        "runs": {
            "pixels": {"backbone": "pixels", "strategy": "ridge"},
            "far": {"backbone": "alexnet", "weights": "imagenet", "strategy": {"each": ["ridge", "fine_tune"]}},
            "farther": {"backbone": "alexnet", "weights": {"run": "far · fine_tune"}, "strategy": "ridge"},
        },
    }


def execute(spec: dict[str, Any], out: Path) -> tuple[Path, Told]:
    told = Told()
    return run_study(load_study(spec), out, device="cpu", listener=told).root, told


def test_a_run_without_its_weights_fails_and_the_others_go_on(
    study: dict[str, Any], tmp_path: Path, offline: list[str]
) -> None:
    root, told = execute(study, tmp_path / "out")
    assert told.ran == ["pixels (seed 0)"] and len(offline) == 1  # asked for once, whatever the number of runs
    assert told.broken == {
        "far · ridge (seed 0)": WHY,
        "far · fine_tune (seed 0)": WHY,
        "farther (seed 0)": f"starts from 'far · fine_tune', which is unavailable: {WHY}",
    }
    assert json.loads((root / "study.json").read_text())["status"] == "complete"
    assert json.loads((root / "runs" / "farther" / "seed-0" / "manifest.json").read_text())["status"] == "failed"


def test_a_cached_file_that_does_not_load_costs_its_own_runs_only(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "alexnet-owt-7be5be79.pth"
    damaged.write_bytes(b"half of a file")
    monkeypatch.setattr("headstart.models.create.fetch_url", lambda url, *, download=True: damaged)
    _, told = execute(study, tmp_path / "out")
    assert told.ran == ["pixels (seed 0)"] and len(told.broken) == 3
    assert "alexnet-owt-7be5be79.pth" in told.broken["far · ridge (seed 0)"]
    study["runs"]["far"]["weights"] = {"path": str(damaged)}  # a file that the study names
    with pytest.raises(WeightsError, match="alexnet-owt-7be5be79"):
        execute(study, tmp_path / "other")


def test_a_strict_study_is_refused_at_once(study: dict[str, Any], tmp_path: Path, offline: list[str]) -> None:
    with pytest.raises(WeightsAbsent, match=r"run 'far · ridge': .*no route to host\) \(2 more runs"):
        run_study(load_study(study), tmp_path / "out", device="cpu", strict=True)
    assert not (tmp_path / "out").exists()


def test_a_study_of_which_nothing_can_be_done_is_refused(
    study: dict[str, Any], tmp_path: Path, offline: list[str]
) -> None:
    del study["runs"]["pixels"]
    with pytest.raises(WeightsAbsent, match="no route to host"):
        execute(study, tmp_path / "out")


def test_weights_that_come_later_are_used_and_what_was_done_stays(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: list[str]
) -> None:
    del study["runs"]["farther"]
    study["runs"]["far"] = {"backbone": "lenet5", "weights": "none", "strategy": "ridge"}
    root, _ = execute(study, tmp_path / "out")
    before = (root / "runs" / "far" / "seed-0" / "manifest.json").read_bytes()

    def gone(*_: Any, **__: Any) -> Any:
        raise WeightsAbsent(WHY)

    monkeypatch.setattr("headstart.study.resources.create_backbone", gone)
    _, told = execute(study, tmp_path / "out")
    assert told.broken == {} and sorted(told.found) == ["far (seed 0)", "pixels (seed 0)"]
    assert (root / "runs" / "far" / "seed-0" / "manifest.json").read_bytes() == before
    monkeypatch.undo()
    study["runs"]["far"]["strategy"] = "prototypes"
    _, told = execute(study, tmp_path / "out")
    assert told.ran == ["far (seed 0)"]


def test_images_of_one_run_that_are_not_to_be_had_fail_that_run(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    study["runs"] = {
        "pixels": study["runs"]["pixels"],
        "other": {"data": "rsscn7", "backbone": "pixels", "strategy": "ridge"},
    }
    root, told = execute(study, tmp_path / "out")
    assert list(told.broken) == ["other (seed 0)"] and "rsscn7 is not here" in told.broken["other (seed 0)"]
    assert json.loads((root / "runs" / "other" / "seed-0" / "spec.json").read_text())["data"]["name"] == "rsscn7"
    study["data"] = "rsscn7"
    with pytest.raises(DataAbsent, match="rsscn7 is not here"):
        execute(study, tmp_path / "out")


def test_what_starts_from_a_failed_run_fails_too(pictures: Path, tmp_path: Path) -> None:
    wild = {"epochs": 5, "lr": 1000.0, "schedule": "none", "weight_decay": 10.0, "batch_size": 4}
    runs = {
        "wild": {"strategy": "scratch", "recipe": wild},
        "carried": {"weights": {"run": "wild"}, "strategy": "ridge"},
        "pixels": {"backbone": "pixels", "strategy": "ridge"},
    }
    spec = {"name": "s", "data": str(pictures), "seeds": 1, "audit": False, "runs": runs}
    _, told = execute({**spec, "defaults": {"backbone": "lenet5", "weights": "none"}}, tmp_path / "out")
    assert told.broken["carried (seed 0)"] == "starts from 'wild', which failed and left no network"
    assert told.ran == ["pixels (seed 0)"]


@pytest.mark.realdata
def test_a_chain_may_start_from_a_head_on_weights_that_were_not_changed(
    study: dict[str, Any], tmp_path: Path, real_images: Path
) -> None:
    weights = {"path": str(real_images / "weights" / "resnet18-imagenet1k.safetensors")}
    small = {"backbone": "resnet18", "input_size": 32}
    study["runs"] = {
        "first": {**small, "weights": weights, "strategy": "ridge"},
        "second": {**small, "weights": {"run": "first"}, "strategy": "ridge"},
    }
    root, told = execute(study, tmp_path / "out")
    assert told.broken == {}
    one, two = (json.loads((root / "runs" / name / "seed-0" / "result.json").read_text()) for name in study["runs"])
    assert one["metrics"]["test"]["accuracy"] == two["metrics"]["test"]["accuracy"]
