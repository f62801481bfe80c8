"""How large and how fast a model is in each form, and what accuracy it has there."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.decoding.decode import decode, quiet_pillow
from headstart.deploy.classifier import Classifier
from headstart.deploy.export import onnx_files, torch_file
from headstart.deploy.export.accuracy_lost import Lost, accuracy_lost
from headstart.deploy.export.checking import Form, Process
from headstart.deploy.export.defaults import MARGIN
from headstart.deploy.export.int8 import quantise
from headstart.deploy.export.pictures import Material, Pictures
from headstart.deploy.export.program import inputs_of
from headstart.deploy.export.target import Parts, Target
from headstart.errors import ModelError
from headstart.models.bundle import Ensemble
from headstart.models.label_rule import labels_of
from headstart.models.refitted import refitted_of
from headstart.progress import Ticker, progress

ALONE = 50  # pictures that are answered one at a time
WARM = 5  # answers before anything is measured
BATCH = 16
ORIGINAL = "headstart"


@dataclass(frozen=True)
class Speed:
    """One form of a model.

    Args:
        form: its name.
        bytes: size of its file.
        start_seconds: from the start of a process to its first answer.
        median_ms, p95_ms: latency of one picture at the network's size, in milliseconds.
        images_per_second: in batches of 16.
        labels_differ: of how many pictures the label is not the original's.
        accuracy: share of right labels; None without labels.
        lost: points of accuracy lost against the original, with a 95 % interval of the paired difference; or None.
    """

    form: str
    bytes: int
    start_seconds: float
    median_ms: float
    p95_ms: float
    images_per_second: float
    labels_differ: int
    accuracy: float | None = None
    lost: Lost | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "lost": None if self.lost is None else self.lost._asdict()}


@dataclass(frozen=True)
class Benchmark:
    """A model in all forms.

    Args:
        pictures: which, in words.
        n: how many.
        rows: one a form; the first is the original.
        notes: forms that the model does not have, and why.
    """

    pictures: str
    n: int
    rows: tuple[Speed, ...]
    notes: tuple[str, ...]


def benchmark(ensemble: Ensemble, material: Material, *, int8: bool = True, margin: float = MARGIN) -> Benchmark:
    """Measure a model in headstart, with its engine, as ONNX, as a `torch.export` program and in int8.

    Each form runs in a process of its own, one after the other, with the same pictures at the network's size; decoding
    is not counted. Speeds hold for this machine as it is now.

    Args:
        ensemble: the model.
        material: its test pictures, and the training and validation pictures that int8 needs.
        int8: measure that form too.
        margin: points of accuracy that int8 may lose.
    """
    with tempfile.TemporaryDirectory() as folder, quiet_pillow():
        with progress("writing the forms", 2 + int8, "forms") as ticker:
            forms, notes = _forms(ensemble, material, Path(folder), ticker, int8=int8, margin=margin)
        batches = list(_sized(ensemble, material.test))
        labels = material.test.labels
        answers, rows, first = [], [], ensemble.members[0]
        with progress("benchmark", len(forms), "forms") as ticker:
            for form in forms:
                ticker.advance(0, form.name)
                found, facts = _measured(form, batches)
                answers.append(labels_of(found, multi_label=first.multi_label, threshold=first.threshold))
                rows.append(facts)
                ticker.advance(1)
    if refitted_of(ensemble.members[0].provenance) is not None:
        notes.append(
            "the model has learned from the study's test images too: accuracy on them is that of learned images"
        )
    right = None if labels is None else [_rows(each == labels) for each in answers]
    return Benchmark(
        material.test.what,
        material.test.count,
        tuple(
            Speed(
                form=form.name,
                bytes=rows[k].pop("bytes"),
                **rows[k],
                labels_differ=int((~_rows(answers[k] == answers[0])).sum()),
                accuracy=None if right is None else float(right[k].mean()),
                lost=None if right is None or k == 0 else accuracy_lost(right[0], right[k]),
            )
            for k, form in enumerate(forms)
        ),
        tuple(notes),
    )


def _forms(
    ensemble: Ensemble, material: Material, folder: Path, ticker: Ticker, *, int8: bool, margin: float
) -> tuple[list[Form], list[str]]:
    """Write every form that the model has into a folder; return them, and why others are left out."""
    original = Classifier(ensemble).save(folder / "model.safetensors")
    forms = [Form(ORIGINAL, "headstart", original, "pixels"), Form("headstart, engine", "engine", original, "pixels")]
    notes: list[str] = []
    parts = Parts(ensemble, material)
    targets: dict[str, Target] = {"onnx": onnx_files.TARGET, "torch": torch_file.TARGET}
    for name, target in targets.items():
        ticker.advance(0, name)
        try:
            forms += _built(parts, target, folder / name, name)
        except ModelError as error:
            notes.append(f"{name}: {error}")
        ticker.advance()
    if int8:
        ticker.advance(0, "onnx int8")
        try:
            graph, loss = quantise(parts.float_graph, ensemble, material, margin)
        except ModelError as error:
            notes.append(f"onnx int8: {error}")
        else:
            parts.use(graph)
            forms += _built(parts, targets["onnx"], folder / "int8", "onnx int8")
            notes.append(str(loss))
    return forms, notes


def _built(parts: Parts, target: Target, folder: Path, name: str) -> list[Form]:
    if (reason := target.refusal(parts.ensemble)) is not None:
        raise ModelError(reason)
    folder.mkdir()
    found = [form for form in target.build(parts, folder) if form.feed == "pixels"]
    return [Form(name, form.kind, form.path, form.feed) for form in found[:1]]


def _sized(ensemble: Ensemble, pictures: Pictures) -> Iterator[list[np.ndarray]]:
    """Yield batches of pictures at each size that the model's networks need."""
    views = [each.view for each in inputs_of(ensemble)]
    for start in range(0, pictures.count, BATCH):
        whole = [decode(pictures.read(k)) for k in range(start, min(start + BATCH, pictures.count))]
        yield [np.stack([decode(each, view) for each in whole]) for view in views]


def _measured(form: Form, batches: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the probabilities that a form gives, and its size and speed."""
    single = [[array[k : k + 1] for array in batch] for batch in batches for k in range(len(batch[0]))][:ALONE]
    started = time.perf_counter()
    with ExitStack() as stack:
        process = stack.enter_context(Process(form))
        process.ask(single[0])
        start = time.perf_counter() - started
        for arrays in single[:WARM]:
            process.ask(arrays)
        alone = np.array([_seconds(process, arrays) for arrays in single])
        process.ask(batches[0])
        began = time.perf_counter()
        found = np.concatenate([process.ask(batch) for batch in batches])
        whole = time.perf_counter() - began
    return found, {
        "bytes": form.size(),
        "start_seconds": start,
        "median_ms": 1000 * float(np.median(alone)),
        "p95_ms": 1000 * float(np.quantile(alone, 0.95)),
        "images_per_second": len(found) / whole,
    }


def _seconds(process: Process, arrays: Sequence[np.ndarray]) -> float:
    started = time.perf_counter()
    process.ask(arrays)
    return time.perf_counter() - started


def _rows(right: np.ndarray) -> np.ndarray:
    return right if right.ndim == 1 else np.asarray(right.all(1))
