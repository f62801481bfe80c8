"""A folder of thirteen bands runs from TIFF to report, predict, evaluate, explain and export."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.api import Study
from headstart.cli.main import main
from headstart.cli.options import listed_bands
from headstart.data.band_statistics import measure_bands
from headstart.errors import SpecError
from headstart.report.render.thumbnails import read_thumbnails
from headstart.study.comparison import compare_spec
from headstart.study.planning.planner import make_plan
from headstart.study.resources import Resources
from headstart.study.spec.load import load_study
from headstart.study.spec.schema import DataSpec
from tests.support.multispectral import scene, write_folder, write_tiff

pytest.importorskip("tifffile")

CNN = {"backbone": "small_cnn", "weights": "none"}


def study_of(folder: Path, **data: Any) -> dict[str, Any]:
    return {
        "name": "bands",
        "data": {"source": str(folder), "bands": "all", "show": ["B04", "B03", "B02"], **data},
        "seeds": 1,
        "runs": {
            "frozen": {**CNN, "strategy": "ridge"},
            "pixels": {"backbone": "pixels", "input_size": 8, "strategy": "ridge"},
            "trained": {
                **CNN,
                "strategy": "scratch",
                "recipe": {"epochs": 1, "batch_size": 8, "augment": ["random_crop", "vertical_flip"]},
            },
        },
        "explain": {"mistakes": 1, "methods": ["grad_cam"]},
    }


def status(words: list[str]) -> int:
    """Run a command line and return its exit status."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


@pytest.mark.long
def test_thirteen_bands_run_from_tiff_to_report_predict_evaluate_explain_and_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "s2", 12, compression="deflate")
    write_tiff(folder / "water" / "four.tif", scene(2, 99)[:, :, :4])
    found = Study(study_of(folder)).run(tmp_path / "runs", device="cpu")
    assert not found.failed() and len(found.ranking()) == 3
    assert any("four.tif" in line and "has 4 bands" in line for line in found.problems())
    assert found.report.is_file()
    data = next((found.folder / "data").iterdir())
    small = read_thumbnails(data)
    row = next(iter(small.place))
    jpeg = small.jpeg(row)
    assert jpeg is not None
    assert np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).std() > 20  # stretched, and in colour

    classifier = found.classifier()
    bands = classifier.bundle.preprocessing.bands
    assert bands is not None and bands.count == 13 and len(classifier.bundle.preprocessing.mean) == 13
    picture = folder / "water" / "water003.tif"
    answer = classifier.predict([str(picture), str(folder / "water" / "four.tif")])
    assert answer[0].error is None and "has 4 bands where 13 are needed" in str(answer[1].error)
    assert classifier.predict(picture.read_bytes())[0].label == answer[0].label

    asked = ["compare", str(folder), "--bands", "all", "--show", "3,2,1", "--backbone", "pixels", "--seeds", "1"]
    assert status([*asked, "-o", str(tmp_path / "compared")]) == 0
    model = str(found.folder / "model.safetensors")
    assert status(["evaluate", model, str(folder), "--json", "-o", str(tmp_path / "checked")]) == 0
    assert '"accuracy"' in capsys.readouterr().out
    tuned = next(found.folder.glob("**/trained/**/model.safetensors"))
    out = tmp_path / "explained.png"
    assert status(["explain", str(tuned), str(picture), "--method", "grad_cam", "-o", str(out)]) == 0
    with Image.open(out) as drawn:
        assert drawn.size[0] > 100
    assert status(["export", model, "--to", "onnx,torch", "-o", str(tmp_path / "out")]) == 0
    check = json.loads((tmp_path / "out" / "onnx" / "check.json").read_text(encoding="utf-8"))
    assert [each["form"] for each in check["checks"]] == ["model.onnx"] and check["checks"][0]["labels_differ"] == 0
    capsys.readouterr()
    for target in ("page", "server", "huggingface"):
        assert status(["export", model, "--to", target, "-o", str(tmp_path / target)]) == 2
        said = capsys.readouterr().err.strip()
        assert "it takes 13 bands, and only ordinary pictures are read there; export to onnx or torch" in said
        assert "\n" not in said


def test_bands_are_measured_on_all_images_but_the_test_images(tmp_path: Path) -> None:
    spec = DataSpec(source=str(write_folder(tmp_path / "s2", 8)), bands="all")
    resources = Resources(headstart_store(tmp_path), "cpu")
    dataset, split = resources.dataset(spec), resources.split(spec, 5)
    assert dataset.bands is not None and len(split.test)
    learned = np.setdiff1d(np.arange(len(dataset)), split.test)
    assert resources.bands(spec) == measure_bands(dataset, learned, dataset.bands)
    assert resources.bands(spec) != measure_bands(dataset, np.arange(len(dataset)), dataset.bands)


def headstart_store(folder: Path) -> Any:
    from headstart.storage.store import Store

    return Store(folder / "cache")


def test_seeds_have_the_same_bands_and_keys_hold_them(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s2", 8)
    keys = []
    for data in ({}, {"bands": [1, 2, 3], "show": None}):
        study = load_study({**study_of(folder, **data), "seeds": 2, "runs": {"frozen": {**CNN, "strategy": "ridge"}}})
        resources = Resources(headstart_store(tmp_path), "cpu")
        tasks = make_plan(study, resources).tasks
        keys += [task.key for task in tasks]
        assert len({resources.features_key(task.run.data, task.run.network, task.seed) for task in tasks}) == 1
    assert len(set(keys)) == 4


def test_colours_and_folds_by_seed_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s2", 8)
    wrong = study_of(folder)
    wrong["runs"] = {"trained": {**wrong["runs"]["trained"], "recipe": {"epochs": 1, "augment": ["colour"]}}}
    with pytest.raises(SpecError, match="colour changes colours, and these images have bands"):
        make_plan(load_study(wrong), Resources(headstart_store(tmp_path), "cpu"))
    with pytest.raises(SpecError, match="measured on training images, which change with fold: seed"):
        load_study(study_of(folder, split={"folds": 4, "fold": "seed"}))
    for settings, said in (
        ({"bands": []}, r"data\.bands: give all, or bands by index from 0 or by name"),
        ({"bands": "B04"}, r"data\.bands: give all, or"),
        ({"bands": [-1]}, r"data\.bands: give all, or"),
        ({"show": [1, 2]}, r"data\.show: give three bands, as red, green and blue, or one"),
        ({"show": "B04"}, r"data\.show: give three bands"),
    ):
        with pytest.raises(SpecError, match=said):
            load_study(study_of(folder, **settings))
    with pytest.raises(SpecError, match=r"give data\.bands, too"):
        load_study(study_of(folder, bands=None))


def test_compare_takes_bands_from_python_and_the_command_line(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s2", 6)
    dataset = headstart.load_dataset(folder, bands=["B08", 2, 3])
    read = compare_spec(dataset, backbones=["small_cnn"])["data"]
    assert (read["bands"], read["show"]) == ([7, 2, 3], [7, 2, 3]) and "split" not in read
    spec = compare_spec(str(folder), backbones=["small_cnn"], bands=["B08", 3, 2], show=["B08", 3, 2])
    assert spec["data"] == {"source": str(folder), "bands": ["B08", 3, 2], "show": ["B08", 3, 2]}
    assert listed_bands("0, B8A,12") == [0, "B8A", 12] and listed_bands("all") == "all" and listed_bands(None) is None
    assert headstart.load_dataset(folder, bands="all", show=[3, 2, 1]).bands.of == 13  # type: ignore[union-attr]
