from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from headstart.api import Study
from tests.cli.conftest import Call
from tests.docs.readers_files import draw


@pytest.fixture(scope="module")
def finished(photos: Path, one_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study with two runs."""
    runs = {name: {"backbone": "pixels", "strategy": name, "input_size": 8} for name in ("ridge", "prototypes")}
    study = {"name": "small", "data": str(photos), "seeds": 1, "audit": False, "runs": runs}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(one_cache))
        return Study(study).run(tmp_path_factory.mktemp("runs"), report=False).folder


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return new photographs of the two classes and one other."""
    place = tmp_path_factory.mktemp("new") / "season"
    draw(place, classes=("daisy", "lily", "rose"), per_class=6, seed=77)
    return place


pytestmark = pytest.mark.usefixtures("shared_cache")


def test_evaluate_prints_measures_what_was_left_out_and_the_change(
    call: Call, finished: Path, season: Path, tmp_path: Path
) -> None:
    run = finished / "runs" / "ridge" / "seed-0"
    code, out, _ = call("evaluate", run, season, "--out", tmp_path, "--device", "cpu")
    assert code == 0 and "season: 12 images, 2 classes" in out
    assert "note: left out: 6 images of classes that the model does not know: 'rose'" in out
    assert "balanced accuracy" in out and "ridge: accuracy" in out and "its own 4 test images of" in out
    assert (tmp_path / out.splitlines()[-1].removeprefix("report:").strip()).is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_a_folder_s_name_cannot_steer_the_terminal(call: Call, finished: Path, season: Path, tmp_path: Path) -> None:
    hostile = shutil.copytree(season, tmp_path / "sea\x1b]0;title\x07son")
    code, out, said = call("evaluate", finished, hostile, "--out", tmp_path, "--device", "cpu")
    assert code == 0 and "\x1b" not in out + said and "sea\\x1b]0;title\\x07son: 12 images" in out


def test_two_models_are_compared_on_the_same_images(call: Call, finished: Path, season: Path, tmp_path: Path) -> None:
    ridge, prototypes = (finished / "runs" / name / "seed-0" for name in ("ridge", "prototypes"))
    arguments = ("evaluate", ridge, season, "--against", prototypes, "--metric", "f1_macro", "--out", tmp_path)
    code, out, _ = call(*arguments)
    assert code == 0 and "ridge less prototypes, on the same images:" in out
    found = json.loads(call(*arguments, "--json")[1])
    assert [row["model"] for row in found["models"]] == ["ridge", "prototypes"]
    assert found["metric"] == "f1_macro" and found["n"] == 12 and len(found["notes"]) == 1
    assert Path(found["report"]).is_file()
    value, low, high = found["models"][0]["change"]
    assert low < value < high
    assert value == pytest.approx(
        found["models"][0]["metrics"]["f1_macro"]["value"] - found["models"][0]["own"]["value"]
    )


@pytest.fixture(scope="module")
def checked(one_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study whose model can be compared with new images."""
    place = tmp_path_factory.mktemp("checked")
    data = {"source": str(draw(place / "flowers", classes=2, per_class=60)), "split": {"validation": 0.5, "test": 0.2}}
    runs = {"ridge": {"backbone": "lenet5", "weights": "none", "strategy": "ridge"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(one_cache))
        study = {"name": "checked", "data": data, "seeds": 1, "audit": False, "runs": runs}
        return Study(study).run(place / "runs", report=False).folder


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return pictures in one folder, without labels."""
    place = tmp_path_factory.mktemp("flat")
    draw(place / "season", classes=2, per_class=20, seed=78)
    (place / "flat").mkdir()
    for file in sorted((place / "season").rglob("*.jpg")):
        shutil.copy(file, place / "flat" / f"{file.parent.name}-{file.name}")
    return place / "flat"


def test_images_without_labels_are_compared_with_those_that_the_model_was_checked_on(
    call: Call, checked: Path, flat: Path, tmp_path: Path
) -> None:
    arguments = ("evaluate", checked, flat, "--out", tmp_path, "--device", "cpu")
    code, out, _ = call(*arguments)
    assert code == 0 and out.startswith("flat: 40 images without labels")
    assert "that the model was checked on" in out and "Unfamiliar: " in out and "ccuracy" in out
    assert "least familiar" in out and (tmp_path / out.splitlines()[-1].removeprefix("report:").strip()).is_file()
    found = json.loads(call(*arguments, "--json")[1])
    assert (found["n"], found["labels"], found["drift"]["compared"]) == (40, False, 40)


def test_folders_that_are_no_classes_are_said_to_be_none(call: Call, checked: Path, flat: Path, tmp_path: Path) -> None:
    for number, file in enumerate(sorted(flat.iterdir())):
        (tmp_path / f"week-{number % 2}").mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / f"week-{number % 2}" / file.name)
    week, out = tmp_path, tmp_path / "out"
    code, _, err = call("evaluate", checked, week, "--out", out)
    assert code == 2 and "if its folders are not classes, add --no-labels" in err
    code, said, _ = call("evaluate", checked, week, "--no-labels", "--out", out, "--device", "cpu")
    assert code == 0 and "40 images without labels" in said


def test_with_labels_drift_is_told_too(call: Call, checked: Path, flat: Path, tmp_path: Path) -> None:
    labelled = flat.parent / "season"
    arguments = ("evaluate", checked, labelled, "--out", tmp_path, "--device", "cpu")
    assert "that the model was checked on" in call(*arguments)[1]
    (model,) = json.loads(call(*arguments, "--json")[1])["models"]
    assert model["no_drift"] is None and model["drift"]["held_out"] == model["drift"]["held_out"] > 0
    assert {each["what"] for each in model["drift"]["changes"]} >= {"embeddings", "predicted classes", "sharpness"}


def test_what_needs_labels_is_refused_without_them(call: Call, checked: Path, flat: Path, tmp_path: Path) -> None:
    code, _, err = call("evaluate", checked, flat, "--metric", "accuracy", "--part", "test", "--out", tmp_path)
    assert code == 2 and err.count("\n") == 1
    assert "--part, --metric: needs labels, and these images have none; leave it out" in err


def test_a_model_that_cannot_be_compared_with_is_one_line(
    call: Call, finished: Path, flat: Path, tmp_path: Path
) -> None:
    code, _, err = call("evaluate", finished, flat, "--out", tmp_path)
    assert code == 2 and err.count("\n") == 1 and "works on raw pixels" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--part", "testing"), "unknown part 'testing'"),
        (("--metric", "acuracy"), "unknown metric 'acuracy'"),
        (("--part", "test"), "comes without a split"),
        (("--label", "age"), "a label can be chosen only in a manifest"),
    ],
)
def test_an_impossible_option_is_one_line(
    call: Call, finished: Path, season: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    code, out, err = call("evaluate", finished, season, "--out", tmp_path, *options)
    assert code == 2 and out == "" and message in err and err.count("\n") == 1


def test_a_model_that_does_not_exist_is_one_line(call: Call, season: Path, tmp_path: Path) -> None:
    code, _, err = call("evaluate", tmp_path / "nothing", season)
    assert code == 2 and "nothing: no such file or folder" in err and err.count("\n") == 1
