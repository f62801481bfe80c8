"""What a fit leaves in the store, and how it becomes a run folder: the test split is opened here, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset, Split
from headstart.evaluate.metrics.calibration import apply_temperature, fit_temperature
from headstart.evaluate.metrics.metrics import evaluate
from headstart.models.bundle import HEAD, MODEL, Bundle, bundle_bytes, copy_with_temperature
from headstart.models.bundle_file import licence_entry
from headstart.storage.files import link_or_copy, read_json, write_atomic
from headstart.storage.store import Store
from headstart.study.results.environment import environment
from headstart.study.results.folder import Content, StudyFolder, json_bytes, npz_bytes
from headstart.study.results.peak_memory import peak_memory
from headstart.study.spec.schema import TUNED
from headstart.study.spec.settings import AUTO, rate_is_found, recipe_of
from headstart.study.task import Task

KIND = "fits"


Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Fit:
    """What fitting one task left.

    Args:
        chosen: the configuration chosen on validation.
        tried: every configuration with its validation score.
        notes: what a reader must know (not converged, batch halved, …).
        history: one row per epoch; empty for closed-form heads.
        validation: probabilities of the validation rows, by the model that had not seen them; or None.
        learned, total: numbers of parameters.
        seconds: what this fit alone cost.
        refit: "train+validation" or "none".
        whole: the backbone changed, so the bundle carries it.
    """

    chosen: Mapping[str, Any] = field(default_factory=dict)
    tried: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    validation: Probabilities | None = None
    learned: int = 0
    total: int = 0
    seconds: float = 0.0
    refit: str = "none"
    whole: bool = False


def save_fit(folder: Path, fit: Fit, bundle: Bundle | Path) -> None:
    """Write a fit and its model, or the file in which that is written already, into an entry under construction."""
    plain = {name: getattr(fit, name) for name in fit.__dataclass_fields__ if name != "validation"}
    write_atomic(folder / "fit.json", json_bytes(plain))
    model = folder / (MODEL if fit.whole else HEAD)
    if isinstance(bundle, Path):
        link_or_copy(bundle, model)
    else:
        write_atomic(model, bundle_bytes(bundle, whole=fit.whole))
    if fit.validation is not None:
        write_atomic(folder / "validation.npz", npz_bytes(probabilities=fit.validation))


def load_fit(store: Store, key: str) -> Fit:
    """Read a fit from the store."""
    folder = store.path(KIND, key)
    plain = read_json(folder / "fit.json")
    path = folder / "validation.npz"
    validation = np.load(path)["probabilities"] if path.exists() else None
    return Fit(**plain, validation=validation)


def write_result(
    task: Task,
    fit: Fit,
    *,
    study: str,
    folder: StudyFolder,
    store: Store,
    dataset: Dataset,
    split: Split,
    test: Probabilities,
    weights: Mapping[str, Any],
    shared: Mapping[str, Any],
    device: str,
) -> dict[str, Any]:
    """Score a fitted task on the test rows and write its run folder; return the result.

    Args:
        task, fit: what was fitted, and what came out.
        study: its name; the fit may have been made for another study.
        folder, store: where to write, and where the model is.
        dataset, split: the images and their sides.
        test: probabilities of the test rows, uncalibrated.
        weights: origin, sha256 and licence.
        shared: cost of the work that this run shares with others: seconds, images_per_second.
        device: where it ran.
    """
    result, predictions = judged(fit, dataset, split, test, weights=weights, shared=shared, device=device)
    model = MODEL if fit.whole else HEAD
    provenance = {"study": study, **task.provenance(dataset), **licence_entry(weights["licence"])}
    source = store.path(KIND, task.key) / model
    files: dict[str, Content] = {
        "spec.json": json_bytes(described(task, dataset)),
        **result_files(result, predictions, fit, split, device),
        model: partial(copy_with_temperature, source, temperature=result["temperature"], provenance=provenance),
    }
    folder.write_run(task.run.name, task.seed, task.key, files)
    return result


def judged(
    fit: Fit,
    dataset: Dataset,
    split: Split,
    test: Probabilities,
    *,
    weights: Mapping[str, Any],
    shared: Mapping[str, Any],
    device: str,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the result of a fit, calibrated on validation, and its predictions; arguments as of `write_result`."""
    classes = dataset.classes
    temperature = 1.0
    validation_metrics: dict[str, Any] = {}
    validation = fit.validation
    if validation is not None and len(split.validation) and not dataset.multi_label:
        temperature = fit_temperature(dataset.labels[split.validation], validation)
        validation = apply_temperature(validation, temperature).astype(np.float32)
    if not dataset.multi_label:
        test = apply_temperature(test, temperature).astype(np.float32)
    if validation is not None and len(split.validation):
        validation_metrics = evaluate(dataset.labels[split.validation], validation, classes)
    metrics = evaluate(dataset.labels[split.test], test, classes)
    result = {
        "n_test": len(split.test),
        "n_validation": len(split.validation),
        "n_train": len(split.train),
        "chosen": fit.chosen,
        "tried": fit.tried,
        "notes": [*split.notes, *_never_seen(dataset, split), *fit.notes],
        "refit": fit.refit,
        "temperature": temperature,
        "parameters": {"total": fit.total, "learned": fit.learned},
        "weights": weights,
        "metrics": {"test": metrics, "validation": validation_metrics},
        "cost": {
            "seconds": fit.seconds,
            "shared_seconds": shared.get("seconds", 0.0),
            "images_per_second": shared.get("images_per_second"),
            "engine": shared.get("engine"),
            "peak_memory_bytes": peak_memory(),
            "device": device,
        },
    }
    predictions: dict[str, Any] = {
        "test_rows": split.test,
        "test_labels": dataset.labels[split.test],
        "test_probabilities": test,
    }
    if validation is not None:
        predictions |= {
            "validation_rows": split.validation,
            "validation_labels": dataset.labels[split.validation],
            "validation_probabilities": validation,
        }
    return result, predictions


def result_files(
    result: Mapping[str, Any], predictions: Mapping[str, Any], fit: Fit, split: Split, device: str
) -> dict[str, Content]:
    """Return the files of a run folder except its settings and its model."""
    return {
        "result.json": json_bytes(result),
        "predictions.npz": npz_bytes(**predictions),
        "history.json": json_bytes(fit.history),
        "split.npz": npz_bytes(train=split.train, validation=split.validation, test=split.test),
        "environment.json": json_bytes(environment(device)),
    }


def write_failure(task: Task, folder: StudyFolder, dataset: Dataset, error: str, history: list[dict[str, Any]]) -> None:
    """Write the folder of a run that could not be finished, with the reason and what it had learned so far."""
    files = {"spec.json": json_bytes(described(task, dataset)), "history.json": json_bytes(history)}
    folder.write_run(task.run.name, task.seed, task.key, files, error=error)


def described(task: Task, dataset: Dataset) -> dict[str, Any]:
    """Return the resolved settings of a task, as spec.json holds them."""
    spec = task.run.spec
    settings = spec.model_dump()
    if spec.strategy in TUNED:
        found = {"lr": AUTO} if rate_is_found(spec) else {}
        settings["recipe"] = {**asdict(recipe_of(spec)), **found}
    settings["weights"] = spec.weights.model_dump(exclude_none=True)
    settings["data"] = {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        **task.run.data.model_dump(exclude={"name"}, exclude_none=True),
    }
    return {
        **settings,
        "run": task.run.name,
        "seed": task.seed,
        "axes": dict(task.run.axes),
        "deterministic": task.deterministic,
    }


def _never_seen(dataset: Dataset, split: Split) -> list[str]:
    """Return a note on classes that are tested without a training image, which explains scores of zero."""
    rows = np.concatenate([split.train, split.validation])
    if not len(rows):  # nothing was learned on these images
        return []
    unseen = np.flatnonzero((dataset.counts(split.test) > 0) & (dataset.counts(rows) == 0))
    if not len(unseen):
        return []
    names = ", ".join(dataset.classes[number] for number in unseen[:5])
    return [f"{len(unseen)} classes are tested but have no training image: {names}{', …' if len(unseen) > 5 else ''}"]
