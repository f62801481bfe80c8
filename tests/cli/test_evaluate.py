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
