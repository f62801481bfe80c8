from __future__ import annotations

from pathlib import Path

import pytest
from unlabelled_folder import draw_folder

from headstart.cli import image_map
from tests.cli.conftest import Call, passed_to


def test_map_writes_a_page_and_says_how_far_it_can_be_trusted(call: Call, tmp_path: Path) -> None:
    photos, out = draw_folder(tmp_path / "photos", 4), tmp_path / "m.html"
    network = ("--backbone", "lenet5", "--weights", "none", "--device", "cpu")
    status, output, error = call("map", photos, "--out", out, "--method", "pca", "--thumbnails", 5, *network)
    lines = output.splitlines()
    assert status == 0 and lines[0] == f"Map of 12 images by lenet5: {out}"
    assert lines[1].startswith("The two principal components of the vectors, with ")
    assert "are among its 10 nearest here" in output and "split" not in error
    assert "red-000.png" in out.read_text(encoding="utf-8")


def test_what_cannot_be_done_is_one_line(call: Call, tmp_path: Path) -> None:
    photos = draw_folder(tmp_path / "photos", 1)
    cases = {
        ("map", photos, "--out", "m.png"): "choose a name that ends in .html",
        ("map", photos, "--method", "umap"): "unknown method 'umap'",
        ("map", tmp_path / "absent"): "no such file or folder",
        ("map", photos, "--model", tmp_path / "absent.safetensors"): "absent.safetensors",
    }
    for arguments, words in cases.items():
        status, _output, error = call(*arguments)
        assert status == 2 and words in error.splitlines()[-1], (arguments, error)


def test_map_passes_on_its_options(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = passed_to(monkeypatch, (image_map, "map_and_write"))
    given = ("photos", "--out", "m.html", "--backbone", "n", "--weights", "none", "--label", "l", "--method", "pca")
    assert (
        call("map", *given, "--bands", "all", "--model", "f", "--thumbnails", "7", "--seed", "3", "--device", "cpu")[0]
        == 0
    )
    options = {
        "label": "l",
        "read": {"bands": "all", "show": None},
        "method": "pca",
        "model": "f",
        "thumbnails": 7,
        "seed": 3,
        "device": "cpu",
    }
    assert passed.pop() == (("photos", Path("m.html"), "n", "none"), options)
    call("map", "photos")
    options = {
        "label": None,
        "read": {"bands": None, "show": None},
        "method": "auto",
        "model": None,
        "thumbnails": 4000,
        "seed": 0,
        "device": "auto",
    }
    assert passed.pop() == (("photos", Path("map.html"), "efficientnet_lite0", "imagenet"), options)
