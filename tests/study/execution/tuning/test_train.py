"""What a grid or a search leaves in the store: the numbers of all trials, the network of the winner."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.models.bundle import MODEL
from headstart.storage.opening import default_store
from headstart.study.execution.tuning import train as tuning
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from headstart.transfer.finetune import lr_range_test as lr_range

pytestmark = pytest.mark.long

RECIPE = {"epochs": 1, "batch_size": 8, "lr": {"grid": [0.01, 0.05, 0.1]}}


@pytest.fixture
def grid(pictures: Path) -> dict[str, Any]:
    return {
        "name": "grid",
        "data": str(pictures),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none"},
        "runs": {"tuned": {"strategy": "scratch", "recipe": RECIPE}},
    }


def execute(spec: dict[str, Any], out: Path) -> dict[str, Any]:
    root = run_study(load_study(spec), out, device="cpu").root
    result: dict[str, Any] = json.loads((root / "runs" / "tuned" / "seed-0" / "result.json").read_text())
    return result


def models(kind: str) -> list[Path]:
    return sorted(default_store().root.glob(f"{kind}/*/{MODEL}"))


def test_of_a_grid_only_the_winner_keeps_its_network(grid: dict[str, Any], tmp_path: Path) -> None:
    result = execute(grid, tmp_path / "out")
    assert [row["recipe.lr"] for row in result["tried"]] == [0.01, 0.05, 0.1]
    assert all(row["validation_accuracy"] is not None for row in result["tried"])
    assert len(models("fits")) == 1 and models("trials") == []
    assert len(list(default_store().root.glob("trials/*/trial.json"))) == 4  # three of the grid, and the refit


@pytest.mark.parametrize("refit", ["train+validation", "none"])
def test_at_no_time_do_two_losers_keep_theirs(
    grid: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refit: str
) -> None:
    most = []
    train = tuning.finetune

    def watched(job: Any) -> Any:
        most.append(len(models("trials")))
        return train(job)

    monkeypatch.setattr(tuning, "finetune", watched)
    grid["runs"]["tuned"]["refit"] = refit
    execute(grid, tmp_path / "out")
    assert most == [0, 1, 1] + [1] * (refit != "none")


def test_a_search_keeps_the_winner_only_too(grid: dict[str, Any], tmp_path: Path) -> None:
    grid["runs"]["tuned"] = {
        "strategy": "scratch",
        "trials": 3,
        "recipe": {**RECIPE, "lr": {"search": {"low": 0.01, "high": 0.1, "log": True}}},
    }
    result = execute(grid, tmp_path / "out")
    assert len(result["tried"]) == 3 and models("trials") == [] and len(models("fits")) == 1


def test_what_was_given_up_leaves_no_checkpoint(grid: dict[str, Any], tmp_path: Path) -> None:
    recipe = {"epochs": 5, "lr": {"grid": [1000.0, 0.01]}, "schedule": "none", "weight_decay": 10.0, "batch_size": 4}
    grid["runs"]["tuned"]["recipe"] = recipe
    execute(grid, tmp_path / "out")
    left = list(default_store().root.glob("trials/*/training/*"))
    assert left and not [path for path in left if path.suffix in (".ckpt", ".safetensors")]


def test_what_was_given_up_at_a_rate_that_was_found_leaves_no_checkpoint(
    grid: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = lr_range.range_test
    rates = iter([1000.0, 0.01])
    monkeypatch.setattr(lr_range, "range_test", lambda job: replace(found(job), lr=next(rates)))
    recipe = {"epochs": 5, "lr": "auto", "schedule": "none", "weight_decay": {"grid": [10.0, 0.0]}, "batch_size": 4}
    grid["runs"]["tuned"]["recipe"] = recipe
    execute(grid, tmp_path / "out")
    left = list(default_store().root.glob("trials/*/training/*"))
    assert left and not [path for path in left if path.suffix in (".ckpt", ".safetensors")]


@pytest.mark.parametrize("refit", ["train+validation", "none"])
def test_the_views_of_the_training_serve_its_refit(grid: dict[str, Any], tmp_path: Path, refit: str) -> None:
    recipe = {"epochs": 3, "batch_size": 8, "augment": ["horizontal_flip"]}
    grid["runs"]["tuned"] = {
        "strategy": "fine_tune",
        "freeze_until": "conv1",
        "views": 2,
        "recipe": recipe,
        "refit": refit,
    }
    result = execute(grid, tmp_path / "out")
    assert any(note.startswith("views: ") for note in result["notes"])
    sizes = sorted(len(np.load(file, mmap_mode="r")) for file in default_store().root.glob("features/*/features.npy"))
    assert sizes == [7, *[27 if refit == "none" else 27 + 7] * 2]  # of 42 images 8 are tested


def test_a_fit_pruned_from_the_store_is_made_again_with_the_same_numbers(grid: dict[str, Any], tmp_path: Path) -> None:
    first = execute(grid, tmp_path / "one")
    for folder in default_store().root.glob("fits/*"):
        shutil.rmtree(folder)
    again = execute(grid, tmp_path / "two")
    assert first["metrics"]["test"] == again["metrics"]["test"] and first["chosen"] == again["chosen"]
    assert models("trials") == []


def test_fewer_images_than_a_batch_are_refused_before_anything_is_written(grid: dict[str, Any], tmp_path: Path) -> None:
    grid["runs"]["tuned"]["recipe"] = {"batch_size": 64}
    with pytest.raises(DataError, match=r"run 'tuned': 2\d training images are fewer than one batch of 64"):
        execute(grid, tmp_path / "out")
    assert not (tmp_path / "out").exists()
