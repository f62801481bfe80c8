"""Every study of the field loads, says what it must, and runs end to end in its smoke form on real images."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from headstart.api import Study
from headstart.models.create import create_backbone
from headstart.study.expand import load_study
from headstart.study.settings import check_settings
from headstart.transfer.strategy import truncated

FOLDER = Path(__file__).parents[2] / "studies"
FILES = sorted(FOLDER.glob("*.yaml"), key=lambda file: file.stem)
# runs and configurations (a grid's are trained each, for every seed), in full and as smoke
COUNTS = {
    "caltech101": ((10, 83), (8, 9)),
    "caltech101-two-cores": ((20, 20), (20, 20)),
    "cifar10": ((2, 2), (2, 2)),
    "cifar10-pretrained-or-not": ((5, 6), (5, 6)),
    "cifar10-to-cifar100": ((32, 32), (31, 31)),
    "cifar10-to-cifar100-two-cores": ((21, 21), (21, 21)),
    "dtd-rsscn7": ((17, 17), (17, 17)),
    "eurosat-fewshot": ((42, 42), (33, 33)),
    "ten-backbones": ((66, 66), (9, 9)),
}
# networks whose frozen features are judged on the study's own images: where a chain begins on others, too
FORECASTS = {
    "caltech101-two-cores": 5,  # Lite0 to Lite2, ResNet-18, random features
    "cifar10-to-cifar100-two-cores": 4,
    "cifar10-to-cifar100": 4,  # two stages of the source, untrained and of ImageNet, and all of ImageNet's
}
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def test_every_study_is_counted() -> None:
    assert [file.stem for file in FILES] == sorted(COUNTS)


@each_file
def test_a_study_has_the_runs_that_its_question_asks_for(file: Path) -> None:
    found = []
    for smoke in (False, True):
        study = load_study(file, smoke=smoke)
        found.append((len(study.runs), sum(len(run.configurations()) for run in study.runs)))
        assert study.spec.name == file.stem
        assert study.spec.question is not None and study.spec.question.endswith("?")
    assert tuple(found) == COUNTS[file.stem]


@each_file
def test_the_header_says_what_to_beat_what_to_expect_and_how_long(file: Path) -> None:
    header = "".join(line for line in file.read_text().splitlines(keepends=True) if line.startswith("#"))
    for word in ("Data", "To beat", "Expected", "Time", "Command"):
        assert f"# {word}" in header
    assert f"headstart run studies/{file.name}" in header


@each_file
@pytest.mark.slow
def test_every_stage_recipe_and_option_of_the_full_study_exists(file: Path) -> None:
    """Networks are built with random weights, so that nothing is downloaded."""
    built = {}
    for run in load_study(file).runs:
        if run.spec.backbone == "pixels":
            check_settings(run, None)
            continue
        size = (run.spec.backbone, run.spec.input_size)
        if size not in built:
            built[size] = create_backbone(run.spec.backbone, None, input_size=run.spec.input_size)[0]
        backbone = built[size]
        if run.spec.truncate_at is not None:
            backbone = truncated(backbone, run.spec.truncate_at)
        check_settings(run, backbone)


@each_file
@pytest.mark.realdata
def test_the_smoke_form_runs_from_end_to_end(file: Path, real_images: Path, tmp_path: Path) -> None:
    study = Study(file, smoke=True)
    results = study.run(tmp_path, device="cpu")
    _is_complete(results.folder, len(study.study.runs) * len(study.study.spec.seed_list))
    assert {row["run"] for row in results.ranking()} == {run.name for run in study.study.runs}
    page = results.report.read_text(encoding="utf-8")
    assert study.study.spec.name in page
    own = [run for run in study.study.runs if run.data == study.study.spec.data]  # not what a chain starts from
    if all(run.spec.episodes for run in own):
        assert not results.model.exists()  # episodes judge features; they leave no classifier
    else:
        best = json.loads((results.folder / "study.json").read_text())["best"]["run"]
        assert results.model.is_file()
        assert best in {run.name for run in own}
    if file.stem in FORECASTS:
        rows = json.loads((results.folder / "transferability.json").read_text())["rows"]
        assert len(rows) == FORECASTS[file.stem]


@pytest.mark.realdata
def test_textures_with_several_labels_teach_a_network_that_is_carried_on(real_images: Path, tmp_path: Path) -> None:
    """The full study's form of ViT's training: a manifest with all labels of each image, binary cross entropy."""
    manifest = _several_labels(real_images, tmp_path / "joint.csv")
    overrides = [
        f"runs.DTD ViT.data={{source: {manifest}, name: several labels, limit: null}}",
        "runs.DTD ViT.recipe.loss=bce",
        "explain=0",
        "audit=false",
    ]
    study = Study(FOLDER / "dtd-rsscn7.yaml", overrides, smoke=True)
    assert study.study.run("DTD ViT").spec.recipe["loss"] == "bce"
    results = study.run(tmp_path / "out", device="cpu")
    _is_complete(results.folder, len(study.study.runs))


def _several_labels(real_images: Path, place: Path) -> Path:
    """Write a manifest of four kinds of photographs, each with two of four labels."""
    labels = {"dalmatian": "animal|spotted", "okapi": "animal|striped", "ferry": "boat|wide"}
    labels |= {"ketch": "boat|tall", "Leopards": "animal|spotted|wild"}
    with place.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "labels", "split"])
        for name, words in labels.items():
            pictures = sorted((real_images / "caltech101" / name).glob("*.jpg"))[:10]
            for number, picture in enumerate(pictures):
                writer.writerow([picture, words, ("train", "train", "train", "validation", "test")[number % 5]])
    return place


def _is_complete(folder: Path, tasks: int) -> None:
    assert json.loads((folder / "study.json").read_text())["status"] == "complete"
    manifests = [json.loads(path.read_text()) for path in folder.glob("runs/*/*/manifest.json")]
    assert [manifest["error"] for manifest in manifests] == [None] * tasks
