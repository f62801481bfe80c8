from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("shared_cache")


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
