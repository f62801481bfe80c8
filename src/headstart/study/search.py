"""Search over ranges with Optuna: TPE, pruning by epoch, an sqlite file that several processes may share."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna

from headstart.errors import RunFailed, SpecError, StoreError
from headstart.study.expand import Choice
from headstart.study.tuning import Bench, Trial, Values, forget_attempt

TryOne = Callable[..., Trial]
_STARTUP = 5  # trials drawn at random before TPE has anything to go by
_PATIENCE = 60.0  # seconds to wait for a file that another process holds
_DONE = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)


def search(bench: Bench, try_one: TryOne) -> list[Trial]:
    """Try configurations of a run until its number of trials is reached; return those that were finished.

    Trials already in the store's sqlite file count, so a stopped search goes on, and several processes
    on one study share the work. A configuration is judged on validation only.

    Raises:
        SpecError: nothing was left to choose from (every trial was pruned).
        StoreError: the sqlite file cannot be used.
    """
    optuna.logging.set_verbosity(logging.WARNING)
    run = bench.task.run
    study = _open(bench)
    finished: dict[int, Trial] = {}
    while sum(trial.state in _DONE for trial in study.get_trials(deepcopy=False)) < run.trials:
        trial = study.ask()
        values = {choice.path: _suggest(trial, choice) for choice in run.choices}
        place = f"trial {trial.number + 1}/{run.trials}"
        try:
            found = try_one(bench, values, place, _watcher(trial))
        except (optuna.TrialPruned, RunFailed):
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            forget_attempt(bench, values)
            continue
        except BaseException:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise
        finished[trial.number] = found
        study.tell(trial, found.accuracy or 0.0)
    for old in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)):
        if old.number not in finished:
            finished[old.number] = try_one(bench, _values(old.params, run.choices))
    if not finished:
        raise SpecError(
            f"{run.name}: all {run.trials} trials were pruned or failed; try more of them, or narrower ranges"
        )
    return [finished[number] for number in sorted(finished)]


def _open(bench: Bench) -> optuna.Study:
    folder = bench.workshop.store.root / "searches"
    folder.mkdir(parents=True, exist_ok=True)
    file, name = folder / f"{bench.task.key}.sqlite3", bench.task.key
    with _storage_errors(file):
        connect = {"connect_args": {"timeout": _PATIENCE}}
        storage = optuna.storages.RDBStorage(f"sqlite:///{file}", engine_kwargs=connect)
        others = [known for known in optuna.get_all_study_names(storage) if known != name]
        if others:
            raise StoreError(f"{file}: holds another study's search ({others[0]}); move it away, or delete it")
        return optuna.create_study(
            storage=storage,
            study_name=name,
            sampler=optuna.samplers.TPESampler(seed=bench.task.seed, n_startup_trials=_STARTUP),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=2),
            direction="maximize",
            load_if_exists=True,
        )


@contextlib.contextmanager
def _storage_errors(file: Path) -> Iterator[None]:
    """Turn what a file that is locked, damaged or no search at all raises into one line."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.OptunaError, AssertionError, RuntimeError) as error:
        inner = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        why = str(getattr(inner, "orig", None) or inner).splitlines()[0]
        raise StoreError(
            f"{file}: this search cannot be opened ({why}); is another program using it? else delete it"
        ) from error


def _suggest(trial: optuna.Trial, choice: Choice) -> Any:
    name = ".".join(choice.path)
    if choice.search is None:
        return trial.suggest_categorical(name, list(choice.values))
    bounds = choice.search
    if "choices" in bounds:
        return trial.suggest_categorical(name, list(bounds["choices"]))
    low, high, log = bounds["low"], bounds["high"], bool(bounds.get("log", False))
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=log, step=1 if log else int(bounds.get("step", 1)))
    return trial.suggest_float(name, low, high, log=log, step=None if log else bounds.get("step"))


def _values(params: Mapping[str, Any], choices: tuple[Choice, ...]) -> Values:
    return {choice.path: params[".".join(choice.path)] for choice in choices}


def _watcher(trial: optuna.Trial) -> Callable[[Mapping[str, Any]], None]:
    def watch(row: Mapping[str, Any]) -> None:
        accuracy = row.get("validation_accuracy")
        if accuracy is None:
            return
        trial.report(float(accuracy), int(row["epoch"]))
        if trial.should_prune():
            raise optuna.TrialPruned

    return watch
