from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from unlabelled_folder import draw_folder

import headstart
from tests.cli.conftest import Call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "photos", 2)


def test_embed_writes_the_vectors_that_python_gives(call: Call, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.npz"
    status, output, _error = call(
        "embed", photos, "--out", out, "--backbone", "lenet5", "--weights", "none", "--device", "cpu"
    )
    assert status == 0 and output.startswith("6 vectors of 84 numbers by lenet5: ")
    found = headstart.embed(photos, backbone="lenet5", weights="none")
    with np.load(out) as arrays:
        assert np.array_equal(arrays["embeddings"], found.vectors) and arrays["names"].tolist() == found.names


def test_similar_names_and_draws_the_nearest(call: Call, photos: Path, tmp_path: Path) -> None:
    network = ("--backbone", "lenet5", "--weights", "none", "--device", "cpu")
    asked = ("similar", photos, photos / "red-001.png", "--count", 3, *network)
    _, output, _ = call(*asked, "--json")
    rows = json.loads(output)["similar"]
    assert rows[0]["name"] == "red-001.png" and rows[0]["cosine"] == pytest.approx(1, abs=1e-5) and len(rows) == 3
    again = headstart.most_similar(
        headstart.embed(photos, backbone="lenet5", weights="none"), photos / "red-001.png", 3
    )
    assert [row["name"] for row in rows] == [each.name for each in again]
    _status, output, _error = call(*asked, "--out", tmp_path / "sheet.png")
    assert output.startswith("Of the 6 images, red-001.png is the most like red-001.png, by lenet5.\n")
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_similar_says_how_many_have_the_label_of_the_nearest(call: Call, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("path,label\n" + "".join(f"photos/{each.name},{each.name[:3]}\n" for each in photos.iterdir()))
    network = ("--backbone", "lenet5", "--weights", "none", "--device", "cpu")
    _, output, error = call("similar", table, photos / "red-001.png", "--count", 3, *network)
    answer, _heads, *rows = output.splitlines()
    alike = sum(row.split()[-1] == "red" for row in rows)
    assert answer.endswith(f"is the most like red-001.png, by lenet5; {alike} of the 3 below have its label, red.")
    assert "split" not in error
    _, output, _ = call("similar", table, photos / "red-001.png", "--count", 1, *network)
    assert output.startswith(
        "Of the 6 images, photos/red-001.png is the most like red-001.png, by lenet5; its label is red."
    )


def test_what_cannot_be_done_is_one_line(call: Call, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    cases = {
        ("embed", photos, "--out", "v.xlsx"): "choose a name that ends in .parquet, .csv, .npz",
        ("embed", photos, "--out", tmp_path / "text.png" / "v.npz"): "is a file; choose a folder",
        ("embed", tmp_path / "absent"): "no such file or folder",
        ("embed", photos, "--label", "colour"): "a label can be chosen only",
        ("similar", photos, tmp_path / "absent.jpg"): "is not a file; give one image",
        ("similar", photos, tmp_path / "text.png", "--backbone", "lenet5", "--weights", "none"): "text.png: ",
        ("similar", photos, photos / "red-000.png", "--out", "sheet.jpg"): "choose a name that ends in .png",
    }
    for arguments, words in cases.items():
        status, _output, error = call(*arguments)
        assert status == 2 and words in error.splitlines()[-1], (arguments, error)
