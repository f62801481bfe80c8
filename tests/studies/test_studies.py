"""Every study of the field loads, says what it must, is planned, and runs in its smoke form on real images."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from eager_engine import without_export

from headstart.api import Study
from headstart.data.dataset import Dataset
from headstart.data.sources.load import load_dataset
from headstart.explain.explainers import EXPLAINERS
from headstart.maps import neighbour_map
from headstart.models.backbone import Backbone
from headstart.models.create import create_backbone
from headstart.models.weights.registry import Weights
from headstart.study import resources
from headstart.study.planning import microbenchmarks, planner
from headstart.study.planning.plan import Plan
from headstart.study.spec.load import load_study
from headstart.study.spec.settings import check_settings
from headstart.transfer.strategy import truncated

FOLDER = Path(__file__).parents[2] / "studies"
FILES = sorted(FOLDER.glob("*.yaml"), key=lambda file: file.stem)
# runs and configurations (a grid's are trained each, for every seed), in full and as smoke
COUNTS = {
    "aerial-sources": ((30, 30), (20, 20)),
    "caltech101": ((10, 83), (8, 9)),
    "caltech101-distilled": ((7, 7), (7, 7)),
    "caltech101-two-cores": ((21, 21), (21, 21)),
    "cifar10": ((2, 2), (2, 2)),
    "cifar10-pretrained-or-not": ((5, 6), (5, 6)),
    "cifar10-small-two-cores": ((11, 11), (11, 11)),
    "cifar10-to-cifar100": ((32, 32), (31, 31)),
    "cifar10-to-cifar100-two-cores": ((21, 21), (21, 21)),
    "dtd-rsscn7": ((17, 17), (17, 17)),
    "dtd-rsscn7-two-cores": ((11, 11), (11, 11)),
    "eurosat-fewshot": ((42, 42), (33, 33)),
    "eurosat-fewshot-two-cores": ((8, 8), (8, 8)),
    "ten-backbones": ((66, 66), (9, 9)),
}
# networks whose frozen features are judged on the study's own images: where a chain begins on others, too
FORECASTS = {
    "caltech101-two-cores": 5,  # Lite0 to Lite2, ResNet-18, random features
    "cifar10-to-cifar100-two-cores": 4,
    "cifar10-to-cifar100": 4,  # two stages of the source, untrained and of ImageNet, and all of ImageNet's
}
# every kind of run: these are planned twice, and everything in their plans is measured
MEASURED = {"cifar10-to-cifar100", "dtd-rsscn7-two-cores", "eurosat-fewshot-two-cores"}
# each kind of study: these run each time; the others are planned each time, and run where the tests marked slow run
EACH_TIME = {
    "aerial-sources",
    "caltech101",
    "caltech101-distilled",
    "cifar10",
    "cifar10-to-cifar100-two-cores",
    "dtd-rsscn7-two-cores",
    "eurosat-fewshot-two-cores",
    "ten-backbones",
}
_LOADED: dict[str, Dataset] = {}
_MADE: dict[str, tuple[Backbone, Weights]] = {}
_KEPT = 8  # networks
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
RUNS = [pytest.param(file, id=file.stem, marks=[] if file.stem in EACH_TIME else pytest.mark.slow) for file in FILES]


@pytest.fixture
def shared_store(own_store: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give all smoke studies, those of other workers too, one cache: most look at the same photographs."""
    own = tmp_path_factory.getbasetemp()
    place = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "cache-of-the-studies"
    monkeypatch.setenv("HEADSTART_CACHE", str(place))
    monkeypatch.setattr(microbenchmarks, "_PATIENCE", 0.01)  # how near a plan's seconds come is not looked at here
    monkeypatch.setattr(neighbour_map, "_STEPS", (20, 30))  # nor how good the map is
    lime = EXPLAINERS["lime"]  # nor what it finds, for which it runs a network thousands of times
    few = replace(lime, method=partial(lime.method, samples=50, most_samples=50))
    monkeypatch.setitem(EXPLAINERS, "lime", few)
    monkeypatch.setattr(resources, "load_dataset", _loaded_once)
    monkeypatch.setattr(resources, "create_backbone", _made_once)
    without_export(monkeypatch)
    return place


def _loaded_once(*given: Any, **options: Any) -> Dataset:
    """Load a dataset for all the studies that look at it: listing thousands of files is tested elsewhere."""
    key = repr((given, options))
    if key not in _LOADED:
        _LOADED[key] = load_dataset(*given, **options)
    return _LOADED[key]


def _made_once(name: str, weights: Any = None, *, agreed: bool = False, **options: Any) -> tuple[Backbone, Weights]:
    """Make a network for all the plans and studies that have it; not one whose weights a run of a study leaves."""
    if agreed:
        return create_backbone(name, weights, agreed=True, **options)
    key = repr((name, weights, sorted(options.items())))
    found = _MADE.pop(key, None) or create_backbone(name, weights, **options)
    _MADE[key] = found  # the last of them
    while len(_MADE) > _KEPT:
        _MADE.pop(next(iter(_MADE)))
    return copy.deepcopy(found[0]), found[1]


def test_every_study_is_counted() -> None:
    assert [file.stem for file in FILES] == sorted(COUNTS)
    assert set(COUNTS) > EACH_TIME


@each_file
def test_a_study_has_the_runs_that_its_question_asks_for(file: Path) -> None:
    found = []
    for smoke in (False, True):
        study = load_study(file, smoke=smoke)
        found.append((len(study.runs), sum(len(run.configurations()) for run in study.runs)))
        assert study.spec.name == file.stem + ("-smoke" if smoke else "")
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
@pytest.mark.usefixtures("shared_store")
@pytest.mark.realdata
def test_the_smoke_form_plans_with_the_cost_of_every_stage(
    file: Path, real_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heads and steps of training are timed for some studies; for the others these times are set here."""
    plans, plain = list[Plan](), planner.make_plan
    times = 2 if file.stem in MEASURED else 1
    if file.stem not in MEASURED:
        head = {"seconds": 0.02, "rows": 32, "slope": 1e-4}
        training = {"setup": 1.0, "train": 2e-3, "predict": 1e-3, "batch": 8, "memory": 1 << 26}
        monkeypatch.setattr(microbenchmarks, "_time_head", lambda *given: head)
        monkeypatch.setattr(microbenchmarks, "_time_tuning", lambda *given: training)

    def twice(*given: Any, **options: Any) -> Plan:
        plans.extend(plain(*given, **options) for _ in range(times))
        return plans[-1]

    monkeypatch.setattr(planner, "make_plan", twice)
    study = Study(file, smoke=True)
    before = copy.deepcopy(study.study)
    rows = study.plan(tmp_path, device="cpu")
    stages = [stage for row in rows for stage in row["stages"]]
    assert stages
    assert all(stage["seconds"] > 0 or stage["shared"] or stage["done"] for stage in stages)
    assert study.study == before and list(tmp_path.iterdir()) == []  # it changes nothing
    assert len(plans) == times and plans[0] == plans[-1]


@pytest.mark.parametrize("file", RUNS)
@pytest.mark.usefixtures("shared_store")
@pytest.mark.realdata
def test_the_smoke_form_runs_from_end_to_end(file: Path, real_images: Path, tmp_path: Path) -> None:
    study = Study(file, smoke=True)
    results = study.run(tmp_path, device="cpu")
    names = [*(run.name for run in study.study.runs), *study.study.spec.ensembles]
    _is_complete(results.folder, len(names) * len(study.study.spec.seed_list))
    assert {row["run"] for row in results.ranking()} == set(names)
    page = results.report.read_text(encoding="utf-8")
    assert study.study.spec.name in page
    own = [run for run in study.study.runs if run.data == study.study.spec.data]  # not what a chain starts from
    if all(run.spec.episodes for run in own):
        assert not results.model.exists()  # episodes judge features; they leave no classifier
    else:
        best = json.loads((results.folder / "study.json").read_text())["best"]["run"]
        assert results.model.is_file()
        assert best in {*(run.name for run in own), *study.study.spec.ensembles}
    if study.study.spec.explain.pairs:
        pairs = json.loads((results.folder / "explained.json").read_text())["pairs"]
        assert [pair["runs"] for pair in pairs] == study.study.spec.explain.pairs
        assert all((results.folder / pair["file"]).is_file() for pair in pairs)
    if study.study.spec.similarity is not None:
        found = json.loads((results.folder / "similarity.json").read_text())
        assert [pair["runs"] for pair in found["stages"]] == study.study.spec.similarity.stages
        assert len(found["frechet"]) == FORECASTS[file.stem]
    if file.stem in FORECASTS:
        rows = json.loads((results.folder / "transferability.json").read_text())["rows"]
        assert len(rows) == FORECASTS[file.stem]


@pytest.mark.usefixtures("shared_store")
@pytest.mark.realdata
def test_textures_with_several_labels_teach_a_network_that_is_carried_on(
    real_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The full study's form of ViT's training: DTD's own layout with all labels of each image, binary cross entropy."""
    _several_labels(real_images, tmp_path / "torchvision" / "dtd" / "dtd" / "dtd")
    monkeypatch.setenv("HEADSTART_DATA_DIR", str(tmp_path))
    own, baseline = {"DTD ViT", "ViT from DTD", "ViT from DTD tuned"}, "ResNet-18 from ImageNet tuned"
    kept = own | {baseline}
    overrides = [
        "runs.DTD ViT.data={source: dtd, label: joint, name: several labels}",
        "runs.DTD ViT.recipe.loss=bce",
        "explain=0",
        "audit=false",
        *(f"~runs.{run.name}" for run in load_study(FOLDER / "dtd-rsscn7.yaml").runs if run.name not in kept),
    ]
    study = Study(FOLDER / "dtd-rsscn7.yaml", overrides, smoke=True)
    assert {run.name for run in study.study.runs} == kept
    assert study.study.run("DTD ViT").spec.recipe["loss"] == "bce"
    results = study.run(tmp_path / "out", device="cpu")
    _is_complete(results.folder, len(study.study.runs))
    facts = [json.loads(path.read_text()) for path in results.folder.glob("data/*/dataset.json")]
    assert [each["multi_label"] for each in facts if each["name"] == "several labels"] == [True]


def _several_labels(real_images: Path, place: Path) -> None:
    """Lay out five kinds of photographs as DTD comes: images, the parts of its first split, all labels of each."""
    labels = {"Leopards": "Leopards dalmatian", "dalmatian": "dalmatian Leopards okapi", "okapi": "okapi"}
    labels |= {"ferry": "ferry ketch", "ketch": "ketch"}
    parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for name in labels:
        (place / "images" / name).mkdir(parents=True)
        for number, picture in enumerate(sorted((real_images / "caltech101" / name).glob("*.jpg"))[:10]):
            (place / "images" / name / picture.name).symlink_to(picture)
            parts[("train", "train", "train", "val", "test")[number % 5]].append(f"{name}/{picture.name}")
    (place / "labels").mkdir()
    for part, names in parts.items():
        (place / "labels" / f"{part}1.txt").write_text("\n".join(names) + "\n")
    joint = [f"{file} {labels[file.split('/')[0]]} " for names in parts.values() for file in names]
    (place / "labels" / "labels_joint_anno.txt").write_text("\n".join(joint) + "\n")


def _is_complete(folder: Path, tasks: int) -> None:
    assert json.loads((folder / "study.json").read_text())["status"] == "complete"
    manifests = [json.loads(path.read_text()) for path in folder.glob("runs/*/*/manifest.json")]
    assert [manifest["error"] for manifest in manifests] == [None] * tasks
