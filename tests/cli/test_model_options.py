from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.api import Study
from tests.cli.conftest import Call


@pytest.fixture(scope="module")
def finished(photos: Path, one_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study of two small networks."""
    runs = {"one": {"strategy": "ridge"}, "two": {"strategy": "prototypes"}}
    study = {
        "name": "small",
        "data": str(photos),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none"},
        "runs": runs,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(one_cache))
        return Study(study).run(tmp_path_factory.mktemp("runs"), report=False).folder


pytestmark = pytest.mark.usefixtures("shared_cache")


def test_predict_shows_as_many_classes_as_asked_for(call: Call, finished: Path, photos: Path) -> None:
    image = photos / "daisy" / "00.jpg"
    code, out, _ = call("predict", finished, image, "--top", 1, "--device", "cpu", "--format", "table")
    assert code == 0 and "daisy" in out and "lily" not in out
    assert "lily" in call("predict", finished, image, "--top", 2)[1]


def test_predict_formats_agree(call: Call, finished: Path, photos: Path) -> None:
    rows = json.loads(call("predict", finished, photos / "lily", "--format", "json")[1])
    lines = call("predict", finished, photos / "lily", "--format", "csv")[1].splitlines()
    assert lines[0] == "image,class,probability,daisy,lily" and len(rows) == len(lines) - 1 == 10
    for row, line in zip(rows, lines[1:], strict=True):
        name, label, probability, *_ = line.split(",")
        assert (name, label) == (row["image"], row["class"]) and float(probability) == pytest.approx(
            row["probability"], abs=1e-5
        )


@pytest.mark.parametrize("format", ["html", "md", "csv", "json", "png"])
def test_a_report_is_written_where_it_is_told(call: Call, finished: Path, tmp_path: Path, format: str) -> None:
    code, out, _ = call("report", finished, "--format", format, "--out", tmp_path / f"mine.{format}")
    assert code == 0 and out.strip() == str(tmp_path / f"mine.{format}")
    assert (tmp_path / f"mine.{format}").stat().st_size > 100


def test_explain_sets_two_models_side_by_side_and_checks_them(
    call: Call, finished: Path, photos: Path, tmp_path: Path
) -> None:
    image, one, two = photos / "daisy" / "00.jpg", *(finished / "runs" / name / "seed-0" for name in ("one", "two"))
    common = ("--method", "grad_cam", "--seed", 1, "--target", "lily")
    code, out, said = call("explain", one, image, *common, "--out", tmp_path / "one.png")
    assert code == 0 and ": lily " in out and "deletion" not in out, said
    code, out, _ = call("explain", one, image, *common, "--against", two, "--checks", "--out", tmp_path / "two.png")
    assert code == 0 and out.count(": lily ") == 2 and out.count("deletion ") == 2
    with Image.open(tmp_path / "one.png") as first, Image.open(tmp_path / "two.png") as second:
        assert second.width > first.width
    code, _, said = call("explain", one, image, "--target", "rose")
    assert code == 2 and "rose" in said


def test_the_seed_decides_what_is_drawn(call: Call, finished: Path, photos: Path, tmp_path: Path) -> None:
    pictures = []
    for seed in (0, 0, 1):
        call("explain", finished / "runs" / "one" / "seed-0", photos / "daisy" / "00.jpg", "--method", "lime",
             "--seed", seed, "--out", tmp_path / "why.png")  # fmt: skip
        with Image.open(tmp_path / "why.png") as picture:
            pictures.append(np.asarray(picture))
    assert (pictures[0] == pictures[1]).all()
    assert (pictures[0] != pictures[2]).any()
