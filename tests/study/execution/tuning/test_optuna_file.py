"""The file of a search that is locked, damaged or of another study; and choices that no recipe can take."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest

from headstart.errors import DataError, HeadstartError, SpecError
from headstart.storage.opening import default_store
from headstart.study.execution.tuning import optuna_search as search
from headstart.study.run import open_session, run_study
from headstart.study.spec.load import load_study


@pytest.fixture
def searched(small_study: dict[str, Any]) -> dict[str, Any]:
    recipe = {"epochs": 1, "batch_size": 8, "lr": {"search": {"low": 0.01, "high": 0.1, "log": True}}}
    return {**small_study, "seeds": 1, "runs": {"a": {"strategy": "scratch", "trials": 2, "recipe": recipe}}}


def file_of(spec: dict[str, Any], out: Path) -> Path:
    key = open_session(load_study(spec), out, device="cpu").plan.tasks[0].key
    file: Path = default_store().root / "searches" / f"{key}.sqlite3"
    file.parent.mkdir(parents=True)
    return file


def refusal(spec: dict[str, Any], out: Path) -> str:
    with pytest.raises(HeadstartError) as caught:
        run_study(load_study(spec), out, device="cpu")
    assert "\n" not in str(caught.value)
    return f"{type(caught.value).__name__}: {caught.value}"


def test_a_file_of_another_study_is_refused(searched: dict[str, Any], tmp_path: Path) -> None:
    file = file_of(searched, tmp_path / "out")
    optuna.create_study(storage=f"sqlite:///{file}", study_name="theirs")
    assert "holds another study's search (theirs)" in refusal(searched, tmp_path / "out")


def test_a_file_that_is_no_database_is_refused(searched: dict[str, Any], tmp_path: Path) -> None:
    file_of(searched, tmp_path / "out").write_bytes(b"this is no database at all" * 100)
    assert "cannot use this search (file is not a database)" in refusal(searched, tmp_path / "out")


def test_a_locked_file_is_refused(searched: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_PATIENCE", 0.2)
    holder = sqlite3.connect(file_of(searched, tmp_path / "out"))
    try:
        holder.execute("BEGIN EXCLUSIVE")
        assert "database is locked" in refusal(searched, tmp_path / "out")
    finally:
        holder.close()


@pytest.mark.parametrize(
    ("run", "says"),
    [
        ({"strategy": "scratch", "recipe": {"optimizer": {"search": {"choices": ["sgd", "adamm"]}}}}, "adamm"),
        ({"strategy": "scratch", "recipe": {"dropout": {"search": [0.5, 1.5]}}}, "dropout must be between"),
        ({"strategy": "scratch", "recipe": {"batch_size": {"search": [4, 64]}}}, "fewer than one batch of 64"),
        (
            {"strategy": "scratch", "recipe": {"batch_size": {"search": {"low": 4, "high": 8, "step": 0.5}}}},
            "whole numbers",
        ),
        ({"strategy": "scratch", "recipe": {"lr": {"grid": ["auto", 0.1]}}}, "'auto' cannot be one of several"),
        ({"strategy": "ridge", "head": {"penalty": []}}, "penalty is an empty list"),
        ({"strategy": "ridge", "head": {"penalty": [0.1, -1]}}, "run 'a': ridge: penalty = -1 must be"),
        ({"strategy": "knn", "head": {"k": [0]}}, "run 'a': knn: k = 0 must be"),
        ({"strategy": "sgd", "recipe": {"lr": "auto"}}, "lr: auto is for tuned networks"),
        ({"strategy": "scratch", "recipe": {"lr": "automatic"}}, "lr cannot be 'automatic'"),
    ],
)
def test_choices_that_cannot_be_are_refused_before_anything_is_computed(
    small_study: dict[str, Any], tmp_path: Path, run: dict[str, Any], says: str
) -> None:
    with pytest.raises((SpecError, DataError), match=says):
        open_session(load_study({**small_study, "runs": {"a": run}}), tmp_path / "out", device="cpu")


@pytest.mark.parametrize(
    "run",
    [
        {"strategy": "scratch", "recipe": {"lr": {"grid": [0.1, 0.2]}, "batch_size": 8}},
        {"strategy": "scratch", "trials": 3, "recipe": {"lr": {"search": [0.1, 0.2]}, "batch_size": 8}},
        {"strategy": "logistic", "head": {"penalty": [0.1, 0.2]}},
    ],
)
def test_a_choice_without_images_to_choose_on_is_refused_before_anything_is_computed(
    small_study: dict[str, Any], tmp_path: Path, run: dict[str, Any]
) -> None:
    data = {"source": small_study["data"], "split": {"validation": 0}}
    with pytest.raises(SpecError, match=r"run 'a'.* configurations and no validation (rows|images) to choose on"):
        open_session(load_study({**small_study, "data": data, "runs": {"a": run}}), tmp_path / "out", device="cpu")
