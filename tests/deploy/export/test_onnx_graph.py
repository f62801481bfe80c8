from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exported_models import pixels_for, three

from headstart.deploy.classifier import Classifier
from headstart.deploy.export import onnx_graph
from headstart.deploy.export.onnx_graph import onnx_of, save_graph
from headstart.deploy.export.program import inputs_of, program_of
from headstart.deploy.export.target import Parts
from headstart.errors import ModelError


def test_the_graph_holds_views_temperature_and_label_rule(parts: Parts) -> None:
    session = onnxruntime.InferenceSession(parts.graph().SerializeToString())
    for count in (1, 4):
        pixels = pixels_for(parts.ensemble, count)
        probabilities, labels = session.run(None, {"pixels": pixels[0]})
        expected = Classifier(parts.ensemble).averaged(pixels)
        np.testing.assert_allclose(probabilities, expected, atol=1e-6)
        np.testing.assert_array_equal(labels, expected.argmax(1))


def test_the_metadata_says_what_the_model_is(parts: Parts) -> None:
    for graph in (parts.graph(), parts.any_size_graph()):
        facts = {each.key: each.value for each in graph.metadata_props}
        assert json.loads(facts["classes"]) == ["ant", "bee", "cat"]
        assert json.loads(facts["label_rule"]) == {"kind": "most probable"}
        assert json.loads(facts["temperature"]) == 0.7
        assert json.loads(facts["inputs"]) == [
            {"name": "pixels", "size": 32, "resize": 32, "interpolation": "bilinear"}
        ]
        assert json.loads(facts["networks"])[0]["test_time_augmentation"] == "flip_translate"
        assert json.loads(facts["provenance"]) == [{"study": "insects", "run": "lenet5"}]
        assert facts["licence"] == "none" and facts["precision"] == "float32"


@pytest.mark.long
def test_an_ensemble_is_one_graph_that_computes_a_shared_body_once() -> None:
    ensemble = three()
    graph = onnx_of(program_of(ensemble), inputs_of(ensemble))
    onnx.checker.check_model(graph)
    layers = [module for each in ensemble.members[:2] for module in each.network.modules()]
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in layers)
    assert Counter(node.op_type for node in graph.graph.node)["Conv"] == convolutions > 2
    pixels = pixels_for(ensemble, 3)
    found = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"pixels": pixels[0]})[0]
    np.testing.assert_allclose(found, Classifier(ensemble).averaged(pixels), atol=1e-6)


def test_what_the_exporter_noted_is_gone(parts: Parts) -> None:
    graph = parts.float_graph.graph
    assert not any(holder.metadata_props for holder in (*graph.node, *graph.input, *graph.value_info))


def test_a_graph_that_one_file_cannot_hold_is_refused(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_graph, "LARGEST", 1000)
    with pytest.raises(ModelError, match=r"model.onnx would have [\d,]+ bytes; an ONNX file holds at most 2 GB"):
        save_graph(parts.graph(), tmp_path / "model.onnx")
