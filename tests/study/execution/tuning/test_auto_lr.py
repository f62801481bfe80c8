from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.storage.store import Store
from headstart.study.execution.tuning.auto_lr import with_curve, with_rate
from headstart.study.spec.load import load_study
from headstart.transfer.finetune import lr_range_test as lr_range
from headstart.transfer.finetune.lr_range_test import RangeTest

LR, DECAY = ("recipe", "lr"), ("recipe", "weight_decay")


@pytest.fixture
def tested(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Find another learning rate at each range test, and keep which jobs were tested."""
    jobs: list[Any] = []

    def range_test(job: Any) -> RangeTest:
        jobs.append(job)
        return RangeTest(lr=0.01 * len(jobs), rule="steepest", rates=[0.1, 0.2], losses=[1.0, 0.5])

    monkeypatch.setattr(lr_range, "range_test", range_test)
    return jobs


def context(folder: Path, lr: Any, *, key: str = "key", rows: int = 20) -> Any:
    recipe = {"epochs": 1, "lr": lr}
    study = load_study({"name": "s", "data": "d", "runs": {"r": {"strategy": "scratch", "recipe": recipe}}})
    return SimpleNamespace(
        task=SimpleNamespace(run=study.runs[0], key=key),
        split=SimpleNamespace(train=np.arange(rows)),
        resources=SimpleNamespace(store=Store(folder)),
    )


def job(folder: Path) -> Any:
    return folder


def test_a_rate_is_found_once_for_each_configuration(tmp_path: Path, tested: list[Any]) -> None:
    here = context(tmp_path, "auto")
    assert with_rate(here, {DECAY: 0.1}, job) == {DECAY: 0.1, LR: 0.01}
    assert with_rate(here, {DECAY: 0.2}, job) == {DECAY: 0.2, LR: 0.02}
    assert with_rate(here, {DECAY: 0.1}, job) == {DECAY: 0.1, LR: 0.01}
    assert len(tested) == 2 and not tested[0].exists()  # a temporary folder


def test_another_task_or_another_number_of_training_images_is_tested_anew(tmp_path: Path, tested: list[Any]) -> None:
    for changes in ({}, {"key": "other"}, {"rows": 21}):
        with_rate(context(tmp_path, "auto", **changes), {}, job)
    assert len(tested) == 3


def test_a_rate_that_is_given_is_kept(tmp_path: Path, tested: list[Any]) -> None:
    assert with_rate(context(tmp_path, 0.3), {DECAY: 0.1}, job) == {DECAY: 0.1}
    assert with_rate(context(tmp_path, "auto"), {LR: 0.7}, job) == {LR: 0.7}
    assert tested == []


def test_the_curve_is_in_the_first_row_of_the_history(tmp_path: Path, tested: list[Any]) -> None:
    here, history = context(tmp_path, "auto"), [{"epoch": 0}, {"epoch": 1}]
    values = with_rate(here, {}, job)
    curve = {"lr": 0.01, "rule": "steepest", "rates": [0.1, 0.2], "losses": [1.0, 0.5]}
    assert with_curve(here, values, history) == [{"epoch": 0, "lr_range": curve}, {"epoch": 1}]
    assert history[0] == {"epoch": 0} and with_curve(here, values, []) == []
    assert with_curve(context(tmp_path, 0.3), {}, history) == history
