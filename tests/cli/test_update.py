from __future__ import annotations

import json
from pathlib import Path

import pytest

from headstart.api import Study
from tests.cli.conftest import Call
from tests.docs.readers_files import draw


@pytest.fixture(scope="module")
def finished(photos: Path, one_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study with one run."""
    runs = {"ridge": {"backbone": "pixels", "strategy": "ridge", "input_size": 8}}
    study = {"name": "small", "data": str(photos), "seeds": 1, "audit": False, "runs": runs}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(one_cache))
        return Study(study).run(tmp_path_factory.mktemp("runs"), report=False).folder


pytestmark = pytest.mark.usefixtures("shared_cache")


def test_update_tells_what_is_new_and_compares_the_models(call: Call, finished: Path, tmp_path: Path) -> None:
    more = draw(tmp_path / "more", classes=2, per_class=8, seed=50, size=40)
    arguments = ("update", finished, more, "--out", tmp_path, "--device", "cpu")
    (more / "daisy" / "cut.jpg").touch()
    code, out, said = call(*arguments)
    assert said.splitlines()[0].startswith("more: 16 images, 2 classes") and "left out: 1 with zero bytes" in said
    assert code == 0 and "to learn from" in out and "small-update-" in out
    assert "in the study already" not in out and "Drift" not in out and "held-out images" not in out
    found = json.loads(call(*arguments, "--json")[1])
    assert sum(found["new"].values()) == 16 and Path(found["model"]).is_file()
    assert len(found["evaluation"]["models"]) == 2 and found["evaluation"]["n"] == 4 + found["new"]["test"]
    scores = [f"{100 * each['metrics']['accuracy']['value']:.1f} %" for each in found["evaluation"]["models"]]
    answer, *rest = out.splitlines()
    assert answer.startswith("The updated model ") and answer.endswith(")."), answer
    assert f": accuracy {scores[0]} against {scores[1]} on the same {found['evaluation']['n']} test images, " in answer
    assert rest[-3:] == [
        f"model:   {found['model']}",
        f"before:  {finished} (unchanged)",
        f"use it:  headstart predict {found['folder']} YOUR-PHOTO.jpg",
    ]


@pytest.mark.long
def test_a_model_that_is_refitted_on_all_images_says_so_wherever_it_is_used(
    call: Call, finished: Path, photos: Path, tmp_path: Path
) -> None:
    more = draw(tmp_path / "more", classes=2, per_class=8, seed=50, size=40)
    code, out, _ = call("update", finished, more, "--refit", "all", "--out", tmp_path, "--device", "cpu")
    assert code == 0 and "refitted on all 36 labelled images, test images included" in out
    study = next(tmp_path.glob("small-update-*"))
    image = next(more.rglob("*.jpg"))
    code, out, err = call("predict", study, image, "--format", "csv")
    assert code == 0 and "so this model itself is not tested" in err and "not tested" not in out
    assert "not tested" not in call("predict", study / "runs" / "ridge" / "seed-0", image)[2]
    season = draw(tmp_path / "season", classes=2, per_class=3, seed=90, size=40)
    code, out, _ = call("evaluate", study, season, "--out", tmp_path)
    assert code == 0 and "of the tested model that it was refitted from, ridge" in out
    assert json.loads(call("evaluate", study, season, "--out", tmp_path, "--json")[1])["models"][0]["refitted"] is True


def test_a_refit_on_anything_else_is_one_line(call: Call, finished: Path, photos: Path, tmp_path: Path) -> None:
    more = draw(tmp_path / "more", classes=2, per_class=8, seed=50, size=40)
    for arguments in (("update", finished, more), ("compare", photos)):
        code, _, err = call(*arguments, "--refit", "test", "--out", tmp_path / "out")
        assert code == 2 and err.strip().splitlines()[-1].count("refit: 'test' is unknown") == 1
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_updated_is_one_line(call: Call, finished: Path, photos: Path, tmp_path: Path) -> None:
    for study, data, message in (
        (finished, photos, "has no image that the study does not know already"),
        (tmp_path, photos, "no study here"),
        (finished, tmp_path / "nothing", "nothing"),
    ):
        code, out, err = call("update", study, data)
        assert code == 2 and out == "" and message in err and err.count("\n") == 1


def test_a_label_that_a_folder_does_not_have_is_refused(call: Call, finished: Path, photos: Path) -> None:
    code, _, err = call("update", finished, photos, "--label", "age")
    assert code == 2 and "label" in err and err.count("\n") == 1
