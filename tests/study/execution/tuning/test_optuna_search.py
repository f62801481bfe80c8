"""A search is the same whoever does its trials, in which order, and however often it is killed."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from side_by_side import side_by_side
from told import Told

from headstart.storage.opening import default_store
from headstart.study.execution.tuning import optuna_search as search
from headstart.study.execution.tuning import train as tuning
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from tests.study.conftest import draw, small

RECIPE = {"epochs": 2, "batch_size": 8, "lr": {"search": {"low": 0.001, "high": 0.1, "log": True}}}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    recipe = {**RECIPE, "weight_decay": {"search": [0, 1]}}
    runs = {"a": {"strategy": "scratch", "trials": 8, "recipe": recipe}}
    return {**small(draw(tmp_path_factory.mktemp("searched"), 14)), "seeds": 1, "runs": runs}


@pytest.fixture
def searched(study: dict[str, Any]) -> dict[str, Any]:
    return {**study}


@pytest.fixture(scope="module")
def alone(study: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the trials of the search that one process does without a break."""
    place = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(place / "cache"))
        return execute(study, place / "out")


def tried(root: Path) -> list[dict[str, Any]]:
    found = json.loads((root / "runs" / "a" / "seed-0" / "result.json").read_text())["tried"]
    return [{name: value for name, value in trial.items() if "seconds" not in name} for trial in found]


def execute(spec: dict[str, Any], out: Path) -> list[dict[str, Any]]:
    return tried(run_study(load_study(spec), out, device="cpu").root)


@pytest.mark.long
def test_its_points_differ_and_lie_between_whole_ends(alone: list[dict[str, Any]]) -> None:
    decays = {trial["recipe.weight_decay"] for trial in alone}
    assert len(decays) == len(alone) >= 5 and all(0 < decay < 1 for decay in decays)


@pytest.mark.long
@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_order_of_a_round_changes_nothing(
    number: int, searched: dict[str, Any], alone: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = itertools.count(number, number + 2)
    monkeypatch.setattr(search, "_turn", lambda: next(turn))
    assert execute(searched, tmp_path / "again") == alone


class Killed(BaseException):
    pass


@pytest.mark.long
def test_killed_again_and_again_it_ends_the_same(
    searched: dict[str, Any], alone: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finetune, epochs = tuning.finetune, itertools.count(1)

    def killed(job: Any) -> Any:
        listen = job.on_epoch

        def on_epoch(row: Any) -> None:
            if next(epochs) % 3 == 0:  # in the first epoch of one trial, in the second of the next
                raise Killed
            listen(row)

        return finetune(dataclasses.replace(job, on_epoch=on_epoch))

    monkeypatch.setattr(tuning, "finetune", killed)
    deaths, again = 0, None
    while again is None:
        try:
            again = execute(searched, tmp_path / "again")
        except Killed:
            deaths += 1
    assert deaths >= 5 and again == alone


@pytest.mark.long
def test_two_processes_share_one_search(searched: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(searched))
    ended = side_by_side([["run", str(path), "--out", str(tmp_path / f"out {n}")] for n in range(2)])
    said = [words for _, words in ended]
    assert [status for status, _ in ended] == [0, 0], "\n".join(said)[-2000:]
    one, other = (tried(tmp_path / f"out {n}" / "small") for n in range(2))
    assert one == other
    assert all("trial" in words for words in said)  # each has done some
    trials = list(default_store().root.glob("trials/*/trial.json"))
    assert len(trials) <= 11  # ten, of which some are pruned, and the refit: none was done twice


def test_a_search_in_which_all_fails_is_a_failed_run(searched: dict[str, Any], tmp_path: Path) -> None:
    recipe = {"epochs": 5, "batch_size": 4, "schedule": "none", "weight_decay": 10.0, "lr": {"search": [900, 1000]}}
    bad = {"strategy": "scratch", "trials": 2, "recipe": recipe}
    searched["runs"] = {"bad": bad, "good": {"strategy": "ridge", "backbone": "pixels"}}
    told = Told()
    run_study(load_study(searched), tmp_path / "out", device="cpu", listener=told)
    assert "all 2 trials were pruned or failed" in told.broken["bad (seed 0)"] and told.ran == ["good (seed 0)"]
