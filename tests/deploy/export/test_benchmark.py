from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from exported_models import linear, neighbours

from headstart.deploy.classifier import Classifier
from headstart.deploy.export.benchmark import benchmark
from headstart.deploy.export.checking import Form
from headstart.deploy.export.pictures import Material, Pictures
from headstart.models.bundle import Ensemble


def pictures(ensemble: Ensemble, wrong: int) -> Pictures:
    """Return 20 pictures labelled by the model itself, but for some."""
    made = list(np.random.default_rng(0).integers(0, 256, (20, 40, 36, 3), dtype=np.uint8))
    labels = np.array([p.probabilities.argmax() for p in Classifier(ensemble).predict(made)])
    labels[:wrong] = (labels[:wrong] + 1) % 3
    return Pictures("test images", 20, lambda k: made[k], labels)


@pytest.mark.slow
def test_every_form_answers_as_the_original_does() -> None:
    ensemble = Ensemble((linear(tta="flip"), neighbours(seed=1)), temperature=1.3)
    found = benchmark(ensemble, Material(pictures(ensemble, wrong=5)))
    assert [row.form for row in found.rows] == ["headstart", "headstart, engine", "onnx", "torch"]
    assert found.n == 20 and found.pictures == "test images"
    assert len(found.notes) == 1 and found.notes[0].startswith("onnx int8: int8 needs the training images")
    for row in found.rows:
        assert row.labels_differ == 0 and row.accuracy == 0.75 and row.bytes > 1000
        assert 0 < row.median_ms <= row.p95_ms and row.start_seconds > 0.05 and row.images_per_second > 0
        assert row.lost is None if row.form == "headstart" else row.lost is not None and row.lost.points == 0


@pytest.mark.long
def test_a_form_is_measured_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = Ensemble((linear(),))
    monkeypatch.setattr("headstart.deploy.export.benchmark._forms", only_two)
    found = benchmark(ensemble, Material(pictures(ensemble, wrong=4)), int8=False)
    original, other = found.rows
    assert original.accuracy == 0.8 and original.labels_differ == 0 and original.lost is None
    changed = other.labels_differ
    assert 0 < changed <= 20 and other.lost is not None
    assert other.accuracy is not None
    assert other.lost.points == pytest.approx(100 * (0.8 - other.accuracy))
    assert other.lost.low <= other.lost.points <= other.lost.high


def only_two(
    ensemble: Ensemble, material: Material, folder: Path, ticker: object, **options: object
) -> tuple[list[Form], list[str]]:
    """Return a model, and one that always says the class that the first says least often."""
    said = [int(p.probabilities.argmax()) for p in Classifier(ensemble).predict(list(material.test))]
    constant = linear()
    with torch.no_grad():
        constant.network.head.bias[int(np.bincount(said, minlength=3).argmin())] = 1000.0  # type: ignore[index, operator]
    places = [Classifier(model).save(folder / f"{n}.safetensors") for n, model in enumerate((ensemble, constant))]
    return [Form(name, "headstart", place, "pixels") for name, place in zip("ab", places, strict=True)], []
