"""What a reader of the docs has at hand and a test has not: photographs, datasets, weights from the internet."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from onnx import ModelProto
from PIL import Image
from safetensors.torch import save, save_file
from torch.export import ExportedProgram

from headstart.data.dataset import Dataset
from headstart.data.sources import load
from headstart.deploy.export import benchmark, checking, runner, target
from headstart.deploy.export.checking import Form
from headstart.deploy.export.program import Input
from headstart.explain.explainers import EXPLAINERS
from headstart.models.bundle import Ensemble, model_bytes
from headstart.models.weights.registry import EMBEDDED
from headstart.threads import cores

NAMES = ("daisy", "lily", "rose", "tulip", "violet")


def draw(
    folder: str | Path, *, classes: int | Sequence[str] = 3, per_class: int = 12, size: int = 64, seed: int = 0
) -> Path:
    """Draw photographs: a folder with one folder per class, each class a colour and a direction of stripes."""
    generator = np.random.default_rng(seed)
    names = NAMES[:classes] if isinstance(classes, int) else classes
    rows, columns = np.mgrid[:size, :size]
    for number, name in enumerate(names):
        colour = np.array([(37 * number + 60) % 200, (91 * number + 120) % 200, (151 * number + 20) % 200])
        angle = np.pi * number / len(names)
        for picture in range(per_class):
            phase = (rows * np.cos(angle) + columns * np.sin(angle)) / 5 + generator.uniform(0, 6)
            stripes = 40 * np.sin(phase)[..., None]
            noise = generator.normal(0, 20, (size, size, 3))
            pixels = np.clip(colour * generator.uniform(0.8, 1.2) + stripes + noise, 0, 255).astype(np.uint8)
            path = Path(folder) / name / f"{picture:02d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, quality=90)
    return Path(folder)


def draw_one(path: str | Path, seed: int = 99) -> None:
    """Draw one photograph into a file."""
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)


class StandIns:
    """What stands in for the internet.

    Args:
        data: `$HEADSTART_DATA`.
        torch_home: `$TORCH_HOME`.
        monkeypatch: sets both for one page.
    """

    def __init__(self, data: Path, torch_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data, self.torch_home, self.monkeypatch = data, torch_home, monkeypatch
        monkeypatch.setenv("HEADSTART_DATA", str(data))
        monkeypatch.setattr(torch.hub, "_hub_dir", str(torch_home / "hub"))

    def dataset(self, name: str, *, classes: int = 3, per_class: int = 8, size: int = 32) -> None:
        """Stand in for a dataset that would be downloaded: drawn images under its name."""
        if not (self.data / name).exists():
            draw(self.data / name, classes=[f"class {n}" for n in range(classes)], per_class=per_class, size=size)

    def weights(self, name: str) -> None:
        """Stand in for weights that torchvision would download: random ones in its cache."""
        weights = torchvision.models.get_model_weights(name).DEFAULT  # type: ignore[attr-defined]
        for each in type(weights):
            path = self.torch_home / "hub" / "checkpoints" / each.url.rpartition("/")[2]
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.manual_seed(0)
                torch.save(torchvision.models.get_model(name).state_dict(), path)

    def checkpoint(self, name: str, file: str) -> None:
        """Stand in for a weights file that the reader has: random ones of a network of torchvision."""
        path = self.data / file
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.manual_seed(0)
            save_file(torchvision.models.get_model(name).state_dict(), path)

    def few_groceries(self, classes: int = 2, per_class: int = 24) -> None:
        """Let the photographs of the demo be of few classes, with enough of each to set some aside for testing."""
        plain = load.groceries

        def few(label: str | None, name: str | None) -> Dataset:
            every = plain(label, name)
            rows = [row for code in range(classes) for row in np.flatnonzero(every.labels == code)[:per_class]]
            return every.select(rows)

        self.monkeypatch.setattr(load, "groceries", few)

    def few_samples(self, samples: int = 40) -> None:
        """Let LIME hide pieces of an image less often: what it finds is not looked at, and it takes a minute."""
        plain = EXPLAINERS["lime"]
        few = partial(plain.method, samples=samples, most_samples=samples)
        self.monkeypatch.setitem(EXPLAINERS, "lime", replace(plain, method=few))

    def export_once(self) -> None:
        """Keep program and graph of each model."""
        export_once(self.monkeypatch)

    def check_here(self) -> None:
        """Run exported files in this process."""
        check_here(self.monkeypatch)


def export_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep program and graph of each model: PyTorch takes seconds for each, and a page exports one many times."""
    plain, trace = target.onnx_of, target.program_of
    made: dict[str, ModelProto] = {}
    traced: dict[str, ExportedProgram] = {}

    def traced_once(ensemble: Ensemble) -> ExportedProgram:
        key = hashlib.sha256(model_bytes(ensemble)).hexdigest()
        if key not in traced:
            traced[key] = trace(ensemble)
        return traced[key]

    def once(program: ExportedProgram, inputs: tuple[Input, ...], outputs: tuple[str, ...]) -> ModelProto:
        tensors = {name: value.detach().clone().contiguous() for name, value in program.state_dict.items()}
        said = f"{program.graph} {inputs} {outputs}".encode()
        key = hashlib.sha256(said + save(tensors)).hexdigest()
        if key not in made:
            made[key] = plain(program, inputs, outputs)
        copy = ModelProto()
        copy.CopyFrom(made[key])
        return copy

    monkeypatch.setattr(target, "onnx_of", once)
    monkeypatch.setattr(target, "program_of", traced_once)


def smaller_pictures(monkeypatch: pytest.MonkeyPatch, size: int = 128) -> None:
    """Let the embedded networks take pictures of 128 px where none is asked for: a third of the work of 224 px."""
    for name, each in EMBEDDED.items():
        monkeypatch.setitem(EMBEDDED, name, replace(each, size=size, resize=size * 8 // 7))


def check_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run exported files in this process: one of its own for each takes seconds to import what it needs.

    A server folder keeps its own, since it comes with a module.
    """
    plain = checking.Process
    monkeypatch.setenv("HEADSTART_THREADS", str(cores()))  # which the runner of model files sets

    def here(form: Form) -> checking.Process | _Here:
        return plain(form) if form.kind == "server" else _Here(form)

    for module in (checking, benchmark):
        monkeypatch.setattr(module, "Process", here)


class _Here:
    """An exported file that is run in this process."""

    def __init__(self, form: Form) -> None:
        self.run, self.seconds = runner.KINDS[form.kind](form.path, torch.get_num_threads()), 0.0

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *ended: object) -> None:
        pass

    def ask(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        began = time.perf_counter()
        found = self.run(arrays)
        self.seconds += time.perf_counter() - began
        return found

    def end(self) -> float:
        return self.seconds
