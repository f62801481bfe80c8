"""Short measurements on this machine, cached: the cost of an image, a head or a training step."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.data.decoding.decode import UndecodableError, View, decode, quiet_pillow
from headstart.evaluate.metrics.metrics import evaluate
from headstart.fewshot.evaluation import FewShotSpec, LabelledFeatures, run_fewshot
from headstart.models.backbone import Backbone
from headstart.models.network import Network
from headstart.models.preprocessing import Preprocessing
from headstart.storage.store import Store, content_key
from headstart.study.results.environment import cpu_model
from headstart.study.results.peak_memory import peak_memory
from headstart.study.spec.schema import EpisodesSpec
from headstart.threads import cores
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.frozen.engine import Engine
from headstart.transfer.frozen.features import BATCH
from headstart.transfer.frozen.predict import predict_probabilities
from headstart.transfer.heads.fit import HeadJob, fit_heads
from headstart.transfer.strategy import Strategy

KIND = "measurements"
_VERSION = 2  # raise it when the meaning of a measurement changes
_PATIENCE = 0.5  # seconds spent on measuring a rate, after warming up
_NUMBERS = 500_000  # largest size of the feature matrix that a head is measured on
_TRAINER = 1.0  # seconds for a trainer to start and to write its checkpoints
Facts = dict[str, Any]


@dataclass(frozen=True)
class Meter:
    """Measures what has not been measured before; everything else comes from the cache.

    Args:
        store: the cache of measurements.
        device: where networks run.
    """

    store: Store
    device: str

    def decoding(self, dataset: Dataset, view: View) -> Facts:
        """Return the "seconds" that decoding an image takes, with all threads busy."""
        what = [dataset.fingerprint, view.resize, view.crop, view.interpolation]
        return self._kept("decoding", what, lambda: _time_decoding(dataset, view))

    def passing(self, prefix: nn.Module, preprocessing: Preprocessing) -> Facts:
        """Return "setup" seconds, "seconds" per image, the output's "shape" and "memory" of a frozen pass."""
        what = [_structure(prefix), preprocessing.size]
        return self._kept("passing", what, lambda: _time_pass(prefix, preprocessing, self.device))

    def head(self, kind: str, options: Mapping[str, Any], rows: int, dim: int, classes: int, multi: bool) -> Facts:
        """Return the "seconds" of a small head, its number of "rows", and the "slope": seconds per further row."""
        small = max(32, min(rows, 256, _NUMBERS // dim))
        what = [kind, dict(options), small, dim, classes, multi]
        return self._kept("head", what, lambda: _time_head(kind, options, small, dim, classes, multi, self.device))

    def scoring(self, rows: int, classes: int) -> Facts:
        """Return the "seconds" that scoring one run takes."""
        return self._kept("scoring", [rows, classes], lambda: _time_scoring(rows, classes))

    def tuning(self, backbone: Backbone, strategy: Strategy, recipe: Recipe, stored: bool, classes: int) -> Facts:
        """Return "setup" seconds, seconds per image of training ("train") and prediction ("predict"), and "batch".

        Args:
            backbone, strategy, recipe: what is trained, and how.
            stored: activations come from the cache, so that no prefix runs during an epoch.
            classes: C.
        """
        brief = _brief(strategy, recipe, stored, backbone.preprocessing.size)
        spared = {name: value for name, value in asdict(brief[1]).items() if name not in ("lr", "origin")}
        what = [_structure(backbone.stages), backbone.preprocessing.size, asdict(brief[0]), spared, stored, classes]
        return self._kept("tuning", what, lambda: _time_tuning(backbone, *brief, classes, self.device))

    def episodes(self, spec: EpisodesSpec, dim: int) -> Facts:
        """Return the "seconds" of one episode."""
        what = [spec.ways, spec.shots, spec.queries, spec.method, dim]
        return self._kept("episodes", what, lambda: _time_episodes(spec, dim, self.device))

    def _kept(self, name: str, what: Any, measure: Callable[[], Facts]) -> Facts:
        key = content_key([_VERSION, machine(self.device), name, what])
        with self.store.building(KIND, key) as entry:
            if entry is not None:
                entry.manifest.update(measure())
        return self.store.manifest(KIND, key)


def machine(device: str) -> list[Any]:
    """Return what a measurement is valid for: processor, cores, threads, device and version of PyTorch."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return [cpu_model(), cores(), torch.get_num_threads(), name, str(torch.__version__)]


def resident() -> int:
    """Return the bytes of memory that this process uses now."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * 4096 if path.exists() else peak_memory() or 0


def _structure(module: nn.Module) -> str:
    shapes = [tuple(p.shape) for p in module.parameters()]
    return hashlib.blake2b(f"{module}{shapes}".encode(), digest_size=16).hexdigest()


def _peak_of(work: Callable[[], None]) -> int:
    """Return the peak of memory during the work, in bytes above what was used before."""
    before, status = resident(), Path("/proc/self/status")
    forget = Path("/proc/self/clear_refs")
    if sys.platform == "linux" and forget.exists():
        with contextlib.suppress(OSError):  # if that is not allowed, the mark remains that of the whole process
            forget.write_text("5")  # resets the high-water mark
    work()
    if not status.exists():
        return max(0, (peak_memory() or 0) - before)
    mark = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return max(0, int(mark.split()[1]) * 1024 - before)


def _time_decoding(dataset: Dataset, view: View) -> Facts:
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(len(dataset), 24)).astype(np.int64))

    def one(row: int) -> None:
        try:
            decode(dataset.reader.read(int(row)), view)
        except UndecodableError:  # reported elsewhere; its time counts
            return

    with quiet_pillow(), ThreadPoolExecutor(cores()) as pool:
        list(pool.map(one, rows[:2]))
        began = time.perf_counter()
        list(pool.map(one, rows))
    return {"seconds": (time.perf_counter() - began) / len(rows)}


def _time_pass(prefix: nn.Module, preprocessing: Preprocessing, device: str) -> Facts:
    size, channels = preprocessing.size, preprocessing.channels
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, channels), np.uint8)
    found: Facts = {}

    def work() -> None:
        began = time.perf_counter()
        engine = Engine(prefix, preprocessing, device, anew=True)  # the export is part of what is measured
        found["setup"] = time.perf_counter() - began
        found["shape"] = list(engine.output_shape)
        engine(pixels[:8])
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < _PATIENCE:
            engine(pixels)
            count += len(pixels)
        found["seconds"] = (time.perf_counter() - began) / count

    found["memory"] = _peak_of(work)
    return found


def _labelled(rows: int, dim: int, classes: int, multi: bool) -> tuple[Any, Any]:
    """Return features float32 [rows, dim] of low rank, like those of a network, and labels."""
    draw = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    inner = min(32, dim)
    latent = draw.standard_normal((classes, inner), np.float32)[labels]
    latent = latent + 0.8 * draw.standard_normal((rows, inner), np.float32)
    mixed = latent @ draw.standard_normal((inner, dim), np.float32) / inner**0.5
    features = np.maximum(mixed + 0.3 * draw.standard_normal((rows, dim), np.float32), 0)
    return features, np.eye(classes, dtype=bool)[labels] if multi else labels.astype(np.int64)


def _time_head(
    kind: str, options: Mapping[str, Any], rows: int, dim: int, classes: int, multi: bool, device: str
) -> Facts:
    def fit(count: int) -> float:
        features, labels = _labelled(count, dim, classes, multi)
        order = np.random.default_rng(1).permutation(count)
        held = max(1, count // 5)
        job = HeadJob(kind, np.sort(order[held:]), np.sort(order[:held]), classes, options, 0, True)
        began = time.perf_counter()
        fit_heads(features, labels, [job], device)
        return time.perf_counter() - began

    few = rows // 2
    low = fit(few)
    if low > 2 * _PATIENCE:  # slow: one point is enough, its line goes through the origin
        return {"seconds": low, "rows": few, "slope": low / few}
    low, high = fit(few), fit(rows)  # the first fit included loading libraries
    slope = max((high - low) / (rows - few), 0.25 * high / rows)
    return {"seconds": high, "rows": rows, "slope": slope}


def _time_scoring(rows: int, classes: int) -> Facts:
    draw = np.random.default_rng(0)
    chances = draw.dirichlet(np.ones(classes), rows).astype(np.float32)
    began = time.perf_counter()
    evaluate(np.arange(rows) % classes, chances, tuple(f"{number:05d}" for number in range(classes)))
    return {"seconds": time.perf_counter() - began}


def _brief(strategy: Strategy, recipe: Recipe, stored: bool, size: int) -> tuple[Strategy, Recipe]:
    """Return the strategy and recipe of a few small batches, with the costs of the real ones."""
    count = max(2, min(recipe.batch_size, 64, max(8, round(8 * 224**2 / size**2))))
    kind = "fine_tune" if strategy.kind in ("gradual", "lp_ft") else strategy.kind
    short = replace(recipe, epochs=4, batch_size=count, accumulate=1, schedule="none", warmup_epochs=0.0)
    short = replace(short, early_stopping=None, balanced_sampling=False, class_weights=None)
    if stored:
        short = replace(short, augment=(), augment_options={})
    return replace(strategy, kind=kind, views=0, probe_epochs=None), short


def _time_tuning(backbone: Backbone, strategy: Strategy, recipe: Recipe, classes: int, device: str) -> Facts:
    from headstart.transfer.finetune.finetune import TuneJob  # imports Lightning, which heads do not need
    from headstart.transfer.finetune.lr_range_test import Stepper

    size, count = backbone.preprocessing.size, recipe.batch_size
    shape = (count, size, size, backbone.preprocessing.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    labels: Any = np.arange(count) % max(2, min(classes, count))
    if recipe.loss == "bce":
        labels = np.eye(classes, dtype=bool)[labels % classes]
    rows = np.arange(count)
    found: Facts = {}

    def work(place: Path) -> None:
        began = time.perf_counter()
        job = TuneJob(
            backbone=backbone,
            strategy=strategy,
            recipe=recipe,
            images=pixels,
            labels=labels,
            classes=classes,
            train=rows,
            validation=rows[:0],
            seed=0,
            folder=place / "training",
            device=device,
            store=Store(place / "store"),
            loggers=(),
        )
        stepper = Stepper(job)
        stepper.step(recipe.lr)
        found["setup"] = time.perf_counter() - began + _TRAINER
        found["train"] = _rate(lambda: stepper.step(recipe.lr)) / count
        learned = stepper.learner.network
        network = Network(learned.resolved.backbone, learned.head)
        needs = backbone.preprocessing
        found["predict"] = _rate(lambda: predict_probabilities(network, pixels, rows, needs, device=device)) / count

    with tempfile.TemporaryDirectory() as place:
        found["memory"] = _peak_of(lambda: work(Path(place)))
    return {**found, "batch": count}


def _rate(work: Callable[[], Any]) -> float:
    """Return the seconds that the work takes: the mean of at least two repetitions."""
    began, count = time.perf_counter(), 0
    while count < 2 or time.perf_counter() - began < _PATIENCE:
        work()
        count += 1
    return (time.perf_counter() - began) / count


def _time_episodes(spec: EpisodesSpec, dim: int, device: str) -> Facts:
    features, labels = _labelled(2 * spec.ways * (spec.shots + spec.queries), dim, spec.ways, False)
    names = tuple(f"{number:05d}" for number in range(spec.ways))
    asked = FewShotSpec(spec.ways, (spec.shots,), spec.queries, episodes=40, methods=(spec.method,))
    began = time.perf_counter()
    run_fewshot(LabelledFeatures(labels, names, features), asked, device=device)
    return {"seconds": (time.perf_counter() - began) / 40}
