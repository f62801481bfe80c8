from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.deploy.classifier import Classifier
from headstart.deploy.export import server
from headstart.deploy.export.checking import Check, Form, Process, check_forms, refuse_other
from headstart.deploy.export.onnx_graph import save_graph
from headstart.deploy.export.pictures import Pictures, noise
from headstart.deploy.export.target import Parts
from headstart.errors import ModelError


def figures(differ: int, largest: float, n: int = 200) -> Check:
    return Check("model.onnx", "the pictures", n, differ, largest, 10, 1.0, 2.0)


def test_every_form_is_compared_with_the_original_in_a_process_of_its_own(parts: Parts, tmp_path: Path) -> None:
    save_graph(parts.graph(), tmp_path / "model.onnx")
    save_graph(parts.any_size_graph(), tmp_path / "any.onnx")
    forms = [
        Form("sized", "onnx", tmp_path / "model.onnx", "pixels"),
        Form("any", "onnx", tmp_path / "any.onnx", "picture", exact=False),
    ]
    classifier = Classifier(parts.ensemble)
    given = noise()
    labels = np.array([p.probabilities.argmax() for p in classifier.predict([given.read(k) for k in range(16)])])
    labels[:4] = (labels[:4] + 1) % 3  # a quarter of the labels is wrong for both
    sized, anyhow = check_forms(classifier, forms, Pictures("noise", 16, given.read, labels))
    assert (sized.n, sized.labels_differ, sized.bytes) == (16, 0, (tmp_path / "model.onnx").stat().st_size)
    assert sized.largest_difference < 1e-5 and sized.accuracy == sized.accuracy_original == 0.75
    assert sized.milliseconds > 0 and sized.milliseconds_original > 0
    assert 0 < anyhow.largest_difference < 0.01
    assert sized.to_dict()["share_that_differs"]["high"] == pytest.approx(0.1936, abs=1e-3)  # 0 of 16, Wilson


def test_a_check_leaves_nothing_in_the_folder_that_it_runs(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    server.build(parts, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    (check,) = check_forms(
        Classifier(parts.ensemble), [Form("predict.py", "server", tmp_path, "file")], noise().first(2)
    )
    assert check.labels_differ == 0 and sorted(tmp_path.rglob("*")) == before


def test_another_model_is_noticed(parts: Parts, tmp_path: Path) -> None:
    graph = parts.graph()
    bias = next(each for each in graph.graph.initializer if list(each.dims) == [3])
    bias.raw_data = np.array([9.0, -9.0, 0.0], np.float32).tobytes()
    save_graph(graph, tmp_path / "model.onnx")
    form = Form("model.onnx", "onnx", tmp_path / "model.onnx", "pixels")
    (check,) = check_forms(Classifier(parts.ensemble), [form], noise())
    assert check.largest_difference > 0.1
    with pytest.raises(
        ModelError, match=r"is not the same model, so nothing was written: model.onnx: \d+ of 16 labels"
    ):
        refuse_other(check, form)


def test_a_file_that_cannot_be_run_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    form = Form("model.onnx", "onnx", tmp_path / "model.onnx", "pixels")
    with (
        pytest.raises(ModelError, match=r"model.onnx cannot be run, so nothing was written: .*INVALID_PROTOBUF"),
        Process(form) as it,
    ):
        it.ask([np.zeros((1, 32, 32, 3), np.uint8)])


def test_rounding_passes_and_a_resized_picture_may_change_a_few_labels(tmp_path: Path) -> None:
    exact = Form("model.onnx", "onnx", tmp_path, "pixels")
    resized = Form("any", "onnx", tmp_path, "picture", exact=False)
    refuse_other(figures(0, 9e-4), exact)
    refuse_other(figures(2, 0.5), resized)
    for check, form in ((figures(0, 2e-3), exact), (figures(3, 0.5), resized)):
        with pytest.raises(ModelError, match="not the same model"):
            refuse_other(check, form)
