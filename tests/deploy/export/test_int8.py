from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from exported_models import calibrated
from onnx import ModelProto

from headstart.deploy.classifier import Classifier
from headstart.deploy.export import int8
from headstart.deploy.export.int8 import Loss, _counts, _layers, _loss, _outside, quantise
from headstart.deploy.export.pictures import Material, Pictures, noise
from headstart.deploy.export.sensitivity import session_of
from headstart.deploy.export.target import Parts
from headstart.errors import ModelError

COUNT = 48


def coloured(seed: int) -> list[np.ndarray]:
    """Return smooth pictures of one main colour each."""
    generator = np.random.default_rng(seed)
    colours = generator.integers(0, 256, (COUNT, 1, 1, 3))
    return list(np.clip(colours + generator.integers(-30, 30, (COUNT, 40, 36, 3)), 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def material(parts: Parts) -> Material:
    """Return pictures whose labels are what the model says of them, but for a few."""

    def labelled(what: str, seed: int) -> Pictures:
        made = coloured(seed)
        labels = np.array([p.probabilities.argmax() for p in Classifier(parts.ensemble).predict(made)])
        labels[:4] = (labels[:4] + 1) % 3
        return Pictures(what, COUNT, lambda k: made[k], labels)

    return Material(noise(), train=labelled("training", 0), validation=labelled("validation", 1))


@pytest.mark.long
def test_what_says_how_familiar_an_image_is_stays_in_float(parts: Parts, material: Material) -> None:
    judged = Parts(calibrated(parts.ensemble, "distances+energy"), parts.material)
    assert len(_layers(judged.float_graph)) == len(_layers(parts.float_graph))
    compared = [node for node in judged.float_graph.graph.node if node.op_type == "MatMul"]
    assert len(compared) == 3  # with the training images, whitened, and with the means of the classes
    graph, _ = quantise(judged.float_graph, judged.ensemble, material, margin=5.0)
    made_by = {name: node.op_type for node in graph.graph.node for name in node.output}
    kept = [node for node in graph.graph.node if node.op_type == "MatMul"]
    assert len(kept) == 3
    assert "DequantizeLinear" not in {made_by.get(name) for node in kept for name in node.input}
    assert {made_by.get(name) for node in graph.graph.node if node.op_type == "Conv" for name in node.input[:2]} == {
        "DequantizeLinear"
    }


def test_the_quantised_graph_is_smaller_and_nearly_the_same(parts: Parts, material: Material) -> None:
    graph, loss = quantise(parts.float_graph, parts.ensemble, material, margin=5.0)
    assert graph.ByteSize() < 0.5 * parts.float_graph.ByteSize()
    operators = {node.op_type for node in graph.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    assert loss.n == COUNT and loss.points <= 5.0 and loss.low <= loss.points <= loss.high
    pixels = np.stack([each[:32, :32] for each in coloured(3)])
    before, after = (session_of(each)({"pixels": pixels})[0] for each in (parts.float_graph, graph))
    assert 0 < np.abs(before - after).max() < 0.1
    assert (before.argmax(1) == after.argmax(1)).mean() > 0.9


def test_a_margin_that_cannot_be_kept_is_said_with_the_figures(
    parts: Parts, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "_counts", lambda layers: iter([0, 2]))
    monkeypatch.setattr(int8, "_loss", lambda *given: Loss(3.0, 1.0, 5.0, 48, *given[2:]))
    words = r"int8 cannot keep the loss under 0.5 points: it is 3.00 \(1.00 to 5.00\) with 2 of 10 layers in float"
    with pytest.raises(ModelError, match=f"{words}$"):
        quantise(parts.float_graph, parts.ensemble, material, margin=0.5)
    with pytest.raises(ModelError, match=f"{words}; ask for less$"):
        quantise(parts.float_graph, parts.ensemble, material, 0.5, "; ask for less")


def test_without_the_studys_images_int8_says_where_they_would_come_from(parts: Parts) -> None:
    with pytest.raises(ModelError, match="give the study folder or a run folder in it, where its images are"):
        quantise(parts.float_graph, parts.ensemble, Material(noise()), margin=0.5)


def test_validation_images_of_other_classes_have_no_labels_and_are_refused(parts: Parts, material: Material) -> None:
    assert material.validation is not None
    bare = replace(material, validation=replace(material.validation, labels=None))
    with pytest.raises(ModelError, match="int8 needs validation images that are labelled with the model's own classes"):
        quantise(parts.float_graph, parts.ensemble, bare, margin=0.5)


def test_the_loss_is_the_paired_difference_in_points() -> None:
    before = np.array([True] * 90 + [False] * 10)
    after = before.copy()
    after[:3], after[95] = False, True  # three lost, one won
    loss = _loss(before, after, 0.5, 8, ("conv",), seen=True)
    assert loss.points == pytest.approx(2.0)
    assert loss.low < 0 < 2.0 < loss.high < 8  # the standard error of 4 changes in 100 is 2 points
    assert str(loss).startswith("int8: 2.00 points of accuracy lost on 100 validation images (95 % interval -")
    assert "1 of 8 layers kept in float; the interval reaches above the margin of 0.5" in str(loss)
    assert str(loss).endswith("The model had learned from these images too, so test images may lose more.")
    assert "every layer in int8." in str(replace(loss, kept=(), high=0.4, seen=False))


def test_layers_kept_in_float_double_up_to_half_of_them() -> None:
    assert list(_counts(49)) == [0, 1, 2, 4, 8, 16]
    assert list(_counts(1)) == [0]


def test_normalisation_and_calibration_stay_outside(parts: Parts) -> None:
    outside = set(_outside(parts.float_graph))
    kinds = {node.name: node.op_type for node in parts.float_graph.graph.node}
    assert {"Softmax", "Cast"} <= {kinds[name] for name in outside}
    assert not {"Conv", "Gemm"} & {kinds[name] for name in outside}


def test_a_loss_has_plain_values() -> None:
    loss = Loss(0.1, -0.1, 0.3, 50, 0.5, 4, (), False)
    assert loss.to_dict() == {
        "points": 0.1, "low": -0.1, "high": 0.3, "n": 50, "margin": 0.5, "layers": 4, "kept": (), "seen": False
    }  # fmt: skip


def test_familiarity_that_eight_bits_change_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    scores = np.arange(50.0)
    int8._calibrated_again(ModelProto(), scores, scores + np.random.default_rng(0).normal(0, 1, 50))
    int8._calibrated_again(ModelProto(), np.array([1.0, 2]), np.array([2.0, 1]))  # too few to say
    assert capsys.readouterr().err == ""
    int8._calibrated_again(ModelProto(), scores, np.random.default_rng(0).permutation(50).astype(float))
    assert "how familiar the validation images are has changed (rank correlation" in capsys.readouterr().err
