"""Trains one configuration, cached, and refits the chosen one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset, IntArray
from headstart.errors import RunFailed
from headstart.models.bundle import MODEL, Bundle, bundle_bytes
from headstart.models.network import Network
from headstart.storage.checksums import forget
from headstart.storage.files import read_json, write_atomic
from headstart.storage.store import content_key, drop_file
from headstart.study.execution.tuning.auto_lr import with_rate
from headstart.study.execution.tuning.lp_ft_head import fitted_head
from headstart.study.execution.tuning.teaching import distillation_of, teaching_notes
from headstart.study.execution.tuning.trial import OnEpoch, Trial, TrialContext, TrialPruned, Values
from headstart.study.execution.tuning.whole_images import WholeImages
from headstart.study.execution.validation_scores import validation_scores
from headstart.study.planning.checks import starts_fitted
from headstart.study.results.folder import json_bytes, npz_bytes
from headstart.study.results.run_record import Probabilities
from headstart.study.spec.settings import WHOLE, recipe_of, strategy_of
from headstart.study.task import Task, origin_of
from headstart.transfer.finetune.finetune import TuneJob, finetune
from headstart.transfer.frozen.predict import predict_probabilities

TRIALS = "trials"


class BestTrial:
    """Trials of one task: keeps the scores of all, and the network of the best so far."""

    def __init__(self) -> None:
        self._best: Trial | None = None

    def try_one(self, context: TrialContext, values: Values, place: str = "", on_epoch: OnEpoch | None = None) -> Trial:
        """Train one configuration, or read it from the cache; delete its network or that of the previous best."""
        trial, best = try_one(context, values, place, on_epoch), self._best
        if best is not None and trial.folder != best.folder:
            forget_model(trial if trial.rank <= best.rank else best)
        if best is None or trial.rank > best.rank:
            self._best = trial
        return trial


def forget_model(trial: Trial) -> None:
    """Delete the network of a trial; its scores remain."""
    drop_file(trial.folder, MODEL)


def try_one(context: TrialContext, values: Values, place: str = "", on_epoch: OnEpoch | None = None) -> Trial:
    """Train one configuration, or read it from the cache if it was trained before."""
    split = context.split

    def job(folder: Path) -> TuneJob:
        return _job(context, values, split.train, split.validation, None, folder, None)

    settled = with_rate(context, values, job)
    return _train(context, settled, split.train, split.validation, None, place, on_epoch)


def refit(context: TrialContext, values: Values, epochs: int) -> Trial:
    """Train a configuration on training and validation rows together, for as many epochs."""
    both = np.sort(np.concatenate([context.split.train, context.split.validation]))
    return _train(context, values, both, both[:0], epochs, "refit", None)


def _train(
    context: TrialContext,
    values: Values,
    train: IntArray,
    validation: IntArray,
    stop_after: int | None,
    place: str,
    on_epoch: OnEpoch | None,
) -> Trial:
    task, resources = context.task, context.resources
    named = _named(values)
    key = _trial_key(task, values, train, validation, stop_after)
    with resources.store.building(TRIALS, key) as entry:
        if entry is not None:
            if place:
                context.note(f"{task.name} {place}: {', '.join(f'{n}={v}' for n, v in named) or 'training'}")
            resources.watch()
            job = _job(
                context, values, train, validation, stop_after, entry.path / "training", _watched(context, on_epoch)
            )
            try:
                _save_trial(context, job, entry.path)
            except (RunFailed, TrialPruned):
                _forget_checkpoints(job.folder)  # this training will not continue
                raise
    folder = resources.store.path(TRIALS, key)
    facts = read_json(folder / "trial.json")
    return Trial(values=values, folder=folder, **facts)


def _watched(context: TrialContext, on_epoch: OnEpoch | None) -> OnEpoch:
    def tell(row: Mapping[str, Any]) -> None:
        if on_epoch is not None:
            on_epoch(row)
        context.resources.watch()

    return tell


def _named(values: Values) -> list[tuple[str, Any]]:
    return sorted((".".join(path), value) for path, value in values.items())


def _trial_key(task: Task, values: Values, train: IntArray, validation: IntArray, stop_after: int | None) -> str:
    return content_key([task.key, _named(values), len(train), len(validation), stop_after])


def _job(
    context: TrialContext,
    values: Values,
    train: IntArray,
    validation: IntArray,
    stop_after: int | None,
    folder: Path,
    on_epoch: OnEpoch | None,
) -> TuneJob:
    task, resources = context.task, context.resources
    spec = task.run.with_values(values)
    recipe = recipe_of(spec)
    if (spec.shots is not None or spec.fraction is not None) and len(train) < recipe.batch_size:
        context.note(
            f"{task.name}: batch_size reduced from {recipe.batch_size} to {len(train)}, the number of training images"
        )
        recipe = replace(recipe, batch_size=len(train))
    backbone = resources.loaded(task.run.network, task.seed).backbone
    needs = backbone.preprocessing
    whole = bool(WHOLE.intersection(recipe.augment))
    strategy, head = strategy_of(spec), None
    pictures = _pictures(context)
    images = resources.images_of(pictures, needs)
    extra = np.setdiff1d(np.arange(len(context.dataset), len(pictures)), sorted(images.bad))
    if starts_fitted(task, context.split):
        head = fitted_head(task, context.split, resources, refit=stop_after is not None)
        strategy = replace(strategy, probe_epochs=0)
    return TuneJob(
        backbone=backbone,
        strategy=strategy,
        recipe=recipe,
        images=images,
        labels=pictures.labels,
        classes=len(context.dataset.classes),
        train=np.concatenate([train, extra]),
        validation=validation,
        seed=task.seed,
        folder=folder,
        device=resources.device,
        store=resources.store,
        initial_head=head,
        view_rows=_view_rows(context, extra),
        train_images=WholeImages(resources.images_of(pictures, needs, whole=True)) if whole else None,
        stop_after=stop_after,
        loggers=_loggers(),
        on_epoch=on_epoch,
        metric=task.run.metric,
        distillation=distillation_of(context, spec, recipe, pictures),
    )


def _view_rows(context: TrialContext, extra: IntArray) -> IntArray | None:
    """Return the rows whose augmented views are stored: of training and refit; None: of the training, without refit."""
    if not context.task.run.refits:
        return None
    return np.concatenate([np.union1d(context.split.train, context.split.validation), extra])


def _pictures(context: TrialContext) -> Dataset:
    """Return the images of a run, with those without labels after them if it has a teacher."""
    run = context.task.run
    return context.dataset if run.spec.teacher is None else context.resources.pictures(run.data)


def _save_trial(context: TrialContext, job: TuneJob, folder: Path) -> None:
    result = finetune(job)
    facts: dict[str, Any] = {
        "history": result.history,
        "best_epoch": result.best_epoch,
        "notes": [*teaching_notes(context, _pictures(context)), *result.notes],
        "seconds": result.seconds,
        "learned": result.learned_parameters,
        "total": result.total_parameters,
        "accuracy": None,
        "log_loss": None,
        "merit": None,
    }
    if len(job.validation):
        judged = probabilities_of(result.network, job.validation, job.recipe.tta, context)
        labels = context.dataset.labels[job.validation]
        facts |= validation_scores(judged, labels, context.task.run.metric)
        write_atomic(folder / "validation.npz", npz_bytes(probabilities=judged))
    write_atomic(folder / MODEL, bundle_bytes(_bundle(context, result.network, job.recipe.tta), whole=True))
    write_atomic(folder / "trial.json", json_bytes(facts))
    _forget_checkpoints(job.folder)


def _forget_checkpoints(folder: Path) -> None:
    """Delete the checkpoints that a training would continue from: several times the size of its network."""
    for checkpoint in [*folder.glob("*.ckpt"), *folder.glob("*.safetensors")]:
        forget(checkpoint)


def tried_row(trial: Trial) -> dict[str, Any]:
    """Return the settings of a trial, its scores on validation and how long it took, as results list it."""
    named = {".".join(path): value for path, value in trial.values.items()}
    scores = {"validation_accuracy": trial.accuracy, "validation_log_loss": trial.log_loss}
    return {**named, **scores, "epochs": len(trial.history), "best_epoch": trial.best_epoch, "seconds": trial.seconds}


def probabilities_of(network: Network, rows: IntArray, tta: str, context: TrialContext) -> Probabilities:
    """Return a network's probabilities of some rows, float32 [len(rows), C].

    Raises:
        RunFailed: some are not finite.
    """
    needs = network.backbone.preprocessing
    found: Probabilities = predict_probabilities(
        network,
        context.resources.images(context.task.run.data, needs),
        rows,
        needs,
        tta=tta,
        multi_label=context.dataset.multi_label,
        device=context.resources.device,
        title=f"{context.task.name}: predictions",
    )
    if not np.isfinite(found).all():
        raise RunFailed("the network's predictions are not finite: the training diverged; lower the learning rate")
    return found


def _bundle(context: TrialContext, network: Network, tta: str) -> Bundle:
    task = context.task
    facts = {**context.provenance, **task.provenance(context.dataset)}
    origin = origin_of(task.run, task.seed, context.resources)
    return Bundle(network, origin, context.dataset.classes, context.dataset.multi_label, 1.0, facts, tta)


def _loggers() -> tuple[str, ...]:
    from importlib.util import find_spec

    return ("csv", "tensorboard") if find_spec("tensorboard") else ("csv",)
