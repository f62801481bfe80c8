"""What a study adds to its scores: an audit of the images, what features foretold, and why the best model errs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from headstart.data.dataset import Dataset, Split
from headstart.errors import DataError, ModelError
from headstart.models.pixels import NAME as PIXELS
from headstart.progress import Ticker, progress
from headstart.store import content_key, read_json, write_atomic
from headstart.study.folder import json_bytes

if TYPE_CHECKING:
    from headstart.study.execute import Session
    from headstart.study.spec import ExplainSpec
    from headstart.study.task import Task

    Network = tuple[str, Task, list[Task]]  # its label, a task that has its features, all tasks that do


def audit_data(session: Session, dataset: Dataset, split: Split) -> None:
    """Audit a dataset of the study, once, with the features of a network of the study if there are any."""
    from headstart.evaluate.audit import audit_dataset

    path = session.folder.data_folder(dataset.fingerprint) / "audit.json"
    if path.is_file() or not session.plan.study.spec.audit:
        return
    tasks = [task for task in informed(session) if _of(task, dataset, session)]
    features = None
    if tasks:
        task = tasks[0]
        features = session.workshop.features(task.run, task.seed)
    bad = session.workshop.bad_rows(dataset)
    found = audit_dataset(dataset, bad=bad, features=features, split=split, store=session.workshop.store)
    write_atomic(path, json_bytes(found))


def foretell(session: Session) -> None:
    """Set what transferability scores of the training rows foretold beside what was measured on test."""
    from headstart.evaluate.transferability import rank_agreement

    path, key = session.folder.root / "transferability.json", finished_key(session)
    if path.is_file() and read_json(path).get("key") == key:
        return
    data = session.workshop.dataset(session.plan.own_tasks[0].run.data)
    found = networks(session, data)
    if data.multi_label or len(found) < 2:
        return
    with progress("asking the features what they foretell", len(found), "networks") as ticker:
        rows = [row for each in found if (row := _foretold(session, data, each, ticker)) is not None]
    if len(rows) < 2:
        return
    left_out = {name: reason for row in rows for name, reason in row.pop("left_out").items()}
    measured_by = {row["network"]: row["measured"] for row in rows}
    tau: dict[str, float | None] = {}
    for name in dict.fromkeys(key for row in rows for key in row if key not in ("network", "measured")):
        try:  # some networks may lack a score; the order of the others is no order of all
            predicted = {row["network"]: row[name] for row in rows if name in row}
            tau[name] = rank_agreement(predicted, measured_by).weighted_tau
        except DataError:  # all equal, or incomplete: there is no order to agree with
            tau[name] = None
    write_atomic(path, json_bytes({"key": key, "rows": rows, "weighted_tau": tau, "left_out": left_out}))


def _foretold(session: Session, data: Dataset, network: Network, ticker: Ticker) -> dict[str, Any] | None:
    """Return the scores of one network's features and its best measured accuracy; None where nothing was measured.

    The row also has `left_out`: why scores are missing, by name.
    """
    from headstart.evaluate.transferability import transferability

    label, task, members = network
    ticker.advance()
    scores = (session.folder.accuracy(member.run.name, member.seed, "test") for member in members)
    measured = [score for score in scores if score is not None]
    if not measured:
        return None
    train = learning_rows(session, task)
    features = np.asarray(session.workshop.features(task.run, task.seed)[train]).reshape(len(train), -1)
    scores_of = transferability(features, data.labels[train])
    left_out = {name: why for name, why in scores_of.left_out.items() if name != "leep"}  # no source classifier here
    return {"network": label, **scores_of.values, "measured": float(max(measured)), "left_out": left_out}


def learning_curves(session: Session) -> None:
    """Say for every run with a shots or fraction axis what the next doubling of labels is expected to bring."""
    from headstart.fewshot.learning_curve import learning_curve

    found: list[dict[str, Any]] = []
    groups: dict[tuple[str, str], dict[float, list[float]]] = {}
    for task in session.plan.tasks:
        axis = (
            "shots" if task.run.spec.shots is not None else "fraction" if task.run.spec.fraction is not None else None
        )
        score = session.folder.accuracy(task.run.name, task.seed, "test")
        if axis is None or score is None:
            continue
        base = " · ".join(part for part in task.run.name.split(" · ") if not part.startswith(axis))
        groups.setdefault((base, axis), {}).setdefault(_labels(session, task, axis), []).append(score)
    for (run, axis), scores in groups.items():
        unit = "labels per class" if axis == "shots" else "labels"
        curve = learning_curve(dict(sorted(scores.items())), unit=unit)
        found.append({"run": run, "axis": axis, **curve.to_dict()})
        session.listener.note(f"{run}: {curve.words}")
    if found:
        write_atomic(session.folder.root / "learning.json", json_bytes({"curves": found}))


def _labels(session: Session, task: Task, axis: str) -> float:
    """Return how many labels a run had: per class with shots, in all with fractions."""
    split = session.workshop.split(task.run, task.seed)
    classes = len(session.workshop.dataset(task.run.data).classes)
    if axis == "fraction":
        return float(round(len(split.train), -1) or len(split.train))
    return (
        float(task.run.spec.shots) if isinstance(task.run.spec.shots, int) else float(round(len(split.train) / classes))
    )


def explain_mistakes(session: Session, asked: ExplainSpec) -> None:
    """Explain the best run's most confident mistakes: what speaks for the class that was predicted."""
    best = session.facts.get("best_network") or session.facts.get("best")
    if not best or asked.mistakes < 1:
        return
    from PIL import Image

    from headstart.deploy.classifier import Classifier
    from headstart.explain.explainers import explain
    from headstart.explain.picture import overlay
    from headstart.transfer.predict import as_tensor, normalise

    folder = session.folder.root / best["folder"]
    if (folder / "explanations.json").is_file():
        return
    classifier = Classifier.load(folder)
    with np.load(folder / "predictions.npz") as arrays:
        rows, labels, scores = arrays["test_rows"], arrays["test_labels"], arrays["test_probabilities"]
    if labels.ndim != 1 or classifier.bundle.network.backbone.name == PIXELS:
        return
    wrong = np.flatnonzero(scores.argmax(1) != labels)
    worst = wrong[np.argsort(-scores[wrong].max(1), kind="stable")][: asked.mistakes]
    task = next(t for t in session.plan.tasks if t.run.name == best["run"])
    needs = classifier.bundle.preprocessing
    images = session.workshop.images(task.run.data, needs)
    items = []
    for place in worst:
        pixels = np.array(images[int(rows[place])])  # a copy: torch wants pixels that it may write to
        batch = normalise(as_tensor(pixels[None]), needs)
        aim = int(scores[place].argmax())
        for method in asked.methods:
            try:
                heat = explain(classifier.bundle.network, batch, torch.tensor([aim]), method, seed=0)[0]
            except ModelError:  # this network has no map that the method could show
                continue
            picture: Image.Image = overlay(pixels, heat)
            buffer = io.BytesIO()
            picture.convert("RGB").save(buffer, "JPEG", quality=80)
            name = f"explanations/{int(rows[place])}-{method}.jpg"
            write_atomic(folder / name, buffer.getvalue())
            items.append({"row": int(rows[place]), "method": method, "class": classifier.classes[aim], "file": name})
    write_atomic(folder / "explanations.json", json_bytes({"items": items}))


def finished_key(session: Session, *more: Any) -> str:
    """Return what a conclusion about the whole study depends on: every finished run, and `more`."""
    done = [task.key for task in session.plan.tasks if session.finished(task)]
    return content_key([sorted(done), *more])


def informed(session: Session) -> list[Task]:
    """Return the finished tasks whose frozen features come from trained weights, those of a known source first."""
    found = [
        task
        for task in session.plan.tasks
        if task.probe
        and task.run.spec.backbone != PIXELS
        and task.run.spec.weights.name != "none"
        and session.finished(task)  # of the others, there may be no features, and no time left to make them
    ]
    return sorted(found, key=lambda task: task.run.needs is not None)


def networks(session: Session, dataset: Dataset) -> list[Network]:
    """Return (label, a task, all tasks) of every network whose frozen features the study used on these images."""
    groups: dict[tuple[str, str], list[Task]] = {}
    for task in session.plan.tasks:
        spec = task.run.spec
        if not task.probe or spec.backbone == PIXELS or not _of(task, dataset, session) or not session.finished(task):
            continue
        weights = spec.weights.run or spec.weights.path or str(spec.weights.name)
        shown = Path(weights).name if spec.weights.path else weights
        label = f"{spec.backbone}{f' to {spec.truncate_at}' if spec.truncate_at else ''}, {shown}"
        if spec.shots is None and spec.fraction is None:
            groups.setdefault((label, weights), []).append(task)
    return [(label, members[0], members) for (label, _), members in groups.items()]


def learning_rows(session: Session, task: Task) -> npt.NDArray[np.int64]:
    """Return the rows that a task may learn from: train and validation, less what would not decode."""
    split = session.workshop.split(task.run, task.seed)
    bad = np.array(sorted(session.workshop.bad_rows(session.workshop.dataset(task.run.data))), dtype=np.int64)
    return np.setdiff1d(np.concatenate([split.train, split.validation]), bad)


def _of(task: Task, dataset: Dataset, session: Session) -> bool:
    return session.workshop.dataset(task.run.data).fingerprint == dataset.fingerprint
