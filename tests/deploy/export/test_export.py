from __future__ import annotations

import json
from pathlib import Path

import pytest
from exported_models import linear, neighbours

from headstart.deploy.export import export as exporting
from headstart.deploy.export.checking import Form
from headstart.deploy.export.export import TARGETS, export_model
from headstart.deploy.export.pictures import Material, noise
from headstart.deploy.export.target import Parts, Target, always
from headstart.errors import ModelError, SpecError, StoreError
from headstart.models.bundle import Ensemble

MATERIAL = Material(noise().first(4))


@pytest.mark.long
def test_every_format_is_checked_described_and_in_its_place(tmp_path: Path) -> None:
    done = export_model(Ensemble((linear(),)), ["onnx", "torch", "server"], tmp_path, MATERIAL)
    assert [each.target for each in done] == ["onnx", "torch", "server"]
    names = {each.target: sorted(file.name for file in each.folder.iterdir()) for each in done}
    assert names["onnx"] == ["README.md", "check.json", "model-any-size.onnx", "model.onnx"]
    assert names["torch"] == ["README.md", "check.json", "model.pt2"]
    assert {"Dockerfile", "predict.py", "requirements.txt", "model.onnx", "decoding", "check.json"} <= set(
        names["server"]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["onnx", "server", "torch"]
    facts = json.loads((tmp_path / "torch" / "check.json").read_text())
    (check,) = facts["checks"]
    assert (check["labels_differ"], check["n"], check["form"]) == (0, 4, "model.pt2")
    assert check["largest_difference"] < 1e-5 and facts["pictures"] == "4 of 16 pictures of random noise"
    assert "| model.pt2 | 4 | 0 |" in (tmp_path / "torch" / "README.md").read_text()


def test_a_failure_leaves_what_was_there_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(parts: Parts, folder: Path) -> list[Form]:
        (folder / "model.onnx").write_bytes(b"no graph")
        return [Form("model.onnx", "onnx", folder / "model.onnx", "pixels")]

    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "check.json").write_text("{}")
    target = Target(build=broken, usage=lambda parts: "", refusal=always, quantised=True, finish=TARGETS["onnx"].finish)
    monkeypatch.setitem(exporting.TARGETS, "onnx", target)
    with pytest.raises(ModelError, match="cannot be run, so nothing was written"):
        export_model(Ensemble((linear(),)), ["onnx"], tmp_path, MATERIAL)
    assert [path.name for path in tmp_path.rglob("*")] == ["onnx", "check.json"]
    with pytest.raises(ModelError, match="cannot be run"):
        export_model(Ensemble((linear(),)), ["onnx"], tmp_path / "new", Material(noise()))
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_done_is_said_before_any_work(tmp_path: Path) -> None:
    ensemble = Ensemble((neighbours(),))
    with pytest.raises(SpecError, match="unknown export format 'onxx'; did you mean 'onnx'"):
        export_model(ensemble, ["onxx"], tmp_path, MATERIAL)
    with pytest.raises(SpecError, match=r"no export format is named \(known: onnx, torch"):
        export_model(ensemble, [], tmp_path, MATERIAL)
    with pytest.raises(ModelError, match="cannot export to huggingface: lenet5 is not an architecture of timm"):
        export_model(ensemble, ["onnx", "huggingface"], tmp_path, MATERIAL)
    with pytest.raises(SpecError, match="--int8 changes the ONNX graphs, and torch has none; add onnx, server or page"):
        export_model(ensemble, ["torch"], tmp_path, MATERIAL, int8=True)
    (tmp_path / "onnx-int8").mkdir()
    (tmp_path / "onnx-int8" / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match=r"onnx-int8: exists already and was not written by an export; choose another"):
        export_model(ensemble, ["onnx"], tmp_path, MATERIAL, int8=True)
    assert [path.name for path in tmp_path.rglob("*.tex")] == ["thesis.tex"]
