from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tuning_subject import network

from headstart.bands import BandChoice, Bands
from headstart.data.dataset import Dataset
from headstart.data.decoding.decode import View
from headstart.data.sources.in_memory import PictureReader
from headstart.models.first_layer import with_bands
from headstart.storage.store import Store
from headstart.study.planning import microbenchmarks
from headstart.study.planning.microbenchmarks import (
    Meter,
    _brief,
    _labelled,
    _peak_of,
    _rate,
    _structure,
    _time_head,
    machine,
    resident,
)
from headstart.study.spec.schema import EpisodesSpec
from headstart.threads import cores
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.frozen import engine
from headstart.transfer.strategy import Strategy


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microbenchmarks, "_PATIENCE", 1e-3)


@pytest.fixture
def meter(tmp_path: Path) -> Meter:
    return Meter(Store(tmp_path / "store"), "cpu")


def pictures(fingerprint: str = "f") -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (30, 12, 12, 3), np.uint8)
    return Dataset("d", PictureReader(images), np.zeros(30, np.int64), ("x",), fingerprint=fingerprint)


def measured(meter: Meter) -> int:
    return len(list(meter.store.root.glob("measurements/*/manifest.json")))


def test_a_measurement_is_made_once_for_each_machine_and_subject(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    ask: list[Any] = [
        lambda: meter.scoring(40, 3),
        lambda: meter.scoring(40, 4),
        lambda: meter.decoding(pictures(), View(8, 8)),
        lambda: meter.decoding(pictures(), View(9, 8)),
        lambda: meter.decoding(pictures("other"), View(8, 8)),
        lambda: meter.head("ridge", {"penalty": 0.1}, 64, 8, 3, False),
        lambda: meter.head("ridge", {"penalty": 0.2}, 64, 8, 3, False),
        lambda: meter.episodes(EpisodesSpec(ways=2, shots=1, queries=2), 8),
    ]
    first = [measure() for measure in ask]
    assert measured(meter) == len(ask) and all(facts["seconds"] > 0 for facts in first)
    assert [measure() for measure in ask] == first and measured(meter) == len(ask)
    monkeypatch.setattr(microbenchmarks, "machine", lambda device: ["another"])
    meter.scoring(40, 3)
    assert measured(meter) == len(ask) + 1


def test_a_measurement_is_valid_for_this_processor_with_these_threads() -> None:
    cpu, count, threads, device, version = machine("cpu")
    assert cpu and (count, threads) == (cores(), torch.get_num_threads())
    assert (device, version) == ("cpu", torch.__version__)


def test_a_large_head_is_measured_on_few_rows(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(microbenchmarks, "_time_head", lambda kind, options, rows, *_: asked.append(rows) or {})
    for rows, dim in [(100, 8), (10_000, 8), (10_000, 5000), (10_000, 100_000), (5, 8)]:
        meter.head("ridge", {"rows": rows}, rows, dim, 3, False)
    assert asked == [100, 256, 100, 32, 32]  # at most 500,000 numbers, at least 32 rows


def test_the_slope_of_a_head_is_that_of_a_line_through_two_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(time=0.0)
    monkeypatch.setattr(microbenchmarks.time, "perf_counter", lambda: now.time)

    def fit(features: np.ndarray, labels: Any, jobs: Any, device: str) -> None:
        assert len(features) == len(jobs[0].train) + len(jobs[0].validation)
        now.time += 0.1 + 0.02 * len(features)

    monkeypatch.setattr(microbenchmarks, "fit_heads", fit)
    monkeypatch.setattr(microbenchmarks, "_PATIENCE", 10.0)
    found = _time_head("ridge", {}, 100, 8, 3, False, "cpu")
    assert found == {"seconds": pytest.approx(2.1), "rows": 100, "slope": pytest.approx(0.02)}
    monkeypatch.setattr(microbenchmarks, "_PATIENCE", 0.1)
    found = _time_head("ridge", {}, 100, 8, 3, False, "cpu")  # too slow for a second fit
    assert found == {"seconds": pytest.approx(1.1), "rows": 50, "slope": pytest.approx(1.1 / 50)}


def test_a_pass_has_its_shape_and_costs(meter: Meter) -> None:
    backbone = network().bare().eval()
    found = meter.passing(backbone.stages, backbone.preprocessing)
    assert found["shape"] == [16] and found["seconds"] > 0 and found["setup"] > 0 and found["memory"] >= 0
    assert _structure(backbone.stages) == _structure(network(seed=1).stages)  # weights do not change the cost
    assert _structure(backbone.stages) != _structure(backbone.truncate("stage2").stages)


def test_a_pass_over_five_bands_is_measured_on_five_bands(meter: Meter) -> None:
    choice = BandChoice(tuple(range(5)), tuple("01234"), (0, 1, 2), 5, "uint16")
    zeros, ones = (0.0,) * 5, (1.0,) * 5
    backbone = with_bands(network().bare(), Bands(choice, zeros, ones, zeros, ones, zeros, ones)).eval()
    assert meter.passing(backbone.stages, backbone.preprocessing)["shape"] == [16]
    assert meter.tuning(backbone, Strategy("fine_tune"), Recipe(batch_size=8), False, 3)["train"] > 0


def test_a_pass_is_measured_with_its_export_which_later_engines_take(
    meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[object] = []
    plain = engine.export_onnx
    monkeypatch.setattr(engine, "export_onnx", lambda *given: exported.append(given) or plain(*given))
    monkeypatch.setattr(engine, "_graphs", OrderedDict())
    needs = network().preprocessing
    measured, other = network(seed=1).bare().stages.eval(), network(seed=2).bare().stages.eval()
    for subject in (measured, other):
        engine.Engine(subject, needs)
    assert len(exported) == 2
    meter.passing(measured, needs)
    assert len(exported) == 3
    for subject in (measured, other):
        engine.Engine(subject, needs)
    assert len(exported) == 3


def test_a_training_step_is_measured_whatever_its_learning_rate(meter: Meter) -> None:
    backbone, strategy = network(), Strategy("fine_tune")
    found = [
        meter.tuning(backbone, strategy, Recipe(epochs=epochs, batch_size=8, lr=lr), False, 3)
        for epochs, lr in [(3, 0.1), (30, 0.2)]
    ]
    assert found[0] == found[1] and found[0]["batch"] == 8 and measured(meter) == 1
    assert min(found[0][name] for name in ("train", "predict")) > 0 and found[0]["setup"] > microbenchmarks._TRAINER
    meter.tuning(backbone, strategy, Recipe(batch_size=16), False, 3)
    assert measured(meter) == 2


@pytest.mark.parametrize(
    ("batch", "size", "count"), [(256, 224, 8), (256, 112, 32), (256, 32, 64), (20, 32, 20), (1, 224, 2)]
)
def test_a_measured_batch_is_smaller_for_larger_images(batch: int, size: int, count: int) -> None:
    recipe = Recipe(batch_size=batch, augment=("horizontal_flip",), class_weights="balanced")
    strategy, short = _brief(Strategy("gradual"), recipe, False, size)
    assert (short.batch_size, short.class_weights, short.augment) == (count, None, ("horizontal_flip",))
    assert strategy.kind == "fine_tune" and _brief(Strategy("lora"), recipe, True, size)[1].augment == ()
    assert _brief(Strategy("lora"), recipe, True, size)[0].kind == "lora"


def test_made_up_features_can_be_learned() -> None:
    features, labels = _labelled(60, 40, 3, False)
    assert features.shape == (60, 40) and features.dtype == np.float32 and (features >= 0).all()
    assert np.bincount(labels).tolist() == [20, 20, 20]
    centres = np.stack([features[labels == c].mean(0) for c in range(3)])
    nearest = ((features[:, None] - centres) ** 2).sum(2).argmin(1)
    assert (nearest == labels).mean() > 0.9
    assert _labelled(60, 40, 3, True)[1].tolist() == np.eye(3, dtype=bool)[labels].tolist()


def test_a_rate_is_the_mean_of_at_least_two_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(time=0.0)
    monkeypatch.setattr(microbenchmarks.time, "perf_counter", lambda: now.time)
    costs = iter([3.0, 1.0, 100.0])

    def work() -> None:
        now.time += next(costs)

    assert _rate(work) == 2.0


def test_the_peak_of_memory_is_above_what_was_used_before() -> None:
    kept: list[np.ndarray] = []
    peak = _peak_of(lambda: kept.append(np.ones(40_000_000, np.uint8)))
    assert peak > 20_000_000 and resident() > 10_000_000
