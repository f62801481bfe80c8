"""A teacher must know the classes and must not have seen the test images; keys, order and cost know it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.errors import HeadstartError, SpecError
from headstart.storage.opening import default_store
from headstart.study.planning.cost import with_costs
from headstart.study.planning.describe import describe
from headstart.study.planning.plan import Plan
from headstart.study.planning.planner import make_plan
from headstart.study.planning.teachers import check_teacher
from headstart.study.resources import Resources
from headstart.study.results.folder import StudyFolder
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from tests.study.conftest import draw
from tests.support.multispectral import BANDS, CLASSES, scene, write_folder, write_tiff

STUDENT = {"strategy": "distil", "teacher": "probe", "recipe": {"epochs": 2, "batch_size": 8}}


@pytest.fixture
def study(small_study: dict[str, Any]) -> dict[str, Any]:
    return {**small_study, "seeds": 1, "runs": {"student": STUDENT, "probe": {"strategy": "ridge", "refit": "none"}}}


def planned(spec: dict[str, Any]) -> Plan:
    return make_plan(load_study(spec), Resources(default_store(), "cpu"))


def key_of(spec: dict[str, Any], name: str = "student") -> str:
    return next(task.key for task in planned(spec).tasks if task.run.name == name)


def with_student(spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**spec, "runs": {**spec["runs"], "student": {**STUDENT, **more}}}


def test_the_key_contains_the_teachers_and_the_images_without_labels(study: dict[str, Any], tmp_path: Path) -> None:
    known = key_of(study)
    other = {
        **study,
        "runs": {"student": STUDENT, "probe": {"strategy": "ridge", "refit": "none", "head": {"penalty": 7.0}}},
    }
    assert key_of(other) != known == key_of(study)
    assert key_of(with_student(study, temperature=3)) != known
    assert key_of(with_student(study, teacher_views="plain")) != known
    more = tmp_path / "more"
    more.mkdir()
    from PIL import Image

    Image.new("RGB", (32, 32), (9, 9, 9)).save(more / "new.png")
    with_more = {**study, "data": {"source": study["data"], "unlabelled": str(more)}}
    assert key_of(with_more) != known
    assert key_of(with_more, "probe") == key_of(study, "probe")  # which learns nothing from them


def test_the_plan_orders_a_student_after_its_teacher_and_counts_the_teachers_passes(
    study: dict[str, Any], tmp_path: Path
) -> None:
    study = with_student(study, recipe={"epochs": 2, "batch_size": 8, "augment": ["horizontal_flip"]})
    resources = Resources(default_store(), "cpu")
    plan = make_plan(load_study(study), resources)
    assert [group.first.run.name for group in plan.groups] == ["probe", "student"]
    folder = StudyFolder(tmp_path / "out")
    rows = with_costs(describe(plan, resources, folder), plan, resources, folder)
    (stage,) = [stage for stage in rows[1]["stages"] if stage["kind"] == "soft labels"]
    assert stage["what"] == "probe: 2 views" and stage["seconds"] > 0
    plain = make_plan(load_study(with_student(study, teacher_views="plain")), resources)
    rows = with_costs(describe(plain, resources, folder), plain, resources, folder)
    kinds = [stage["kind"] for stage in rows[1]["stages"]]
    assert "soft labels" not in kinds and "training" in kinds  # its head reads the features that it was fitted on


def test_a_teacher_of_other_classes_is_refused(study: dict[str, Any], pictures: Path) -> None:
    study["runs"]["probe"] = {"strategy": "ridge", "data": {"source": str(pictures), "classes": ["blue", "red"]}}
    with pytest.raises(SpecError) as told:
        planned(study)
    assert "run 'student': the teacher 'probe' does not know 1 of the 3 classes ('green')" in str(told.value)


def test_a_teacher_that_cannot_read_these_images_is_refused(study: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    scenes, few = write_folder(tmp_path / "s2", 12), tmp_path / "few"
    for label, name in enumerate(CLASSES):
        (few / name).mkdir(parents=True)
        for number in range(12):
            write_tiff(few / name / f"{number}.tif", scene(label, number)[:, :, [1, 2, 3]], BANDS[1:4])
    of_13 = {"source": str(scenes), "bands": ["B04", "B03", "B02"]}
    of_3 = {"source": str(few), "bands": "all"}
    ordinary = draw(tmp_path / "ordinary", 12)
    for colour, name in zip(("blue", "green", "red"), CLASSES, strict=True):
        (ordinary / colour).rename(ordinary / name)

    def taught(data: Any, probe: Any) -> None:
        probe = {**study["runs"]["probe"], "data": probe}
        planned({**study, "data": data, "runs": {"student": STUDENT, "probe": probe}})

    taught({**of_13, "bands": "all"}, of_13)  # a teacher of some of the student's bands
    for data, probe, why in (
        (of_13, str(ordinary), "takes ordinary pictures, and these images have bands"),
        (str(ordinary), of_13, "takes 3 bands, and these images are ordinary pictures"),
        (of_13, of_3, "takes other bands: an image has 13 bands where 3 are needed"),
    ):
        with pytest.raises(SpecError, match=f"run 'student': the teacher 'probe' {why}; name one that was trained on"):
            taught(data, probe)


def test_a_saved_teacher_of_ordinary_pictures_is_refused_for_bands(study: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    scenes, ordinary = write_folder(tmp_path / "s2", 12), draw(tmp_path / "ordinary", 12)
    for colour, name in zip(("blue", "green", "red"), CLASSES, strict=True):
        (ordinary / colour).rename(ordinary / name)
    first = {**study, "data": str(ordinary), "runs": {"probe": {"strategy": "ridge", "refit": "none"}}}
    root = run_study(load_study(first), tmp_path / "out", device="cpu").root
    student = {"student": {**STUDENT, "teacher": {"path": str(root / "runs" / "probe" / "seed-0")}}}
    with pytest.raises(SpecError, match="takes ordinary pictures, and these images have bands; name one that was"):
        planned({**study, "data": {"source": str(scenes), "bands": "all"}, "runs": student})


def test_a_teacher_that_has_seen_the_test_images_is_refused(study: dict[str, Any], pictures: Path) -> None:
    split = {"source": str(pictures), "split": {"seed": 5}}
    study["runs"]["probe"] = {"strategy": "ridge", "data": split}
    with pytest.raises(SpecError, match=r"the teacher 'probe' has learned from \d+ of the \d+ test images \(seed 0\)"):
        planned(study)
    chain = {"source": {"strategy": "scratch", "data": split, "recipe": {"epochs": 1, "batch_size": 8}}}
    study["runs"] = {
        **study["runs"],
        **chain,
        "probe": {"strategy": "ridge", "refit": "none", "weights": {"run": "source"}},
    }
    with pytest.raises(SpecError, match=r"the teacher 'probe' has learned from"):  # its network has
        planned(study)


def test_a_teacher_that_is_fitted_again_on_the_validation_images_is_refused(study: dict[str, Any]) -> None:
    study["runs"]["probe"] = {"strategy": "ridge"}  # heads are, by default
    with pytest.raises(SpecError, match=r"the teacher 'probe' is refitted on the validation images.*refit: none"):
        planned(study)
    study["runs"]["probe"]["head"] = {"penalty": 7.0}  # nothing to choose
    assert planned({**study, "data": {"source": study["data"], "split": {"validation": 0}}}).tasks


def test_a_saved_model_that_has_seen_the_test_images_is_refused(study: dict[str, Any], tmp_path: Path) -> None:
    first = {**study, "runs": {"probe": {"strategy": "ridge", "refit": "none"}}, "refit": "all"}
    root = run_study(load_study(first), tmp_path / "out", device="cpu").root
    student = {"student": {**STUDENT, "teacher": {"path": str(root)}}}
    with pytest.raises(SpecError, match="test images"):  # its model was fitted on all images
        planned({**study, "runs": student})
    student["student"]["teacher"] = {"path": str(root / "runs" / "probe" / "seed-0")}
    assert len(planned({**study, "runs": student}).tasks) == 1


def test_settings_of_a_teacher_have_no_effect_elsewhere(study: dict[str, Any], pictures: Path) -> None:
    for setting in ({"temperature": 2}, {"hard_labels": 0.1}, {"teacher_views": "plain"}, {"teacher": "student"}):
        runs = {**study["runs"], "other": {"strategy": "scratch", "recipe": {"batch_size": 8}, **setting}}
        with pytest.raises(SpecError, match="has no effect: strategy 'scratch' does not read it"):
            planned({**study, "runs": runs})
    with pytest.raises(SpecError, match=r"data\.unlabelled has no effect: no run learns from images without labels"):
        planned(
            {
                **study,
                "data": {"source": str(pictures), "unlabelled": str(pictures)},
                "runs": {"probe": {"strategy": "ridge", "refit": "none"}},
            }
        )


def test_images_without_labels_that_are_all_copies_are_refused(study: dict[str, Any], pictures: Path) -> None:
    study["data"] = {"source": str(pictures), "unlabelled": str(pictures)}
    with pytest.raises(HeadstartError, match="each of the 42 images of pictures is a copy of a labelled one"):
        planned(study)


def test_a_run_without_a_teacher_is_not_checked(study: dict[str, Any]) -> None:
    read = load_study(study)
    check_teacher(read.run("probe"), read, Resources(default_store(), "cpu"))
