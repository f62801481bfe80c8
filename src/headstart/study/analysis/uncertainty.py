"""Calibrates what the study's model may answer: sets, guarantees and familiarity, from its validation images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.dataset import Dataset
from headstart.errors import HeadstartError
from headstart.evaluate.uncertainty.answers import MOST_HELD_OUT, Uncertainty, held_out_of
from headstart.evaluate.uncertainty.appearance import appearance
from headstart.evaluate.uncertainty.costs import Costs, costs_of
from headstart.evaluate.uncertainty.drift import MOST_COMPARED, Sketch, sketch_of
from headstart.evaluate.uncertainty.familiarity import DEFAULT, Logits, SourceHead, familiarity, fit_reference
from headstart.evaluate.uncertainty.measured import measured
from headstart.evaluate.uncertainty.score_choice import choose_score
from headstart.evaluate.uncertainty.stored import from_part, rounded, to_part
from headstart.models.bundle import MODEL, Bundle, Ensemble, model_bytes, read_ensemble
from headstart.models.bundle_file import file_content, read_file
from headstart.models.pixels import NAME as PIXELS
from headstart.models.preprocessing import Preprocessing
from headstart.models.uncertainty import UncertaintyPart, part_facts, part_tensors, read_part
from headstart.storage.files import read_json, write_atomic
from headstart.storage.store import MANIFEST, content_key
from headstart.study.execution.session import Session
from headstart.study.resources import Loaded
from headstart.study.results.facts import known_facts, write_facts
from headstart.study.spec.settings import head_options
from headstart.study.task import Task
from headstart.transfer.frozen.predict import predict_outputs
from headstart.transfer.heads.fit import HeadJob, fit_heads

FACTS, PART = "uncertainty.json", "uncertainty.safetensors"
VERSION = 6  # of what is computed here
MOST_TRAINING = 4000  # images that familiarity is learned from
_BATCH = 64
_PROXY: Mapping[str, Any] = {"penalty": 0.001, "normalise": "standardise"}  # a head that resembles a tuned one


def calibrate_best(session: Session) -> None:
    """Add to the study's model what says how sure it is, and write what that is worth on the test images.

    Nothing is added to a model of several labels an image, without validation images, or that was refitted on all
    images: there is none left that it has not seen.
    """
    best = session.state.best
    if not best:
        return
    if session.state.refitted:
        for name in (FACTS, PART):
            (session.folder.root / name).unlink(missing_ok=True)  # of the tested model, before it was refitted
        return
    folder = session.folder.root / best["folder"]
    with np.load(folder / "predictions.npz") as arrays:
        said = dict(arrays)
    if said["test_labels"].ndim != 1 or not len(said.get("validation_rows", ())):
        return
    task = next((t for t in session.plan.tasks if t.run.name == best["run"] and t.seed == best["seed"]), None)
    dataset = session.resources.dataset((task or session.plan.tasks[0]).run.data)
    ensemble = read_ensemble(session.folder.root / MODEL, agreed=True)
    costs = _costs(session, dataset)
    asked = None if costs is None else [costs.matrix.tolist(), str(costs.ask)]
    key = content_key(["uncertainty", VERSION, read_json(folder / MANIFEST)["files"], asked])
    root = session.folder.root
    if known_facts(root / FACTS, key) is None:
        part, facts = _calibrated(session, task, folder, said, ensemble, costs)
        write_atomic(root / PART, file_content(part_tensors(part), part_facts(part)))
        of = {"run": best["run"], "seed": best["seed"], "data": dataset.fingerprint, "key": key}
        write_facts(root / FACTS, {**facts, **of}, [PART])
    described, tensors = read_file(root / PART)
    whole = replace(ensemble, uncertainty=read_part(described, tensors))
    write_atomic(root / MODEL, model_bytes(whole))


def _costs(session: Session, dataset: Dataset) -> Costs | None:
    spec = session.plan.study.spec.costs
    return None if spec is None else costs_of(dataset.classes, spec.confusions, mistake=spec.mistake, ask=spec.ask)


def _calibrated(
    session: Session,
    task: Task | None,
    folder: Path,
    said: Mapping[str, np.ndarray],
    ensemble: Ensemble,
    costs: Costs | None,
) -> tuple[UncertaintyPart, dict[str, Any]]:
    """Return the part of the model's file, and what it is worth on the test images."""
    result, notes = read_json(folder / "result.json"), []
    if result["refit"] != "none":
        notes.append(
            "The final model was refitted on the validation images. Sets and guarantees were calibrated with the model"
            " before the refit, which had not seen them; they hold for the final model if it is no worse."
        )
    if len(result["tried"]) > 1 or read_json(folder / "history.json"):
        notes.append(
            "The settings were chosen on the same validation images, which may therefore be slightly easier than new"
            " images; check the figures measured on the test images."
        )
    held = np.sort(np.random.default_rng(0).permutation(len(said["validation_rows"]))[:MOST_HELD_OUT])
    probabilities, labels = said["validation_probabilities"][held], said["validation_labels"][held]
    own = Uncertainty(probabilities.shape[1], held_out_of(probabilities, labels), costs=costs)
    shares = None
    if task is None:  # an ensemble
        task, result = _first_network(session)
        notes.append(
            f"Unfamiliar images and drift are found by the embeddings of the ensemble's first network, {task.run.name}."
        )
    if task.run.spec.backbone != PIXELS:
        with np.load(folder / "split.npz") as parts:
            rows = {"train": _some(parts["train"]), "held": said["validation_rows"][held], "test": said["test_rows"]}
        seen = _seen(session, task, ensemble.members[0], rows)
        own, more = _with_familiarity(session, task, own, seen, result, rows["train"])
        notes += more
        shares = own.shares(seen.embeddings["test"], seen.logits["test"])
        if task.run.spec.head_kind is not None or result["refit"] == "none":
            own = replace(
                own,
                sketch=_sketch(session, task, ensemble.members[0].preprocessing, seen, rows, probabilities.argmax(1)),
            )
    own = replace(own, notes=tuple(notes))
    part = to_part(own)
    stored = from_part(part, own.classes, ensemble.members[0].network.backbone.feature_dim)
    facts = measured(stored, said["test_probabilities"], said["test_labels"], shares)
    if facts["familiarity"] is not None:
        facts["familiarity"]["least"] = [[int(said["test_rows"][k]), v] for k, v in facts["familiarity"]["least"]]
    return part, facts


def _first_network(session: Session) -> tuple[Task, dict[str, Any]]:
    """Return the task and the result of the network that an ensemble names first."""
    best = session.state.best
    assert best is not None
    name = session.plan.study.spec.ensembles[best["run"]][0]
    task = next(t for t in session.plan.tasks if t.run.name == name and t.seed == best["seed"])
    return task, read_json(session.folder.run_folder(name, task.seed) / "result.json")


def _sketch(
    session: Session,
    task: Task,
    needs: Preprocessing,
    seen: _Seen,
    rows: Mapping[str, np.ndarray],
    predicted: np.ndarray,
) -> Sketch:
    """Return what new images are compared with: some of the held-out images."""
    some = np.sort(np.random.default_rng(2).permutation(len(predicted))[:MOST_COMPARED])
    images = session.resources.images(task.run.data, needs)
    held = rows["held"][some]
    bands = images.view.bands
    chunks = (images.batch(held[start : start + _BATCH]) for start in range(0, len(held), _BATCH))
    looks = [appearance(pixels if bands is None else bands.picture(pixels)) for pixels in chunks]
    labels = session.resources.dataset(task.run.data).labels[rows["train"]]
    train, embeddings = seen.embeddings["train"], seen.embeddings["held"][some]
    return sketch_of(train, labels, embeddings, np.concatenate(looks), predicted[some])


def _some(rows: np.ndarray) -> np.ndarray:
    return np.sort(np.random.default_rng(1).permutation(rows)[:MOST_TRAINING])


@dataclass(frozen=True)
class _Seen:
    """Embeddings and logits of the training, held-out and test images, by the final network."""

    embeddings: Mapping[str, np.ndarray]
    logits: Mapping[str, np.ndarray]


def _seen(session: Session, task: Task, bundle: Bundle, rows: Mapping[str, np.ndarray]) -> _Seen:
    resources, network = session.resources, bundle.network
    if task.run.spec.head_kind is not None:
        features = resources.features(task.run.data, task.run.network, task.seed)
        found = {part: np.asarray(features[each]).reshape(len(each), -1) for part, each in rows.items()}
    else:
        needs = bundle.preprocessing
        images = resources.images(task.run.data, needs)
        title = f"{task.name}: embeddings"
        found = {
            part: predict_outputs(network.backbone, images, each, needs, device=resources.device, title=title)
            for part, each in rows.items()
        }
    return _Seen(found, {part: _logits(network.head)(each) for part, each in found.items()})


def _logits(head: torch.nn.Module) -> Logits:
    def logits(embeddings: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = head(torch.from_numpy(np.ascontiguousarray(embeddings, np.float32))).numpy()
        return found

    return logits


def _with_familiarity(
    session: Session,
    task: Task,
    own: Uncertainty,
    seen: _Seen,
    result: Mapping[str, Any],
    train_rows: np.ndarray,
) -> tuple[Uncertainty, list[str]]:
    """Return the same with the score that finds left-out classes best, and what must be said of it."""
    spec, dataset = task.run.spec, session.resources.dataset(task.run.data)
    kind, options = spec.head_kind or "logistic", dict(_PROXY)
    if spec.head_kind is not None:
        options = {**head_options(task.run), **result["chosen"]}

    def fit(embeddings: np.ndarray, labels: np.ndarray) -> Logits:
        every, none = np.arange(len(labels)), np.zeros(0, dtype=np.int64)
        job = HeadJob(kind, every, none, int(labels.max()) + 1, options, task.seed, refit=False)
        return _logits(fit_heads(embeddings, labels, [job], session.resources.device)[0].head)

    train, labels = seen.embeddings["train"], dataset.labels[train_rows]
    source = source_head(session.resources.loaded(task.run.network, task.seed), train.shape[1])
    try:
        score, selection = choose_score(train, labels, fit, source=source)
    except HeadstartError:  # fewer images than a head of these options can take
        score, selection = DEFAULT, {}
    reference = rounded(fit_reference(train, labels, seen.logits["train"], score=score, source=source), score)
    logits, notes = seen.logits["held"], list[str]()
    if result["refit"] != "none":
        if spec.head_kind is not None:  # the head that had not learned from these images
            logits = _unseen(session, task, kind, options, seen.embeddings["held"])
        else:
            notes.append(
                "The network was refitted on the validation images, so they look more familiar than new ones:"
                " more than 5 % of new familiar images may be rejected."
            )
    familiar = familiarity(score, reference, seen.embeddings["held"], logits)
    return replace(own, score=score, reference=reference, familiar=familiar, selection=selection), notes


def source_head(loaded: Loaded, width: int) -> SourceHead | None:
    """Return the linear head that a network was pretrained with; None if it has none that embeddings this wide fit.

    Random weights were pretrained with nothing, a network that was cut short has lost its head, and a head whose
    numbers are not all finite says nothing.
    """
    head, weights = loaded.backbone.classifier, loaded.weights
    if weights is None or weights.sha256 is None:
        return None
    if not isinstance(head, torch.nn.Linear) or head.in_features != width or head.out_features < 2:
        return None
    weight = head.weight.detach().float().cpu().numpy()
    bias = np.zeros(len(weight), np.float32) if head.bias is None else head.bias.detach().float().cpu().numpy()
    return SourceHead(weight, bias) if np.isfinite(weight).all() and np.isfinite(bias).all() else None


def _unseen(session: Session, task: Task, kind: str, options: Mapping[str, Any], embeddings: np.ndarray) -> np.ndarray:
    """Return the logits of held-out images by the head as it was before it learned from them."""
    resources = session.resources
    features = resources.features(task.run.data, task.run.network, task.seed)
    dataset = resources.dataset(task.run.data)
    with np.load(session.folder.run_folder(task.run.name, task.seed) / "split.npz") as parts:
        train = parts["train"]
    flat = features.reshape(len(features), -1)
    job = HeadJob(kind, train, train[:0], len(dataset.classes), options, task.seed, refit=False)
    return _logits(fit_heads(flat, dataset.labels, [job], resources.device)[0].head)(embeddings)
