"""Searches ranges with Optuna: TPE, pruning by epoch, an sqlite file that several processes may share.

Trials come in rounds. The configuration of a trial and its pruning depend only on its number and on earlier rounds;
so several processes may do the trials of a round in any order, stop and continue, with the same result.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from headstart.errors import RunFailed, StoreError
from headstart.evaluate.metrics.scoring import merit
from headstart.study.execution.tuning.trial import Trial, TrialContext, TrialPruned, Values
from headstart.study.spec.run import Choice
from headstart.study.spec.settings import is_whole

TryOne = Callable[..., Trial]
ROUND = 4  # trials that do not depend on each other
_STARTUP = 5  # random trials before TPE starts
_PATIENCE = 60.0  # seconds to wait for a file that another process holds
_NUMBER = "number"  # of a trial, in the file


def search(context: TrialContext, try_one: TryOne) -> list[Trial]:
    """Try configurations of a run until its number of trials is reached; return the finished trials.

    Trials already in the cache's sqlite file count, so a stopped search continues, and several processes
    on one study share the work. A configuration is evaluated on validation only.

    Raises:
        RunFailed: every trial was pruned or failed.
        StoreError: the sqlite file cannot be used.
    """
    optuna.logging.set_verbosity(logging.WARNING)
    run, record = context.task.run, _Record.open(context)
    finished: dict[int, Trial] = {}
    while missing := [number for number in range(run.trials) if number not in record.done]:
        start = missing[0] // ROUND * ROUND
        waiting = [number for number in missing if number < start + ROUND]
        number = waiting[_turn() % len(waiting)]
        found = _attempt(context, record, number, [record.done[before] for before in range(start)], try_one)
        if found is not None:
            finished[number] = found
    for number, old in sorted(record.done.items()):
        if old.state is TrialState.COMPLETE and number not in finished and number < run.trials:
            finished[number] = try_one(context, _values(old.params, run.choices))
    if not finished:
        raise RunFailed(f"all {run.trials} trials were pruned or failed; set more trials, or narrower ranges")
    return [finished[number] for number in sorted(finished)]


def _attempt(
    context: TrialContext, record: _Record, number: int, past: Sequence[FrozenTrial], try_one: TryOne
) -> Trial | None:
    """Run one trial and record how it ended; return None if it was pruned or failed."""
    run = context.task.run
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=_seed(context.task.seed, number), n_startup_trials=_STARTUP),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=2),
        direction="maximize",
    )
    study.add_trials(past)
    trial = study.ask()
    values = {choice.path: _suggest(trial, choice) for choice in run.choices}
    seen: dict[int, float] = {}
    try:
        found = try_one(context, values, f"trial {number + 1}/{run.trials}", _watcher(trial, seen, run.metric))
    except (TrialPruned, RunFailed):
        record.add(number, trial, TrialState.PRUNED, None, seen)
        return None
    record.add(number, trial, TrialState.COMPLETE, _value(found), _merits(found.history, run.metric))
    return found


def _value(trial: Trial) -> float:
    """Return what the search makes as large as it can: a finite number."""
    return trial.merit if trial.merit is not None and np.isfinite(trial.merit) else 0.0


def _turn() -> int:
    """Return a number that lets several processes start with different trials of a round."""
    return os.getpid()


def _merits(history: Sequence[Mapping[str, Any]], metric: str) -> dict[int, float]:
    """Return how good each epoch is on validation, by the study's metric."""
    found = ((int(row["epoch"]), _merit(row, metric)) for row in history)
    return {epoch: value for epoch, value in found if value is not None}


def _merit(row: Mapping[str, Any], metric: str) -> float | None:
    """Return what is larger the better an epoch is on validation; None where it was not validated."""
    score = row.get("validation_score")
    if score is not None and np.isfinite(merit(score, metric)):
        return merit(score, metric)
    accuracy = row.get("validation_accuracy")
    return None if accuracy is None or metric != "accuracy" else float(accuracy)


def _seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


@dataclass
class _Record:
    """The search's sqlite file.

    Args:
        file: its path.
        study: Optuna's view of it.
        done: the trials that have ended, by number.
    """

    file: Path
    study: optuna.Study
    done: dict[int, FrozenTrial] = field(default_factory=dict)

    @classmethod
    def open(cls, context: TrialContext) -> _Record:
        """Open the file of a task, or begin it.

        Raises:
            StoreError: it cannot be used.
        """
        folder, name = context.resources.store.root / "searches", context.task.key
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.sqlite3"
        with _storage_errors(file), FileLock(file.with_suffix(".lock")):  # Optuna's tables are made by one at a time
            connect = {"connect_args": {"timeout": _PATIENCE}}
            storage = optuna.storages.RDBStorage(f"sqlite:///{file}", engine_kwargs=connect)
            others = [known for known in optuna.get_all_study_names(storage) if known != name]
            if others:
                raise StoreError(f"{file}: holds another study's search ({others[0]}); move it away, or delete it")
            study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        record = cls(file, study)
        record.read()
        return record

    def read(self) -> None:
        """Read the trials of all processes; if a trial was done twice, the first counts."""
        with _storage_errors(self.file):
            trials = self.study.get_trials(deepcopy=False)
        self.done = {}
        for trial in trials:
            if _NUMBER in trial.user_attrs:
                self.done.setdefault(int(trial.user_attrs[_NUMBER]), trial)

    def add(
        self, number: int, trial: optuna.Trial, state: TrialState, value: float | None, seen: Mapping[int, float]
    ) -> None:
        """Record how a trial ended, unless another process did; then read the trials of the others."""
        self.read()
        if number not in self.done:
            ended = optuna.trial.create_trial(
                state=state,
                value=value,
                params=trial.params,
                distributions=trial.distributions,
                intermediate_values=dict(seen),
                user_attrs={_NUMBER: number},
            )
            with _storage_errors(self.file):
                self.study.add_trial(ended)
            self.read()


@contextlib.contextmanager
def _storage_errors(file: Path) -> Iterator[None]:
    """Turn the errors of a file that is locked, damaged or not a search into one line."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.OptunaError, AssertionError, RuntimeError) as error:
        inner = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        why = str(getattr(inner, "orig", None) or inner).splitlines()[0]
        raise StoreError(
            f"{file}: cannot use this search ({why}); close other programs that use it, or delete it"
        ) from error


def _suggest(trial: optuna.Trial, choice: Choice) -> Any:
    name = ".".join(choice.path)
    if choice.search is None:
        return trial.suggest_categorical(name, list(choice.values))
    bounds = choice.search
    if "choices" in bounds:
        return trial.suggest_categorical(name, list(bounds["choices"]))
    low, high, log = bounds["low"], bounds["high"], bool(bounds.get("log", False))
    if is_whole(choice):
        return trial.suggest_int(name, low, high, log=log, step=1 if log else int(bounds.get("step", 1)))
    return trial.suggest_float(name, low, high, log=log, step=None if log else bounds.get("step"))


def _values(params: Mapping[str, Any], choices: tuple[Choice, ...]) -> Values:
    return {choice.path: params[".".join(choice.path)] for choice in choices}


def _watcher(trial: optuna.Trial, seen: dict[int, float], metric: str) -> Callable[[Mapping[str, Any]], None]:
    def watch(row: Mapping[str, Any]) -> None:
        value = _merit(row, metric)
        if value is None:
            return
        seen[int(row["epoch"])] = value
        trial.report(value, int(row["epoch"]))
        if trial.should_prune():
            raise TrialPruned

    return watch
