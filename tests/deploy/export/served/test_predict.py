from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from exported_models import calibrated
from PIL import Image

from headstart.deploy.classifier import Classifier
from headstart.deploy.export.facts import _costs
from headstart.deploy.export.onnx_graph import save_graph
from headstart.deploy.export.program import outputs_of
from headstart.deploy.export.served.predict import BATCH, Model, files_of, show
from headstart.deploy.export.target import Parts
from headstart.evaluate.uncertainty.costs import ASK, costs_of, least_cost

PICTURES = list(np.random.default_rng(4).integers(0, 256, (BATCH + 3, 40, 36, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def model(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Model:
    place = tmp_path_factory.mktemp("model") / "model.onnx"
    save_graph(parts.graph(), place)
    return Model(place)


@pytest.mark.long
def test_pictures_of_several_batches_are_answered_as_the_classifier_does(model: Model, parts: Parts) -> None:
    expected = Classifier(parts.ensemble).predict(PICTURES)
    answers = model.predict(PICTURES)
    assert [answer["class"] for answer in answers] == [p.label for p in expected]
    assert [answer["image"] for answer in answers] == [str(number) for number in range(len(PICTURES))]
    probabilities = np.stack([p.probabilities for p in expected])
    np.testing.assert_allclose(model.probabilities(PICTURES), probabilities, atol=1e-5)
    assert model.probabilities([]).shape == (0, 3)


def test_a_picture_that_cannot_be_read_has_an_error_and_the_status_says_so(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"text")
    Image.fromarray(PICTURES[0]).save(tmp_path / "good.png")
    files = files_of([str(tmp_path)])
    assert files == [str(tmp_path / "bad.png"), str(tmp_path / "good.png")]
    assert show(model, model.answers(files), "json", 2) == 1
    out, err = capsys.readouterr()
    bad, good = map(json.loads, out.splitlines())
    assert bad == {"image": files[0], "error": "is not an image"} and good["image"] == files[1]
    assert err == f"predict.py: {files[0]}: is not an image\n"
    assert show(model, model.answers(files), "csv", 2) == 1
    head, bad, good = csv.reader(io.StringIO(capsys.readouterr().out))
    assert head[:4] == ["image", "class", "probability", "error"] and len(head) == len(bad) == len(good)
    assert bad == [files[0], "", "", "is not an image", "", "", ""] and (good[0], good[3]) == (files[1], "")
    assert show(model, model.answers(files), "table", 2) == 1
    assert capsys.readouterr().out.count("\t") == 1
    assert show(model, model.answers(files[1:]), "table", 2) == 0
    assert capsys.readouterr().out.count(",") == 1  # two classes


def test_of_several_labels_those_above_the_threshold_are_said(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "threshold", 0.25)
    scores = model.probabilities(PICTURES[:4])
    for row, answer in zip(scores, model.predict(PICTURES[:4]), strict=True):
        assert answer["class"] == "|".join(name for name, s in zip(model.classes, row, strict=True) if s > 0.25)


@pytest.mark.parametrize("threshold", [None, 0.25, 0.9])
def test_the_server_folder_has_the_label_rule_of_the_classifier(
    model: Model, parts: Parts, monkeypatch: pytest.MonkeyPatch, threshold: float | None
) -> None:
    several = {} if threshold is None else {"multi_label": True, "threshold": threshold, "temperature": 1.0}
    member = dataclasses.replace(parts.ensemble.members[0], **several)
    classifier = Classifier(dataclasses.replace(parts.ensemble, members=(member,)))
    monkeypatch.setattr(model, "threshold", threshold)
    for scores in np.float32([[0.2, 0.7, 0.1], [0.5, 0.5, 0.0], [0.25, 0.25, 0.5], [0.1, 0.1, 0.1], [0.9, 0.95, 0.91]]):
        said, answer = classifier.said("x", scores), model._answer("x", scores)
        assert (said.label, said.probability) == (answer["class"], answer["probability"])


def test_csv_holds_no_text_that_a_spreadsheet_would_compute(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(PICTURES[0]).save(tmp_path / "=1.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model, "classes", ["@ant", "-bee", "+cat"])
    assert show(model, model.answers(["=1.png"]), "csv", 3) == 0
    head, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert head == ["image", "class", "probability", "error", "'@ant", "'-bee", "'+cat"]
    assert row[0] == "'=1.png" and row[1] in head[4:] and abs(sum(map(float, row[4:])) - 1) < 1e-5
    assert show(model, model.answers(["=1.png"]), "json", 3) == 0
    assert json.loads(capsys.readouterr().out)["image"] == "=1.png", "no spreadsheet reads JSON"


def test_an_absent_file_and_an_address_have_their_reason(model: Model, tmp_path: Path) -> None:
    places = [str(tmp_path / "nothing.jpg"), "https://example.org/a.jpg"]
    assert [answer["error"] for answer in model.predict(files_of(places))] == [
        "no such file or folder",
        "is an address; download the image and give the file's path",
    ]


def test_hidden_files_and_those_of_systems_are_no_pictures(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/.ipynb_checkpoints/1.png", "__MACOSX/a/1.png", "a/._1.png", "headstart-runs/x/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PICTURES[0]).save(tmp_path / name)
    assert files_of([str(tmp_path)]) == [str(tmp_path / "a" / "1.png")]
    with pytest.raises(SystemExit, match="headstart-runs: no picture in it"):
        (tmp_path / "headstart-runs" / "x" / "1.png").unlink()
        files_of([str(tmp_path / "headstart-runs")])


@pytest.mark.long
@pytest.mark.parametrize("score", ["", "distances+energy"])
def test_answers_sets_and_familiarity_are_those_of_the_classifier(
    score: str, parts: Parts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = calibrated(parts.ensemble, score)
    exported = Parts(judged, parts.material)
    save_graph(exported.graph(), tmp_path / "model.onnx")
    assert [each.name for each in exported.any_size_graph().graph.output] == list(outputs_of(judged))
    model = Model(tmp_path / "model.onnx")
    blank = [np.full((40, 36, 3), value, np.uint8) for value in (0, 255)]
    expected, found = Classifier(judged).predict([*PICTURES, *blank]), model.predict([*PICTURES, *blank])
    assert [(each["answer"], tuple(each["set"])) for each in found] == [(p.answer, p.set) for p in expected]
    assert len({p.set for p in expected}) > 1
    if score:
        assert [each["familiarity"] for each in found] == pytest.approx([p.familiarity for p in expected], abs=0.04)
        assert min(p.familiarity or 1 for p in expected[-2:]) <= 0.05 < max(p.familiarity or 0 for p in expected[:-2])
    else:
        assert [each["familiarity"] for each in found] == [None] * len(expected)
    assert show(model, iter(found[:1]), "csv", 1) == 0
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header[3:7] == ["error", "answer", "set", "familiarity"] and row[5] == "|".join(expected[0].set)
    assert row[6] == (f"{found[0]['familiarity']:.4f}" if score else "")


@pytest.mark.parametrize("ask", [None, 0.3])
def test_decisions_are_those_of_least_cost(ask: float | None, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("ant", "bee", "=cat")
    costs = costs_of(names, {"ant": {"=cat": 7}, "bee": {"ant": 0.25}}, mistake=1, ask=ask)
    rows = np.random.default_rng(1).dirichlet([1, 1, 1], 200).astype(np.float32)
    shares = np.where(np.arange(200) % 5, 0.5, 0.05)
    model = Model.__new__(Model)
    model.classes, model.threshold = list(names), None
    model._answers = {"most": 0.75, "most_named": 10, "unfamiliar": 0.05, "costs": _costs(costs)}
    assert model._answers["costs"] == {"mistake": 1, "confusions": [[0, 2, 7], [1, 0, 0.25]], "ask": ask}
    found = [model._answer(str(k), row, share) for k, (row, share) in enumerate(zip(rows, shares, strict=True))]
    expected = least_cost(rows, costs, unfamiliar=shares <= 0.05)[0]
    assert [each["decision"] for each in found] == ["ask" if k == ASK else names[k] for k in expected]
    assert len(set(expected.tolist())) == (3 if ask is None else 4)
    assert show(model, iter([*found[:3], {"image": "x", "error": "cut short"}]), "csv", 1) == 1
    header, *lines = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header[4:8] == ["answer", "set", "familiarity", "decision"] and {len(each) for each in lines} == {11}
    assert [each[7].lstrip("'") for each in lines] == [*(each["decision"] for each in found[:3]), ""]
