from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.errors import RunFailed
from headstart.models.bundle import MODEL
from headstart.storage.store import Store
from headstart.study.execution.tuning import fit as fitting
from headstart.study.execution.tuning.fit import _fit, _try_all, _with_model
from headstart.study.execution.tuning.train import TRIALS, BestTrial
from headstart.study.execution.tuning.trial import Trial
from headstart.study.results.folder import npz_bytes
from headstart.study.results.run_record import load_fit
from headstart.study.spec.load import load_study

LR = ("recipe", "lr")
SCORES = {0.01: 0.6, 0.05: 0.9, 0.1: 0.7}


def trial_of(store: Store, name: str, merit: float | None, values: Any, seconds: float = 1.0) -> Trial:
    """Return a finished trial in the cache, with a network that names itself."""
    with store.building(TRIALS, name) as entry:
        if entry is not None:
            (entry.path / MODEL).write_text(f"network of {name}")
            (entry.path / "validation.npz").write_bytes(npz_bytes(probabilities=np.full((2, 2), merit or 0.0)))
    return Trial(
        values=values,
        history=[{"epoch": 0}, {"epoch": 1}],
        best_epoch=1,
        notes=[f"note of {name}"],
        seconds=seconds,
        learned=7,
        total=70,
        accuracy=merit,
        log_loss=None if merit is None else 1 - merit,
        merit=merit,
        folder=store.path(TRIALS, name),
    )


def context_of(folder: Path, run: dict[str, Any], validation: int = 2) -> Any:
    study = load_study({"name": "s", "data": "d", "runs": {"r": {"strategy": "scratch", **run}}})
    return SimpleNamespace(
        task=SimpleNamespace(run=study.runs[0], key="task"),
        split=SimpleNamespace(train=np.arange(6), validation=np.arange(6, 6 + validation)),
        resources=SimpleNamespace(store=Store(folder)),
    )


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Train nothing: the score of a configuration is that of its rate; a rate of 1000 fails."""
    asked: list[Any] = []

    def try_one(context: Any, values: Any, place: str = "", on_epoch: Any = None) -> Trial:
        lr = values.get(LR, 0.05)
        asked.append(lr)
        if lr == 1000:
            raise RunFailed("the loss is not finite")
        merit = SCORES[lr] if len(context.split.validation) else None
        return trial_of(context.resources.store, f"lr {lr}", merit, values)

    def refit(context: Any, values: Any, epochs: int) -> Trial:
        asked.append("refit")
        return trial_of(context.resources.store, "refit", None, values, seconds=10.0)

    monkeypatch.setattr("headstart.study.execution.tuning.train.try_one", try_one)
    monkeypatch.setattr(fitting, "try_one", try_one)
    monkeypatch.setattr(fitting, "refit", refit)
    return asked


def fit_of(context: Any) -> tuple[Any, str]:
    store = context.resources.store
    with store.building("fits", "task") as entry:
        _fit(context, entry.path)
    return load_fit(store, "task"), (store.path("fits", "task") / MODEL).read_text()


def grid(*rates: float, **more: Any) -> dict[str, Any]:
    return {"recipe": {"epochs": 2, "batch_size": 2, "lr": {"grid": list(rates)}}, **more}


def test_the_best_configuration_on_validation_is_refitted(tmp_path: Path, trained: list[Any]) -> None:
    fit, model = fit_of(context_of(tmp_path, grid(0.01, 0.05, 0.1)))
    assert trained == [0.01, 0.05, 0.1, "refit"] and model == "network of refit"
    assert fit.chosen == {"recipe.lr": 0.05, "epoch": 1} and fit.refit == "train+validation"
    assert [(row["recipe.lr"], row["validation_accuracy"]) for row in fit.tried] == list(SCORES.items())
    assert fit.seconds == 3 * 1.0 + 10.0 and fit.whole and (fit.learned, fit.total) == (7, 70)
    assert fit.validation.tolist() == [[0.9, 0.9], [0.9, 0.9]]  # by the network that had not seen these images
    assert fit.notes == ["note of lr 0.05", "trained once more on train and validation, epochs: 1", "note of refit"]
    assert len(fit.history) == 2


@pytest.mark.parametrize(("run", "validation"), [(grid(0.05), 2), (grid(0.01, 0.05, refit="none"), 2), (grid(0.05), 0)])
def test_what_is_not_refitted_keeps_the_network_of_the_trial(
    tmp_path: Path, trained: list[Any], run: dict[str, Any], validation: int
) -> None:
    fit, model = fit_of(context_of(tmp_path, run, validation))
    assert "refit" not in trained and model == "network of lr 0.05" and fit.refit == "none"
    assert fit.seconds == len(fit.tried) and fit.notes == ["note of lr 0.05"]


def test_the_configuration_that_alone_did_not_fail_is_refitted_as_the_plan_says(
    tmp_path: Path, trained: list[Any]
) -> None:
    here = context_of(tmp_path, grid(1000, 0.1))
    fit, model = fit_of(here)
    assert here.task.run.refits and fit.refit == "train+validation" and model == "network of refit"


def test_a_single_configuration_can_be_refitted_where_there_is_validation(tmp_path: Path, trained: list[Any]) -> None:
    one = grid(0.05, refit="train+validation")
    assert fit_of(context_of(tmp_path / "a", one))[0].refit == "train+validation"
    assert fit_of(context_of(tmp_path / "b", one, validation=0))[0].refit == "none"


def test_a_configuration_that_fails_is_noted_and_the_others_are_tried(tmp_path: Path, trained: list[Any]) -> None:
    here = context_of(tmp_path, grid(1000, 0.1))
    trials, broken = _try_all(here, here.task.run.configurations())
    assert [trial.values[LR] for trial in trials] == [0.1]
    assert broken == ["failed with recipe.lr=1000: the loss is not finite"]
    with pytest.raises(RunFailed, match="not finite"):
        _try_all(here, [{LR: 1000}, {LR: 1000}])


def test_a_network_that_the_cache_lost_is_trained_again(tmp_path: Path, trained: list[Any]) -> None:
    here = context_of(tmp_path, grid(0.05))
    trial = trial_of(here.resources.store, "lr 0.05", 0.9, {LR: 0.05})
    again = replace(trial, seconds=99.0)
    assert _with_model(here, trial, lambda: again) is trial
    (trial.folder / MODEL).unlink()
    assert _with_model(here, trial, lambda: again) is again
    assert not trial.folder.exists()  # its scores are computed anew, too


def test_only_the_best_trial_so_far_keeps_its_network(tmp_path: Path, trained: list[Any]) -> None:
    here, contest = context_of(tmp_path, grid(0.01)), BestTrial()
    kept = []
    for rate in SCORES:
        contest.try_one(here, {LR: rate})
        kept.append(sorted(path.parent.name for path in tmp_path.glob(f"{TRIALS}/*/{MODEL}")))
    assert kept == [["lr 0.01"], ["lr 0.05"], ["lr 0.05"]]
