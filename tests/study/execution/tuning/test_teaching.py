"""A study in which a small network learns from others: whose labels, of which images, and what the result says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from told import Told

from headstart.data.decoding.decode import decode
from headstart.deploy.classifier import Classifier
from headstart.models.bundle import read_ensemble
from headstart.storage.opening import default_store
from headstart.study.execution.tuning.teaching import distillation_of
from headstart.study.execution.tuning.trial import TrialContext
from headstart.study.planning.planner import make_plan
from headstart.study.resources import Resources
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from headstart.study.spec.settings import recipe_of
from headstart.transfer.finetune.distillation import Distillation
from headstart.transfer.frozen.views import view_of
from tests.study.conftest import draw
from tests.study.parallel.test_dispatcher import Inline
from tests.support.multispectral import BANDS, scene, write_folder, write_tiff

SHORT = {"epochs": 2, "batch_size": 8, "lr": 0.05, "augment": ["horizontal_flip"]}


@pytest.fixture
def study(small_study: dict[str, Any]) -> dict[str, Any]:
    runs = {
        "student": {"strategy": "distil", "teacher": "both", "temperature": 2, "hard_labels": 0.1, "recipe": SHORT},
        "probe": {"backbone": "conv4", "strategy": "ridge", "input_size": 32, "refit": "none"},
        "tuned": {"strategy": "scratch", "recipe": {"epochs": 2, "batch_size": 8}},
    }
    return {**small_study, "seeds": 1, "runs": runs, "ensembles": {"both": ["probe", "tuned"]}}


def execute(spec: dict[str, Any], out: Path, workers: int = 1) -> tuple[Path, Told]:
    told = Told()
    root = run_study(load_study(spec), out, device="cpu", listener=told, workers=workers).root
    assert told.broken == {}
    return root, told


def result(root: Path, run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "runs" / run / "seed-0" / "result.json").read_text())
    return found


def context_of(spec: dict[str, Any], root: Path) -> TrialContext:
    """Return the context of the student in a study whose other runs are finished."""
    resources = Resources(default_store(), "cpu")
    plan = make_plan(load_study(spec), resources)
    task = next(task for task in plan.tasks if task.run.name == "student")
    for run in task.run.teachers:
        resources.upstream[run.name, 0] = root / "runs" / run.name / "seed-0"
    split = resources.split(task.run.data, 0)
    return TrialContext(task, split, resources.dataset(task.run.data), resources, {}, print)


def taught(spec: dict[str, Any], place: Path) -> tuple[Path, TrialContext, Distillation | None]:
    """Run a study; return its folder, the context of the student, and how it is taught."""
    root, _ = execute(spec, place / "out")
    context = context_of(spec, root)
    own = context.task.run.spec
    return root, context, distillation_of(context, own, recipe_of(own), context.dataset)


def test_a_student_runs_after_its_teachers_and_its_result_names_them(study: dict[str, Any], tmp_path: Path) -> None:
    root, told = execute(study, tmp_path / "out")
    assert [name.split(" (")[0] for name in told.ran] == ["probe", "tuned", "student", "both"]
    found = result(root, "student")
    assert any("the soft labels of 'both' (the mean of 2 runs)" in note for note in found["notes"])
    assert found["metrics"]["test"]["accuracy"]["n"] == found["n_test"]
    spec = json.loads((root / "runs" / "student" / "seed-0" / "spec.json").read_text())
    assert spec["teacher"] == {"run": "both", "path": None}
    assert Classifier.load(root / "runs" / "student" / "seed-0").classes == ("blue", "green", "red")
    _, again = execute(study, tmp_path / "out")
    assert again.ran == [] and len(again.found) == 4


@pytest.mark.long
def test_soft_labels_are_those_of_the_ensemble_as_it_is_served(study: dict[str, Any], tmp_path: Path) -> None:
    root, context, how = taught(study, tmp_path)
    assert how is not None and (how.temperature, how.hard_labels, how.same_view) == (2.0, 0.1, True)
    rows = context.split.train[[3, 0]]
    served = Classifier(read_ensemble(root / "runs" / "both" / "seed-0"))
    needs = [bundle.preprocessing for bundle in served.ensemble.members]
    pixels = [context.resources.images(context.task.run.data, each).batch(rows) for each in needs]
    np.testing.assert_allclose(how.teacher(rows, None), served.averaged(pixels), atol=1e-4)
    flipped = how.teacher(context.split.train, 0)
    plain = how.teacher(context.split.train, None)
    mirrored = np.abs(flipped - plain).max(axis=1) > 1e-6
    assert 0 < mirrored.sum() < len(plain)  # half of the images are mirrored in a view
    np.testing.assert_array_equal(how.teacher(context.split.train, 0), flipped)


@pytest.mark.long
def test_the_fits_in_the_cache_are_calibrated_as_the_run_folders_are(study: dict[str, Any], tmp_path: Path) -> None:
    root, context, how = taught(study, tmp_path)
    keys = {run.name: key for run in context.task.run.teachers for key in [_key(study, run.name)]}
    other = context_of(study, root)
    for name, key in keys.items():
        other.resources.upstream[name, 0] = other.resources.store.path("fits", key)
    spec = other.task.run.spec
    cached = distillation_of(other, spec, recipe_of(spec), other.dataset)
    assert how is not None and cached is not None
    for one, two in zip(how.teacher.members, cached.teacher.members, strict=True):  # type: ignore[attr-defined]
        assert one.bundle.temperature == pytest.approx(two.bundle.temperature, rel=1e-6)
        np.testing.assert_allclose(one.validation[0], two.validation[0], atol=1e-6)
    assert how.teacher.temperature == pytest.approx(cached.teacher.temperature, rel=1e-4)  # type: ignore[attr-defined]
    assert how.teacher.temperature == pytest.approx(result(root, "both")["temperature"], rel=1e-4)  # type: ignore[attr-defined]


def _key(study: dict[str, Any], name: str) -> str:
    plan = make_plan(load_study(study), Resources(default_store(), "cpu"))
    return next(task.key for task in plan.tasks if task.run.name == name)


def test_images_without_labels_are_learned_from_once_and_copies_are_left_out(
    study: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    more = draw(tmp_path / "more", 4, seed=9)
    (more / "copy.png").write_bytes((pictures / "red" / "000.png").read_bytes())
    (more / "twice.png").write_bytes((more / "red" / "000.png").read_bytes())
    study["data"] = {"source": str(pictures), "unlabelled": str(more)}
    study["runs"]["student"]["recipe"] = {**SHORT, "tta": "flip"}
    del study["runs"]["tuned"], study["ensembles"]
    study["runs"]["student"]["teacher"] = "probe"
    root, _ = execute(study, tmp_path / "out")
    found = result(root, "student")
    assert any(note.startswith("12 images without labels were learned from") for note in found["notes"])
    assert found["n_train"] == result(root, "probe")["n_train"]
    context = context_of(study, root)
    pictures_of = context.resources.pictures(context.task.run.data)
    assert len(pictures_of) == len(context.dataset) + 12 and (pictures_of.labels[-12:] == -1).all()


@pytest.mark.long
def test_images_of_bands_without_labels_are_read_as_the_labelled_ones_are(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    folder, more = write_folder(tmp_path / "s2", 12), tmp_path / "more"
    more.mkdir()
    for number in range(6):
        write_tiff(more / f"{number}.tif", scene(number % 3, 50 + number) * 2, BANDS)  # brighter than those with labels
    write_tiff(more / "four.tif", scene(0, 60)[:, :, :4])
    (more / "copy.tif").write_bytes((folder / "water" / "water000.tif").read_bytes())
    read = {"bands": ["B08", "B04", "B11", "B02"], "show": ["B04", "B08", "B02"]}
    spec: dict[str, Any] = {
        "name": "bands",
        "data": {"source": str(folder), "unlabelled": str(more), **read},
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "small_cnn", "weights": "none"},
        "runs": {
            "probe": {"strategy": "ridge", "refit": "none"},
            "student": {"strategy": "distil", "teacher": "probe", "recipe": SHORT},
        },
    }
    root, _ = execute(spec, tmp_path / "out")
    notes = result(root, "student")["notes"]
    assert any(note.startswith("6 images without labels were learned from") for note in notes)
    left_out = "left out of data.unlabelled: 1 unusable, such as four.tif: has 4 bands where 13 are needed"
    assert left_out in notes and "left out of data.unlabelled: 1 equal to a labelled image" in notes

    context = context_of(spec, root)
    resources, own = context.resources, context.task.run.spec
    pictures = resources.pictures(context.task.run.data)
    rows = np.arange(len(context.dataset), len(pictures))
    files = [str(more / f"{number}.tif") for number in range(6)]
    needs = Classifier.load(root / "runs" / "student" / "seed-0").bundle.preprocessing
    plain = {**spec, "data": {"source": str(folder), **read}}
    assert needs.bands == resources.bands(load_study(plain).run("probe").data)  # those without labels are not measured
    pixels = resources.images_of(pictures, needs).batch(rows)
    np.testing.assert_array_equal(pixels, np.stack([decode(file, view_of(needs)) for file in files]))
    how = distillation_of(context, own, recipe_of(own), pictures)
    served = Classifier.load(root / "runs" / "probe" / "seed-0").predict(files)
    assert how is not None
    np.testing.assert_allclose(how.teacher(rows, None), [each.probabilities for each in served], atol=1e-5)


@pytest.mark.long
def test_teacher_and_student_share_the_stored_views_in_the_training_and_in_its_refit(
    study: dict[str, Any], tmp_path: Path
) -> None:
    study["runs"]["student"] |= {
        "weights": {"run": "tuned"},
        "freeze_until": "conv1",
        "views": 2,
        "refit": "train+validation",
        "recipe": {**SHORT, "epochs": 3},
    }
    root, _ = execute(study, tmp_path / "out")
    assert any(note.startswith("views: ") for note in result(root, "student")["notes"])
    labels = [np.load(file)["probabilities"] for file in default_store().root.glob("soft-labels/*/labels.npz")]
    assert [len(table) for table in labels] == [27 + 7] * 2  # one for each view, of all images that are learned from
    assert not np.array_equal(*labels)
    sizes = [len(np.load(file, mmap_mode="r")) for file in default_store().root.glob("features/*/features.npy")]
    assert sizes.count(27 + 7) == 2 and 27 not in sizes


@pytest.mark.long
def test_a_saved_model_can_teach(study: dict[str, Any], tmp_path: Path) -> None:
    root, _ = execute(study, tmp_path / "out")
    study["name"] = "second"
    study["runs"] = {
        "student": {"strategy": "distil", "teacher": {"path": str(root / "runs" / "both" / "seed-0")}, "recipe": SHORT}
    }
    del study["ensembles"]
    second, _ = execute(study, tmp_path / "out")
    assert any("the saved model" in note for note in result(second, "student")["notes"])


@pytest.mark.long
def test_workers_give_the_same_numbers(study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are planned and set up as processes are, and run here."""
    monkeypatch.setattr("headstart.study.parallel.local.LocalPool", Inline)
    monkeypatch.setattr("headstart.study.parallel.dispatcher.threads.machine_cores", lambda: 2)
    monkeypatch.setattr(Inline, "made", [])
    one, _ = execute(study, tmp_path / "one")
    study["name"] = "two"
    for kind in ("fits", "trials", "soft-labels"):
        for entry in default_store().root.glob(f"{kind}/*"):
            default_store().remove(kind, entry.name)
    two, _ = execute(study, tmp_path / "two", workers=2)
    assert [job.tasks[0].run.name for job in Inline.made[0].jobs][-1] == "student"
    first, second = (np.load(root / "runs" / "student" / "seed-0" / "predictions.npz") for root in (one, two))
    np.testing.assert_array_equal(first["test_probabilities"], second["test_probabilities"])
