from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.maps import neighbour_map
from headstart.study.analysis import image_map
from headstart.study.run import run_study
from headstart.study.spec.load import load_study

CLASSES = {"blue": (40, 60, 200), "green": (50, 180, 70), "red": (200, 50, 40)}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    generator = np.random.default_rng(0)
    for name, colour in CLASSES.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(16):
            pixels = np.clip(generator.normal(colour, 40, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    monkeypatch.setattr(image_map, "AUTO", "pca")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_of(text: str, place: Path) -> Path:
    (place / "study.yaml").write_text(f"name: s\ndata: photos\nseeds: 1\n{text}", encoding="utf-8")
    return run_study(load_study(place / "study.yaml"), place / "out", device="cpu").root


def test_test_images_are_placed_by_the_best_runs_network(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "runs: {a: {backbone: lenet5, weights: none, strategy: ridge}}\n"
    root = run_of(text, study)
    facts = json.loads((root / "map.json").read_text(encoding="utf-8"))
    with np.load(root / "runs" / "a" / "seed-0" / "predictions.npz") as arrays:
        assert facts["rows"] == arrays["test_rows"].tolist()
    assert facts["network"] == "lenet5, none" and facts["run"] == "a" and facts["test"] == len(facts["rows"])
    assert len(facts["positions"]) == 2 * len(facts["rows"]) and {row[0] for row in facts["classes"]} == set(CLASSES)
    monkeypatch.setattr(image_map, "_placed", lambda *given: pytest.fail("computed again"))
    run_of(text, study)


def test_a_map_by_neighbours_is_made_where_the_extra_is_installed(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openTSNE")
    monkeypatch.setattr(image_map, "AUTO", "auto")
    monkeypatch.setattr(neighbour_map, "_STEPS", (10, 10))
    text = "runs: {a: {backbone: lenet5, weights: none, strategy: ridge}}\n"
    (study / "study.yaml").write_text(f"name: s\ndata: {{source: photos, split: {{test: 0.5}}}}\nseeds: 1\n{text}")
    root = run_study(load_study(study / "study.yaml"), study / "out", device="cpu").root
    facts = json.loads((root / "map.json").read_text(encoding="utf-8"))
    assert facts["method"] == "tsne" and len(facts["rows"]) >= 20


def test_a_study_of_pixels_alone_has_no_map(study: Path) -> None:
    root = run_of("runs: {a: {backbone: pixels, weights: none, strategy: ridge}}\n", study)
    assert not (root / "map.json").exists()
