from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import headstart
from headstart.api import Study
from headstart.deploy.export import page
from headstart.deploy.export.page_runtime import Runtime
from headstart.errors import SpecError
from tests.cli.conftest import Call
from tests.docs.readers_files import check_here


@pytest.fixture(scope="module")
def finished(photos: Path, one_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study of one network."""
    study = {
        "name": "flowers",
        "data": str(photos),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none"},
        "runs": {"ridge": {"strategy": "ridge"}},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(one_cache))
        return Study(study).run(tmp_path_factory.mktemp("runs"), report=False).folder


pytestmark = pytest.mark.usefixtures("shared_cache")


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of their own check what the tests of deploy/export write."""
    check_here(monkeypatch)


@pytest.mark.long
def test_a_study_is_exported_checked_on_its_test_images_and_described(
    call: Call, finished: Path, tmp_path: Path
) -> None:
    code, out, err = call("export", finished, "--to", "onnx", "--out", tmp_path)
    assert code == 0, err
    sized, free = json.loads((tmp_path / "onnx" / "check.json").read_text())["checks"]
    far = max(sized["largest_difference"], free["largest_difference"])
    said = f"No label differs from the original's in any file; the probabilities differ by {far:.1e} at most.\n"
    assert out.startswith(said)
    assert "model-any-size.onnx" in out and "0 of 4" in out and out.endswith(f"written: {tmp_path / 'onnx'}\n")
    assert "Checked on the 4 test images of flowers: the original and each file, in separate processes." in out
    card = (tmp_path / "onnx" / "README.md").read_text()
    accuracy = json.loads((finished / "runs" / "ridge" / "seed-0" / "result.json").read_text())["metrics"]["test"]
    assert f"| accuracy | {accuracy['accuracy']['value']:.4f} |" in card
    assert sized["accuracy"] == sized["accuracy_original"] == accuracy["accuracy"]["value"]


def test_what_cannot_be_exported_is_one_line_also_where_no_pictures_are_at_hand(
    call: Call, finished: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.safetensors"
    shutil.copy(finished / "model.safetensors", model)
    for to, why in (("onnx,pdf", "unknown export format 'pdf'"), ("", "no export format is named")):
        code, out, err = call("export", model, "--to", to, "--out", tmp_path / "out")
        assert code == 2 and out == "" and why in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_int8_on_pictures_of_ones_own_and_as_json(
    call: Call, finished: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Path | None] = []

    def runtime_of(place: Path | None) -> Runtime:
        given.append(place)
        return Runtime(b"", b"")

    monkeypatch.setattr(page, "runtime_of", runtime_of)
    code, out, err = call(
        "export", finished, "--to", "page,torch", "--int8", "--margin", "100", "--images", photos, "--check", 3,
        "--runtime", "some.tgz", "--out", tmp_path, "--json",
    )  # fmt: skip
    assert code == 0, err
    first, second = json.loads(out)
    assert (first["target"], Path(first["folder"]).name) == ("page", "page-int8")
    assert (second["target"], Path(second["folder"]).name, second["notes"]) == ("torch", "torch", [])
    assert [check["n"] for check in first["checks"]] == [3] and given == [Path("some.tgz")]
    assert first["notes"][0].startswith("int8: ") and "on 3 validation images" in first["notes"][0]
    assert "had learned from these images too" in first["notes"][0]


def test_bad_input_is_one_line_and_leaves_nothing(call: Call, finished: Path, tmp_path: Path) -> None:
    for arguments, words in (
        (["--to", "onxx"], "unknown export format 'onxx'; did you mean 'onnx'"),
        (["--to", "onnx,huggingface,torch"], "cannot export to huggingface: lenet5 is not an architecture of timm"),
        (["--to", "onnx,huggingface,torch"], "; without it: --to onnx,torch"),
        (["--to", ","], "no export format is named (known: onnx, torch, server, huggingface, page)"),
        (["--images", tmp_path / "absent"], "no such folder"),
        (["--int8", "--margin", "-1"], "margin = -1 points of accuracy: it must be 0 or more"),
        (["--check", 0], "check = 0 pictures: it must be at least 1"),
    ):
        code, _, err = call("export", finished, *arguments, "--out", tmp_path / "out")
        assert code == 2 and words in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_classifier_in_memory_is_checked_on_noise_and_says_so(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier = headstart.Classifier.load(finished)
    (done,) = headstart.export(classifier, "torch", tmp_path)
    assert "checked on random noise only, not on pictures" in capsys.readouterr().err
    assert (done.folder, done.checks[0].n, done.checks[0].labels_differ) == (tmp_path / "torch", 16, 0)
    with pytest.raises(SpecError, match="no export format is named"):
        headstart.export(classifier, [], tmp_path)
