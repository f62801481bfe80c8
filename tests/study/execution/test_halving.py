"""Successive halving: bad candidates die early, the winner is that of the full run, and no test split is opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import SpecError
from headstart.report.render.halving_text import halving_lines
from headstart.study.run import run_study
from headstart.study.spec.load import load_study

pytestmark = pytest.mark.long

RECIPE = {"epochs": 4, "batch_size": 8, "schedule": "none", "warmup_epochs": 0}


@pytest.fixture
def contest(small_study: dict[str, Any]) -> dict[str, Any]:
    """A good pixel head, and candidates planted to be bad: two that learn nothing, and one on empty features."""
    frozen = {"strategy": "ridge"}
    runs = {
        "floor": {"backbone": "pixels", "strategy": "majority"},
        "good": frozen,
        "slow": {"strategy": "scratch", "recipe": {**RECIPE, "lr": 1e-9}},
        "frozen still": {"strategy": "sgd", "recipe": {"lr": 1e-9, "epochs": 1}},
    }
    return {**small_study, "seeds": 1, "runs": runs}


def execute(spec: dict[str, Any], out: Path) -> tuple[Path, dict[str, Any]]:
    root = run_study(load_study(spec), out, device="cpu").root
    return root, json.loads((root / "study.json").read_text())


@pytest.mark.parametrize("over", ["labels", "epochs"])
def test_planted_bad_candidates_die_and_the_winner_is_that_of_the_full_run(
    contest: dict[str, Any], tmp_path: Path, over: str
) -> None:
    spec = {**contest, "data": {"source": contest["data"], "split": {"validation": 0.4}}}
    full, all_of_it = execute(spec, tmp_path / "full")
    halving = {"eta": 3, "rungs": 1, "over": over, "runs": ["good", "slow", "frozen still"]}
    root, facts = execute({**spec, "halving": halving}, tmp_path / "halved")
    assert facts["halving"]["tried"] == 3 and facts["halving"]["rungs"][0]["kept"] == ["good"]
    assert all_of_it["best"]["run"] == facts["best"]["run"] == "good"
    assert sorted(path.parent.name for path in root.glob("runs/*/seed-0")) == ["floor", "good"]
    assert {row["run"] for row in facts["left_out"]} == {"slow", "frozen still"}
    assert all("rung 1 of 1" in row["why"] for row in facts["left_out"])
    with (
        np.load(root / "runs/good/seed-0/predictions.npz") as one,
        np.load(full / "runs/good/seed-0/predictions.npz") as other,
    ):
        assert one["test_probabilities"].tobytes() == other["test_probabilities"].tobytes()
    assert "3 candidates" in halving_lines(facts["halving"])[0]


def test_the_dead_do_not_see_test_images(
    contest: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.study.execution import halving as module
    from headstart.study.resources import Resources

    seen: list[int] = []
    real = module.features_of_rows

    def watch(task: Any, rows: Any, resources: Resources) -> Any:
        seen.extend(rows.tolist())
        return real(task, rows, resources)

    monkeypatch.setattr(module, "features_of_rows", watch)
    runs = {name: contest["runs"][name] for name in ("good", "frozen still")}
    root, _ = execute({**contest, "runs": runs, "halving": {"eta": 2, "rungs": 2}}, tmp_path / "out")
    with np.load(root / "runs/good/seed-0/split.npz") as split:
        assert seen and not set(seen) & set(split["test"].tolist())
        assert len(set(seen)) < len(split["train"]) + len(split["validation"])  # labels were fewer, and so were images


def test_rungs_are_not_computed_twice(contest: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = {name: contest["runs"][name] for name in ("good", "frozen still")}
    spec = {**contest, "runs": runs, "halving": {"eta": 2, "rungs": 1}}
    _, first = execute(spec, tmp_path / "out")
    monkeypatch.setattr(
        "headstart.study.execution.halving.fit_heads", lambda *a: pytest.fail("a rung was fitted again")
    )
    _, second = execute(spec, tmp_path / "out")
    assert first["halving"] == second["halving"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"halving": {"eta": 1}}, "greater than or equal to 2"),
        ({"halving": {"etta": 3}}, "did you mean 'eta'"),
        ({"halving": {"runs": ["good", "god"]}}, "unknown run 'god'"),
        ({"halving": {}, "runs": {"a": {"strategy": "ridge"}}}, "at least two candidates"),
        ({"halving": {}, "budget": "20min"}, "exclude each other"),
    ],
)
def test_impossible_halvings_are_one_line(
    contest: dict[str, Any], tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        execute({**contest, **changes}, tmp_path / "out")
    assert "\n" not in str(caught.value)
