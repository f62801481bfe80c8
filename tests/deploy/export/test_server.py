from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.deploy.classifier import Classifier
from headstart.deploy.export.server import PREDICT, build, constraints, copied_modules, standalone
from headstart.deploy.export.target import Parts

PIXELS = np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a server folder with some photographs beside it."""
    place = tmp_path_factory.mktemp("made") / "server"
    place.mkdir()
    build(parts, place)
    photos = place.parent / "photos"
    photos.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(photos / "turned.png", exif=exif.tobytes())
    clear = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 90, np.uint8)])
    Image.fromarray(clear).save(photos / "clear.png")
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 250).save(photos / "deep.png")
    (photos / "broken.jpg").write_bytes(b"no picture")
    return place


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the folder, without headstart's path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def test_the_folder_predicts_as_the_classifier_does_turned_transparent_and_deep_pictures(
    folder: Path, parts: Parts
) -> None:
    done = run(folder, "predict.py", "../photos", "--format", "csv")
    assert done.returncode == 1 and "broken.jpg: is not an image" in done.stderr
    rows = {Path(row["image"]).name: row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert sorted(rows) == ["broken.jpg", "clear.png", "deep.png", "turned.png"]
    assert rows.pop("broken.jpg")["error"] == "is not an image"
    for name, row in rows.items():
        (expected,) = Classifier(parts.ensemble).predict(folder.parent / "photos" / name)
        found = [float(row[label]) for label in ("ant", "bee", "cat")]
        np.testing.assert_allclose(found, expected.probabilities, atol=1e-5)
        assert row["class"] == expected.label


def test_the_folder_needs_neither_torch_nor_headstart(folder: Path) -> None:
    code = (
        "import sys; from predict import Model; found = Model().predict(['../photos/deep.png', b'x']);"
        "print(sorted(m for m in ('torch', 'headstart', 'scipy', 'onnx') if m in sys.modules), found[1], len(found))"
    )
    done = run(folder, "-c", code)
    assert done.stdout.strip() == "[] {'image': '1', 'error': 'is not an image'} 2", done.stderr
    for file in folder.rglob("*.py"):
        lines = [line.strip() for line in file.read_text().splitlines()]
        assert not [line for line in lines if re.match(r"(from|import) (headstart|torch)", line)], file


def test_what_the_dockerfile_copies_predicts_alone_with_the_versions_of_the_check(
    folder: Path, parts: Parts, tmp_path: Path
) -> None:
    for line in (folder / "Dockerfile").read_text().splitlines():
        command, *words = line.split()
        if command == "COPY":
            *sources, target = [word for word in words if not word.startswith("--")]
            for source in sources:
                place = tmp_path / target
                if (folder / source).is_dir():
                    shutil.copytree(folder / source, place)
                else:
                    shutil.copy(folder / source, place)
    done = run(tmp_path, "predict.py", str(folder.parent / "photos" / "deep.png"), "--format", "json")
    (expected,) = Classifier(parts.ensemble).predict(folder.parent / "photos" / "deep.png")
    assert json.loads(done.stdout)["class"] == expected.label, done.stderr
    versions = dict(line.split("==") for line in (tmp_path / "constraints.txt").read_text().split())
    assert versions == {name: version(name) for name in ("onnxruntime", "numpy", "pillow")}
    required = [line.split(">=")[0] for line in (tmp_path / "requirements.txt").read_text().split()]
    assert required == list(versions)


def test_a_version_that_no_index_has_is_no_constraint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numpy.__version__", "2.5.0.dev0+git")
    assert "numpy" not in constraints() and "pillow==" in constraints()


def test_every_module_that_the_decoder_needs_is_copied_under_a_name_of_its_own() -> None:
    found = copied_modules(PREDICT)
    assert {"headstart.data.decoding.decode", "headstart.data.decoding.colour", "headstart.errors"} < set(found)


def test_json_and_table_and_absent_files(folder: Path) -> None:
    done = run(folder, "predict.py", "../photos/deep.png", "--format", "json")
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and sum(answer["probabilities"].values()) == pytest.approx(1)
    done = run(folder, "predict.py", "../photos/deep.png", "--top", "2")
    assert done.stdout.startswith("../photos/deep.png\t") and done.stdout.count(",") == 1
    done = run(folder, "predict.py", "absent.jpg")
    assert done.returncode == 1 and done.stderr == "predict.py: absent.jpg: no such file or folder\n"


def test_only_imports_of_headstart_are_rewritten() -> None:
    source = (
        "from headstart.data.decoding.depth import to_8_bits\nfrom headstart.errors import DataError\nx = 'headstart'\n"
    )
    assert standalone(source) == (
        "from decoding.depth import to_8_bits\nfrom decoding.errors import DataError\nx = 'headstart'\n"
    )
