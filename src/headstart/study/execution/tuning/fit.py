"""Trains networks on the target: evaluates every configuration on validation and refits the best one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from headstart.data.dataset import Split
from headstart.errors import RunFailed
from headstart.models.bundle import MODEL, Bundle, read_bundle
from headstart.study.execution.tuning.auto_lr import with_curve
from headstart.study.execution.tuning.train import (
    TRIALS,
    BestTrial,
    forget_model,
    probabilities_of,
    refit,
    tried_row,
    try_one,
)
from headstart.study.execution.tuning.trial import Trial, TrialContext, Values
from headstart.study.resources import Resources
from headstart.study.results.run_record import KIND as FITS
from headstart.study.results.run_record import Fit, Probabilities, load_fit, save_fit
from headstart.study.task import Task


def tune(
    task: Task, split: Split, resources: Resources, provenance: Mapping[str, str], note: Callable[[str], None]
) -> tuple[Fit, Probabilities]:
    """Train the network of one task, choosing on validation where there is something to choose.

    Returns:
        The fit, and the probabilities of the test rows, float32 [n, C].

    Raises:
        RunFailed: the loss became NaN in every configuration, or memory was insufficient.
    """
    context = TrialContext(task, split, resources.dataset(task.run.data), resources, provenance, note)
    if task.run.searches and not resources.store.has(FITS, task.key):
        _search(context)  # outside the lock: several processes may do its trials
    with resources.store.building(FITS, task.key, wait_message=f"{task.name}: another process trains it") as entry:
        trials = [] if entry is None else _fit(context, entry.path)
    for trial in trials:
        forget_model(trial)  # the fit has its own copy of the best network
    bundle = read_bundle(resources.store.path(FITS, task.key), agreed=True)
    return load_fit(resources.store, task.key), probabilities_of(bundle.network, split.test, bundle.tta, context)


def _fit(context: TrialContext, folder: Path) -> list[Trial]:
    """Fill the folder of a fit; return all of its trials."""
    run, split = context.task.run, context.split
    if run.searches:
        trials, broken = _search(context), list[str]()
    else:
        trials, broken = _try_all(context, run.configurations())
    best = max(trials, key=lambda trial: trial.rank)
    best = _with_model(context, best, lambda: try_one(context, best.values))
    chosen = {".".join(path): value for path, value in best.values.items()}
    refits = run.refits and len(split.validation) > 0
    final, notes = best, [*best.notes, *broken]
    seconds = sum(trial.seconds for trial in trials)
    if refits:

        def again() -> Trial:
            return refit(context, best.values, best.best_epoch)

        final = _with_model(context, again(), again)
        seconds += final.seconds
        notes = [*notes, f"trained once more on train and validation, epochs: {best.best_epoch}", *final.notes]
    judged = best.folder / "validation.npz"
    fit = Fit(
        chosen={**chosen, "epoch": best.best_epoch},
        tried=[tried_row(trial) for trial in trials],
        notes=list(dict.fromkeys(notes)),
        history=with_curve(context, best.values, best.history),
        validation=np.load(judged)["probabilities"] if judged.exists() else None,
        learned=final.learned,
        total=final.total,
        seconds=seconds,
        refit="train+validation" if refits else "none",
        whole=True,
    )
    save_fit(folder, fit, final.folder / MODEL)
    return [*trials, best, final]


def retrained(
    task: Task, split: Split, resources: Resources, note: Callable[[str], None], *, values: Values, epochs: int
) -> Bundle:
    """Return the network of one configuration, trained on the train and validation rows of `split`; not calibrated.

    Raises:
        RunFailed: the loss became NaN, or memory was insufficient.
    """
    context = TrialContext(task, split, resources.dataset(task.run.data), resources, {}, note)

    def again() -> Trial:
        return refit(context, values, epochs)

    trial = _with_model(context, again(), again)
    bundle = read_bundle(trial.folder, agreed=True)
    forget_model(trial)
    return bundle


def _search(context: TrialContext) -> list[Trial]:
    from headstart.study.execution.tuning.optuna_search import search  # imports Optuna, which few runs need

    return search(context, BestTrial().try_one)


def _with_model(context: TrialContext, trial: Trial, again: Callable[[], Trial]) -> Trial:
    """Return the trial with its network; train it again if the cache no longer holds it."""
    if (trial.folder / MODEL).is_file():
        return trial
    context.resources.store.remove(TRIALS, trial.folder.name)
    return again()


def _try_all(context: TrialContext, configurations: Sequence[Values]) -> tuple[list[Trial], list[str]]:
    """Return the finished trials, and a note on each failed one: one bad learning rate does not end a grid."""
    contest = BestTrial()
    trials: list[Trial] = []
    broken: list[str] = []
    last: RunFailed | None = None
    for number, values in enumerate(configurations, 1):
        try:
            place = f"{number}/{len(configurations)}" if len(configurations) > 1 else ""
            trials.append(contest.try_one(context, values, place))
        except RunFailed as error:
            last = error
            named = ", ".join(f"{'.'.join(path)}={value}" for path, value in sorted(values.items()))
            broken.append(f"failed with {named}: {error}")
    if not trials and last is not None:
        raise last
    return trials, broken
