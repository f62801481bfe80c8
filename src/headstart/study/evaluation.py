"""Evaluates saved models on labelled images that they have not seen; the result is the folder of a study.

Every model answers as `predict` would: its own preprocessing, test-time augmentation, calibration and label rule.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset, Skip, Split
from headstart.data.decoding.decode import View
from headstart.data.decoding.image_store import ImageArray, decode_images
from headstart.deploy.classifier import Classifier
from headstart.deploy.drift import DRIFT, Drift, Observed, drift_facts, drift_of, why_not
from headstart.errors import DataError, ModelError, SpecError, choose
from headstart.evaluate.metrics.guards import listed_names
from headstart.evaluate.metrics.scoring import METRICS, scorer_of
from headstart.models.bundle import model_bytes
from headstart.notebook import Shown
from headstart.progress import Ticker, progress
from headstart.storage.opening import default_store
from headstart.storage.store import Store, content_key
from headstart.study.analysis.dataset_card import write_card
from headstart.study.resources import Resources
from headstart.study.results.evaluated import (
    BATCH,
    SEEN,
    Evaluated,
    evaluation_folder,
    own_change,
    undecodable,
    write_beside,
)
from headstart.study.results.facts import write_facts
from headstart.study.results.folder import StudyFolder, json_bytes
from headstart.study.results.run_record import Fit, judged, result_files
from headstart.study.results.state import Expected, StudyState
from headstart.study.results.tested import Tested, find_tested, names_of
from headstart.study.spec.schema import DataSpec
from headstart.transfer.frozen.views import view_of
from headstart.version import VERSION

STRATEGY = "evaluate"


@dataclass(frozen=True)
class _Model:
    """A model with its name here, its place, and what its own study says of it."""

    name: str
    place: str | Path
    classifier: Classifier
    own: Tested | None


@dataclass(frozen=True)
class Evaluation(Shown):
    """Models on the same images.

    Args:
        folder: a study's folder: its report is made as that of any study.
        dataset: the images that were scored, with the classes of the models.
        models: in the order given.
        notes: what was left out, and why.
        metric: that the change is measured by.
    """

    folder: StudyFolder
    dataset: Dataset
    models: tuple[Evaluated, ...]
    notes: tuple[str, ...]
    metric: str

    @property
    def report(self) -> Path:
        """The HTML report, if it was written."""
        return self.folder.root / "report.html"


def evaluate_models(
    places: Sequence[str | Path],
    data: DataSpec,
    out: str | Path = "headstart-runs",
    *,
    part: str = "all",
    metric: str | None = None,
    baseline: int = 0,
    device: str = "auto",
    store: Store | None = None,
    command: str = "",
) -> Evaluation:
    """Evaluate saved models on labelled images and write a study's folder.

    Left out, and named: images of classes that a model does not know, images that it was fitted or chosen on (where
    its study is at hand to tell), and images that cannot be decoded.

    Args:
        places: model files, run folders or study folders.
        data: the images.
        out: the folder that holds studies.
        part: "all", or one part of a split that the data come with: "train", "validation" or "test".
        metric: a name in METRICS; by default that of the first model's study, or accuracy.
        baseline: the place in `places` of the model that the others are compared with.
        device: "auto", "cpu", "cuda", …
        store: the cache of decoded images; the default cache if None.
        command: what the user typed, for the report.

    Raises:
        SpecError: as `check_request` raises it.
        WeightsError: a model cannot be read.
        ModelError: the models do not have the same classes.
        DataError: nothing is left to score, or the metric is not defined for the labels.
    """
    check_request(places, metric, baseline)
    resources, models = Resources(store or default_store(), device), _loaded(places, device)
    metric = metric or (models[0].own.metric if models[0].own is not None else "accuracy")
    scorer_of(metric, multi_label=models[0].classifier.ensemble.members[0].multi_label)
    dataset, notes = _scored(resources.dataset(_with_bands(data, models)), models, part)
    images, bad = _decoded(dataset, models, resources)
    rows = _decodable(dataset, bad, notes)
    folder = StudyFolder(evaluation_folder(out, dataset))
    split = _all_tested(rows, part)
    keys, found, drifts = {}, [], list[dict[str, Any]]()
    with progress("evaluate", len(rows) * len(models)) as ticker:
        for model in models:
            answer = _answer(model, images, rows, ticker)
            keys[model.name], metrics = _write(folder, model, dataset, split, answer, resources.device)
            drift, why = _drift(model, answer)
            drifts.append(drift_facts(model.name, drift, why, images[_views(model)[0]], rows, dataset))
            change, shared = own_change(metrics, model.own, metric, dataset, rows)
            found.append(Evaluated(model.name, metrics, model.own, change, drift, why, shared))
    largest = max(images, key=lambda view: view.crop or 0)
    write_card(folder.data_folder(dataset.fingerprint), dataset, split, images[largest], bad)
    write_facts(folder.root / DRIFT, {"data": dataset.name, "n": len(rows), "models": drifts})
    write_beside(folder.root, found, notes, metric)
    compare = {"metric": metric, "baseline": models[baseline].name if len(models) > 1 else None}
    folder.write_study(_state(folder, models, data, dataset, compare, command, keys).to_dict("complete"))
    return Evaluation(folder, dataset, tuple(found), tuple(notes), metric)


def _decodable(dataset: Dataset, bad: Mapping[int, str], notes: list[str]) -> npt.NDArray[np.int64]:
    """Return the rows of images that can be decoded; say which cannot."""
    rows = np.setdiff1d(np.arange(len(dataset)), np.array(sorted(bad), dtype=np.int64))
    if not len(rows):
        raise DataError(f"{dataset.name}: none of its {len(dataset)} images can be decoded")
    if note := undecodable(dataset, bad):
        notes.append(note)
    return rows


def check_request(places: Sequence[str | Path], metric: str | None, baseline: int = 0) -> None:
    """Check what can be checked before any model or image is read.

    Raises:
        SpecError: there are no models, the metric is unknown, or no model is in the place of the baseline.
    """
    if not places:
        raise SpecError("there is no model to evaluate: give a model file, a run folder or a study folder")
    if metric is not None:
        choose("metric", metric, METRICS)
    if not 0 <= baseline < len(places):
        raise SpecError(f"baseline = {baseline}: it must be the place of one of the {len(places)} models, from 0")


def _state(
    folder: StudyFolder,
    models: Sequence[_Model],
    data: DataSpec,
    dataset: Dataset,
    compare: Mapping[str, Any],
    command: str,
    keys: Mapping[str, Mapping[str, str]],
) -> StudyState:
    return StudyState(
        name=folder.root.name,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        question=f"How good {'is the model' if len(models) == 1 else 'are the models'} on {dataset.name}?",
        spec={"data": data.model_dump(exclude_none=True), "models": [str(model.place) for model in models]},
        command=command,
        version=VERSION,
        expected=[Expected(run=model.name, seed=0) for model in models],
        compare=compare,
        keys=keys,
    )


def _loaded(places: Sequence[str | Path], device: str) -> list[_Model]:
    """Return the models under their names; all have the same classes."""
    named = names_of(places).items()
    models = [_Model(name, place, Classifier.load(place, device), find_tested(place)) for name, place in named]
    _check_same_classes(models)
    return models


def _with_bands(data: DataSpec, models: Sequence[_Model]) -> DataSpec:
    """Return the images read in the bands that the models take.

    Raises:
        ModelError: the models take different bands.
    """
    needs = {bundle.preprocessing.bands for model in models for bundle in model.classifier.ensemble.members}
    choices = {None if bands is None else bands.choice for bands in needs}
    if len(choices) > 1:
        raise ModelError("the models take different bands of an image; evaluate each alone")
    choice = next(iter(choices))
    return data if choice is None else data.model_copy(update=choice.asked)


def _check_same_classes(models: Sequence[_Model]) -> None:
    first, *others = models
    for other in others:
        only = sorted(set(first.classifier.classes) ^ set(other.classifier.classes))
        if only:
            raise ModelError(
                f"{first.name} and {other.name} do not have the same classes (only in one of them:"
                f" {listed_names(only)}), so their scores cannot be compared; evaluate each alone"
            )


def _scored(whole: Dataset, models: Sequence[_Model], part: str) -> tuple[Dataset, list[str]]:
    """Return the images to score, labelled by the first model's classes, and what was left out."""
    classifier = models[0].classifier
    multi = classifier.ensemble.members[0].multi_label
    if multi != whole.multi_label:
        kinds = {True: "several labels", False: "one label"}
        raise DataError(f"{whole.name}: has {kinds[whole.multi_label]} an image, the model gives {kinds[multi]}")
    assert whole.digests is not None
    known = np.array([name in classifier.classes for name in whole.classes])
    foreign = ~known[whole.labels] if whole.labels.ndim == 1 else (whole.labels & ~known).any(1)
    learned = frozenset[str]().union(*(model.own.learned for model in models if model.own is not None))
    seen = np.array([digest.decode() in learned for digest in whole.digests.tolist()])
    unknown = [name for name, it in zip(whole.classes, known, strict=True) if not it]
    keep, notes = _part(whole, part), []
    if whole.unusable:
        notes.append(f"left out: {whole.unusable}")
    for out, what in (
        (foreign, f"of classes that the model does not know: {listed_names(unknown)}"),
        (seen, SEEN),
    ):
        if count := int((keep & out).sum()):
            notes.append(f"left out: {count} images {what}")
        keep &= ~out
    if not keep.any():
        hint = "; if its folders are not classes, add --no-labels" if foreign.all() else ""
        why = "; ".join(notes) or f"none is in the part {part!r}"
        raise DataError(f"{whole.name}: no image to score; {why}{hint}")
    found = whole.select(np.flatnonzero(keep), *(Skip(whole.name, note) for note in notes))
    own = frozenset[str]().union(*(model.own.test for model in models if model.own is not None))
    if again := sum(digest.decode() in own for digest in whole.digests[np.flatnonzero(keep)].tolist()):
        notes.append(f"not left out: {again} images on which the model was tested in its own study")
    return found.with_classes(classifier.classes), [*notes, *_missing(found, classifier)]


def _part(dataset: Dataset, part: str) -> npt.NDArray[np.bool_]:
    """Return which rows are in a part of the split that the data come with."""
    if part == "all":
        return np.ones(len(dataset), dtype=bool)
    if dataset.given_split is None:
        raise DataError(f"{dataset.name}: comes without a split; leave --part out to score all of its images")
    return np.asarray(dataset.given_split == part)


def _missing(dataset: Dataset, classifier: Classifier) -> list[str]:
    present = {name for name, count in zip(dataset.classes, dataset.counts(), strict=True) if count}
    absent = [name for name in classifier.classes if name not in present]
    return [f"known to the model, but without an image here: {listed_names(absent)}"] if absent else []


def _decoded(
    dataset: Dataset, models: Sequence[_Model], resources: Resources
) -> tuple[dict[View, ImageArray], dict[int, str]]:
    """Return the images in each view that a model needs, and why rows cannot be decoded."""
    wanted = {view for model in models for view in _views(model)}
    found = {view: decode_images(dataset, view, store=resources.store) for view in sorted(wanted, key=str)}
    return found, {row: why for images in found.values() for row, why in images.bad.items()}


def _views(model: _Model) -> list[View]:
    return [view_of(bundle.preprocessing) for bundle in model.classifier.ensemble.members]


@dataclass(frozen=True)
class _Answer:
    """Probabilities [n, classes] of the scored rows, the seconds that they took, and what drift is measured from."""

    probabilities: npt.NDArray[np.float32]
    seconds: float
    observed: Observed | None


def _answer(model: _Model, images: Mapping[View, ImageArray], rows: npt.NDArray[np.int64], ticker: Ticker) -> _Answer:
    views = [images[view] for view in _views(model)]
    observed = Observed(model.classifier) if why_not(model.classifier) is None else None
    seconds, parts = 0.0, []
    for start in range(0, len(rows), BATCH):
        started, chunk = time.perf_counter(), rows[start : start + BATCH]
        pixels = [view.batch(chunk) for view in views]
        probabilities, embeddings, logits = model.classifier.seen(pixels)
        parts.append(probabilities)
        seconds += time.perf_counter() - started
        if observed is not None:
            observed.add(pixels[0], probabilities, embeddings, logits)
        ticker.advance(len(chunk))
    return _Answer(np.concatenate(parts), seconds, observed)


def _drift(model: _Model, answer: _Answer) -> tuple[Drift | None, str]:
    """Return how the images differ from the model's own, or why that was not measured."""
    if answer.observed is None:
        return None, why_not(model.classifier) or ""
    try:
        return drift_of(answer.observed), ""
    except DataError as error:
        return None, str(error)


def _write(
    folder: StudyFolder, model: _Model, dataset: Dataset, split: Split, answer: _Answer, device: str
) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """Write one model's run folder, with columns in the order of the dataset's classes; return key and metrics.

    The key is by seed, of which there is one.
    """
    members = model.classifier.ensemble.members
    order = [model.classifier.classes.index(name) for name in dataset.classes]
    weights = {
        "origin": str(model.place),
        "sha256": hashlib.sha256(model_bytes(model.classifier.ensemble)).hexdigest(),
        "licence": None,
    }
    total = sum(p.numel() for bundle in members for p in bundle.network.parameters())
    fit = Fit(total=total, whole=True, seconds=answer.seconds)
    test = answer.probabilities[:, order]
    result, predictions = judged(fit, dataset, split, test, weights=weights, shared={}, device=device)
    described = {
        "run": model.name,
        "seed": 0,
        "deterministic": True,
        "axes": {},
        "backbone": ", ".join(dict.fromkeys(bundle.origin.name for bundle in members)),
        "strategy": STRATEGY,
        "weights": {"path": str(model.place)},
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
    }
    files = {"spec.json": json_bytes(described), **result_files(result, predictions, fit, split, device)}
    key = content_key([STRATEGY, weights["sha256"], dataset.fingerprint, split.test.tolist()])
    folder.write_run(model.name, 0, key, files)
    metrics: Mapping[str, Any] = result["metrics"]["test"]
    return {"0": key}, metrics


def _all_tested(rows: npt.NDArray[np.int64], part: str) -> Split:
    nothing = np.zeros(0, dtype=np.int64)
    rule = "all images are tested" if part == "all" else f"the images of the part {part!r} are tested"
    return Split(nothing, nothing, rows, rule, 0)
