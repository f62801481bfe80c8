"""Networks trained on the target: every configuration tried on validation, the chosen one trained once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset, IntArray, Split
from headstart.data.images import ImageArray
from headstart.deploy.bundle import MODEL, Bundle, bundle_bytes, read_bundle
from headstart.errors import RunFailed
from headstart.models.network import Network
from headstart.store import content_key, read_json, write_atomic
from headstart.study.folder import json_bytes, npz_bytes
from headstart.study.rates import with_curve, with_rate
from headstart.study.record import KIND as FITS
from headstart.study.record import Fit, Probabilities, load_fit, save_fit
from headstart.study.settings import WHOLE, recipe_of, strategy_of
from headstart.study.starting import fitted_head, starts_fitted
from headstart.study.task import Task, origin_of
from headstart.study.workshop import Workshop
from headstart.transfer.finetune import TuneJob, finetune
from headstart.transfer.predict import predict_probabilities
from headstart.transfer.recipe import Recipe

TRIALS = "trials"
Values = Mapping[tuple[str, ...], Any]
OnEpoch = Callable[[Mapping[str, Any]], None]


class GivenUp(Exception):
    """Ends a training that nobody will go on with; raised by who listens to its epochs."""


@dataclass(frozen=True)
class Trial:
    """One configuration, trained on the training rows and judged on the validation rows.

    Args:
        values: what was set, by path.
        history: one row per epoch.
        best_epoch: the epoch its network comes from.
        notes: what a reader must know.
        seconds: what it cost.
        learned, total: numbers of parameters.
        accuracy, log_loss: on validation, or None without.
        folder: where its network lies.
    """

    values: Values
    history: list[dict[str, Any]]
    best_epoch: int
    notes: list[str]
    seconds: float
    learned: int
    total: int
    accuracy: float | None
    log_loss: float | None
    folder: Path

    @property
    def rank(self) -> tuple[float, float]:
        """Sorts trials: the best is the largest."""
        return (self.accuracy or 0.0, -(self.log_loss if self.log_loss is not None else np.inf))


@dataclass(frozen=True)
class Bench:
    """What all trials of a task share.

    Args:
        task, split, dataset, workshop: as everywhere.
        provenance: facts for the bundle.
        note: tells the user something.
    """

    task: Task
    split: Split
    dataset: Dataset
    workshop: Workshop
    provenance: Mapping[str, str]
    note: Callable[[str], None]


@dataclass(frozen=True)
class Whole:
    """Whole images, which are of several sizes and therefore taken one by one, never as a batch; each a copy."""

    images: ImageArray

    @property
    def key(self) -> str:
        """The images' content key."""
        return self.images.key

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> npt.NDArray[np.uint8]:
        return np.array(self.images[row])


def tune(
    task: Task, split: Split, workshop: Workshop, provenance: Mapping[str, str], note: Callable[[str], None]
) -> tuple[Fit, Probabilities]:
    """Train the network of one task, choosing on validation where there is something to choose.

    Returns:
        The fit, and the probabilities of the test rows, float32 [n, C].

    Raises:
        RunFailed: the loss became NaN in every configuration, or memory did not suffice.
    """
    bench = Bench(task, split, workshop.dataset(task.run.data), workshop, provenance, note)
    if task.run.searches and not workshop.store.has(FITS, task.key):
        _search(bench)  # outside the lock: several processes may do its trials
    with workshop.store.building(FITS, task.key, wait_message=f"{task.name}: another process trains it") as entry:
        trials = [] if entry is None else _fit(bench, entry.path)
    for trial in trials:
        forget_model(trial)  # the winner's stands in the fit now
    bundle = read_bundle(workshop.store.path(FITS, task.key))
    recipe = recipe_of(task.run.spec)
    return load_fit(workshop.store, task.key), _probabilities(bundle.network, split.test, recipe, bench)


def _fit(bench: Bench, folder: Path) -> list[Trial]:
    """Fill the folder of a fit; return all trials that it rests on."""
    run, split = bench.task.run, bench.split
    if run.searches:
        trials, broken = _search(bench), list[str]()
    else:
        trials, broken = _try_all(bench, run.configurations())
    best = max(trials, key=lambda trial: trial.rank)
    best = _with_model(bench, best, lambda: try_one(bench, best.values))
    chosen = {".".join(path): value for path, value in best.values.items()}
    refit = run.spec.refit or ("train+validation" if len(trials) > 1 else "none")
    final, network, notes = best, read_bundle(best.folder).network, [*best.notes, *broken]
    seconds = sum(trial.seconds for trial in trials)
    if refit == "train+validation" and len(split.validation):
        final = _with_model(bench, _refit(bench, best), lambda: _refit(bench, best))
        network, seconds = read_bundle(final.folder).network, seconds + final.seconds
        notes = [*notes, f"trained once more on train and validation, epochs: {best.best_epoch}", *final.notes]
    else:
        refit = "none"
    judged = best.folder / "validation.npz"
    fit = Fit(
        chosen={**chosen, "epoch": best.best_epoch},
        tried=[_tried(trial) for trial in trials],
        notes=list(dict.fromkeys(notes)),
        history=with_curve(bench, best.values, best.history),
        validation=np.load(judged)["probabilities"] if judged.exists() else None,
        learned=final.learned,
        total=final.total,
        seconds=seconds,
        refit=refit,
        whole=True,
    )
    save_fit(folder, fit, _bundle(bench, network))
    return [*trials, best, final]


def _search(bench: Bench) -> list[Trial]:
    from headstart.study.search import search  # imports Optuna, which few runs need

    return search(bench, Contest().try_one)


def _with_model(bench: Bench, trial: Trial, again: Callable[[], Trial]) -> Trial:
    """Return the trial with its network; train it again where that is gone, as after a cache was pruned of fits."""
    if (trial.folder / MODEL).is_file():
        return trial
    bench.workshop.store.remove(TRIALS, trial.folder.name)
    return again()


def _try_all(bench: Bench, configurations: Sequence[Values]) -> tuple[list[Trial], list[str]]:
    """Return the trials that were finished, and a note on each that was not: one bad rate does not end a grid."""
    contest = Contest()
    trials: list[Trial] = []
    broken: list[str] = []
    last: RunFailed | None = None
    for number, values in enumerate(configurations, 1):
        try:
            trials.append(contest.try_one(bench, values, f"{number}/{len(configurations)}"))
        except RunFailed as error:
            last = error
            named = ", ".join(f"{'.'.join(path)}={value}" for path, value in sorted(values.items()))
            broken.append(f"not finished with {named}: {error}")
    if not trials and last is not None:
        raise last
    return trials, broken


class Contest:
    """Trials of one task: of their networks, only the best so far is kept; the numbers of all are."""

    def __init__(self) -> None:
        self._best: Trial | None = None

    def try_one(self, bench: Bench, values: Values, place: str = "", on_epoch: OnEpoch | None = None) -> Trial:
        """Train one configuration, or take it from the store, and throw the worse of it and the best away."""
        trial, best = try_one(bench, values, place, on_epoch), self._best
        if best is not None and trial.folder != best.folder:
            forget_model(trial if trial.rank <= best.rank else best)
        if best is None or trial.rank > best.rank:
            self._best = trial
        return trial


def forget_model(trial: Trial) -> None:
    """Delete the network of a trial; what is known about it stays."""
    (trial.folder / MODEL).unlink(missing_ok=True)


def try_one(bench: Bench, values: Values, place: str = "", on_epoch: OnEpoch | None = None) -> Trial:
    """Train one configuration, or take it from the store if it was trained before."""
    split = bench.split

    def job(folder: Path) -> TuneJob:
        return _job(bench, values, split.train, split.validation, None, folder, None)

    settled = with_rate(bench, values, job)
    return _train(bench, settled, split.train, split.validation, None, place, on_epoch)


def _refit(bench: Bench, best: Trial) -> Trial:
    both = np.sort(np.concatenate([bench.split.train, bench.split.validation]))
    return _train(bench, best.values, both, both[:0], best.best_epoch, "refit", None)


def _train(
    bench: Bench,
    values: Values,
    train: IntArray,
    validation: IntArray,
    stop_after: int | None,
    place: str,
    on_epoch: OnEpoch | None,
) -> Trial:
    task, workshop = bench.task, bench.workshop
    named = _named(values)
    key = _trial_key(task, values, train, validation, stop_after)
    with workshop.store.building(TRIALS, key) as entry:
        if entry is not None:
            if place:
                bench.note(f"{task.name} {place}: {', '.join(f'{n}={v}' for n, v in named) or 'training'}")
            workshop.watch()
            job = _job(bench, values, train, validation, stop_after, entry.path / "training", _watched(bench, on_epoch))
            try:
                _save_trial(bench, job, entry.path)
            except (RunFailed, GivenUp):
                _forget_checkpoints(job.folder)  # nobody will go on from there
                raise
    folder = workshop.store.path(TRIALS, key)
    facts = read_json(folder / "trial.json")
    return Trial(values=values, folder=folder, **facts)


def _watched(bench: Bench, on_epoch: OnEpoch | None) -> OnEpoch:
    def tell(row: Mapping[str, Any]) -> None:
        if on_epoch is not None:
            on_epoch(row)
        bench.workshop.watch()

    return tell


def _named(values: Values) -> list[tuple[str, Any]]:
    return sorted((".".join(path), value) for path, value in values.items())


def _trial_key(task: Task, values: Values, train: IntArray, validation: IntArray, stop_after: int | None) -> str:
    return content_key([task.key, _named(values), len(train), len(validation), stop_after])


def _job(
    bench: Bench,
    values: Values,
    train: IntArray,
    validation: IntArray,
    stop_after: int | None,
    folder: Path,
    on_epoch: OnEpoch | None,
) -> TuneJob:
    task, workshop = bench.task, bench.workshop
    spec = task.run.with_values(values)
    recipe = recipe_of(spec)
    if (spec.shots is not None or spec.fraction is not None) and len(train) < recipe.batch_size:
        bench.note(f"{task.name}: {len(train)} images make one batch (batch_size {recipe.batch_size} was asked for)")
        recipe = replace(recipe, batch_size=len(train))
    backbone = workshop.loaded(task.run, task.seed).backbone
    needs = backbone.preprocessing
    whole = bool(WHOLE.intersection(recipe.augment))
    strategy, head = strategy_of(spec), None
    if starts_fitted(task, bench.split):
        head = fitted_head(task, bench.split, workshop, refit=stop_after is not None)
        strategy = replace(strategy, probe_epochs=0)
    return TuneJob(
        backbone=backbone,
        strategy=strategy,
        recipe=recipe,
        images=workshop.images(task.run.data, needs),
        labels=bench.dataset.labels,
        classes=len(bench.dataset.classes),
        train=train,
        validation=validation,
        seed=task.seed,
        folder=folder,
        device=workshop.device,
        store=workshop.store,
        initial_head=head,
        train_images=Whole(workshop.images(task.run.data, needs, whole=True)) if whole else None,
        stop_after=stop_after,
        loggers=_loggers(),
        on_epoch=on_epoch,
    )


def _save_trial(bench: Bench, job: TuneJob, folder: Path) -> None:
    result = finetune(job)
    facts: dict[str, Any] = {
        "history": result.history,
        "best_epoch": result.best_epoch,
        "notes": result.notes,
        "seconds": result.seconds,
        "learned": result.learned_parameters,
        "total": result.total_parameters,
        "accuracy": None,
        "log_loss": None,
    }
    if len(job.validation):
        judged = _probabilities(result.network, job.validation, job.recipe, bench)
        facts |= _scores(judged, bench.dataset.labels[job.validation])
        write_atomic(folder / "validation.npz", npz_bytes(probabilities=judged))
    write_atomic(folder / MODEL, bundle_bytes(_bundle(bench, result.network), whole=True))
    write_atomic(folder / "trial.json", json_bytes(facts))
    _forget_checkpoints(job.folder)


def _forget_checkpoints(folder: Path) -> None:
    """Delete what a training would go on from: several times the size of its network."""
    for checkpoint in [*folder.glob("*.ckpt"), *folder.glob("*.safetensors")]:
        checkpoint.unlink()


def _scores(probabilities: Probabilities, labels: npt.NDArray[Any]) -> dict[str, float]:
    if labels.ndim == 2:
        p = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
        loss = -(np.log(p) * labels + np.log1p(-p) * ~labels).mean()
        return {"accuracy": float(((p > 0.5) == labels).mean()), "log_loss": float(loss)}
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    right = probabilities.argmax(1) == labels
    return {"accuracy": float(right.mean()), "log_loss": float(-np.log(np.clip(own, 1e-7, None)).mean())}


def _tried(trial: Trial) -> dict[str, Any]:
    named = {".".join(path): value for path, value in trial.values.items()}
    scores = {"validation_accuracy": trial.accuracy, "validation_log_loss": trial.log_loss}
    return {**named, **scores, "epochs": len(trial.history), "best_epoch": trial.best_epoch, "seconds": trial.seconds}


def _probabilities(network: Network, rows: IntArray, recipe: Recipe, bench: Bench) -> Probabilities:
    needs = network.backbone.preprocessing
    found: Probabilities = predict_probabilities(
        network,
        bench.workshop.images(bench.task.run.data, needs),
        rows,
        needs,
        tta=recipe.tta,
        multi_label=bench.dataset.multi_label,
        device=bench.workshop.device,
        title=f"{bench.task.name}: predictions",
    )
    return found


def _bundle(bench: Bench, network: Network) -> Bundle:
    task = bench.task
    facts = {**bench.provenance, "run": task.run.name, "seed": str(task.seed), "dataset": bench.dataset.name}
    origin = origin_of(task.run, task.seed, bench.workshop)
    return Bundle(network, origin, bench.dataset.classes, bench.dataset.multi_label, 1.0, facts)


def _loggers() -> tuple[str, ...]:
    from importlib.util import find_spec

    return ("csv", "tensorboard") if find_spec("tensorboard") else ("csv",)
