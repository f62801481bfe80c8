from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headstart.api import Study
from headstart.study.planning.microbenchmarks import Meter
from headstart.study.run import run_study
from headstart.study.spec.load import load_study

TASK = {"ways": 3, "shots": 2, "queries": 4, "episodes": 3, "method": "finetune"}


def study(pictures: Path, options: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "name": "few",
        "data": str(pictures),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none"},
        "runs": {
            "quick": {"episodes": {**TASK, "method": "prototypes"}},
            "tuned": {"episodes": {**TASK, "options": {"epochs": 5, **(options or {})}}},
        },
        **more,
    }


def episodes_stage(pictures: Path, out: Path, options: dict[str, Any]) -> dict[str, Any]:
    rows = Study(study(pictures, options)).plan(out, "cpu")
    (found,) = [
        stage
        for row in rows
        for stage in row["stages"]
        if stage["kind"] == "episodes" and stage["what"].startswith("tuned")
    ]
    return dict(found)


@pytest.mark.parametrize(("flip", "support_passes"), [(True, 2), (False, 1)])
def test_tuning_in_episodes_costs_its_epochs_and_its_queries(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flip: bool, support_passes: int
) -> None:
    asked: list[Any] = []

    def tuning(self: Meter, backbone: Any, strategy: Any, recipe: Any, stored: bool, classes: int) -> dict[str, Any]:
        asked.append((strategy.freeze_until, recipe.optimizer, recipe.batch_size, stored, classes))
        return {"setup": 100.0, "train": 2.0, "predict": 0.5, "memory": 7, "batch": 8}

    monkeypatch.setattr(Meter, "tuning", tuning)
    stage = episodes_stage(pictures, tmp_path / "out", {"flip": flip, "batch_size": 4, "freeze_until": "conv1"})
    # 3 episodes of 5 epochs over 6 images, and the support set and 12 queries without learning
    assert stage["seconds"] == pytest.approx(3 * (5 * 6 * 2.0 + (support_passes * 6 + 12) * 0.5))
    assert stage["memory"] == 7
    assert asked == [("conv1", "adamw", 4, True, 3)]


@pytest.mark.parametrize(("refit", "passes"), [("none", 3 * 27 + 7), ("train+validation", 3 * (27 + 7) + 7)])
def test_stored_views_cost_a_pass_each_over_all_images_that_are_learned_from(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refit: str, passes: int
) -> None:
    monkeypatch.setattr(Meter, "passing", lambda *_: {"setup": 0.0, "seconds": 1.0, "memory": 7})
    recipe = {"epochs": 4, "batch_size": 8, "augment": ["horizontal_flip"]}
    tuned = {"strategy": "fine_tune", "freeze_until": "conv1", "views": 3, "recipe": recipe, "refit": refit}
    (row,) = Study(study(pictures, runs={"tuned": tuned})).plan(tmp_path / "out", "cpu")
    (stage,) = [stage for stage in row["stages"] if stage["kind"] == "activations"]
    assert stage["seconds"] == pytest.approx(passes)


@pytest.mark.long
@pytest.mark.parametrize("freeze_until", ["input", "fc6"])
def test_every_depth_of_tuning_in_episodes_can_be_planned(pictures: Path, tmp_path: Path, freeze_until: str) -> None:
    assert episodes_stage(pictures, tmp_path / "out", {"freeze_until": freeze_until})["seconds"] > 0


@pytest.mark.long
def test_a_study_that_tunes_in_episodes_runs_within_a_budget(pictures: Path, tmp_path: Path) -> None:
    root = run_study(load_study(study(pictures, budget="1h")), tmp_path / "out", device="cpu").root
    assert (root / "runs" / "tuned" / "seed-0" / "episodes.npz").is_file()
    assert json.loads((root / "study.json").read_text())
