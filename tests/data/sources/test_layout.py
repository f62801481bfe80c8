from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from headstart.data.sources.folders import folder_tree
from headstart.data.sources.layout import from_tree, read_tree
from headstart.errors import DataError


def both(*folders: str) -> list[str]:
    return [f"{folder}/{name}/{n}.jpg" for folder in folders for name in ("cat", "dog") for n in range(2)]


@pytest.mark.parametrize(("first", "second"), [("training_set", "test_set"), ("Train", "Eval"), ("train", "hold_out")])
def test_split_folders_are_known_by_any_usual_name(first: str, second: str) -> None:
    found = read_tree("pets", both(first, second))
    assert sorted(set(found.labels)) == ["cat", "dog"]
    assert found.splits is not None and sorted(set(found.splits)) == ["test", "train"]
    assert [s == "train" for s in found.splits] == [path.startswith(first) for path in found.paths]


def test_a_folder_of_unlabelled_images_beside_the_parts_is_left_out_and_listed() -> None:
    found = read_tree("pets", [*both("train", "test"), "unlabeled/1.jpg", "docs/page.png"])
    assert len(found.paths) == 8
    assert {skip.name: skip.reason for skip in found.skipped} == {
        "unlabeled/1.jpg": "is not in test, train, which are the parts of the split",
        "docs/page.png": "is not in test, train, which are the parts of the split",
    }


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (both("train", "test", "extra"), "'extra' is not"),
        (both("test", "val"), "no training part"),
        (both("trian", "tset"), r"'trian' \(train\?\), 'tset' \(test\?\) have the same folders"),
        (["train/1.jpg", "train/2.jpg", "test/1.jpg"], "hold no class folders"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_with_both(paths: list[str], says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read_tree("pets", paths)
    assert "rename" in str(caught.value) and "\n" not in str(caught.value)


def test_classes_may_be_called_train_or_test() -> None:
    assert sorted(set(read_tree("vehicles", ["train/1.jpg", "plane/1.jpg"]).labels)) == ["plane", "train"]
    assert sorted(set(read_tree("events", ["test/1.jpg", "show/1.jpg"]).labels)) == ["show", "test"]


def test_two_spellings_of_one_class_name_are_one_class() -> None:
    composed, decomposed = "café", unicodedata.normalize("NFD", "café")
    found = read_tree(
        "food", [f"train/{composed}/1.jpg", f"test/{decomposed}/2.jpg", "train/tea/3.jpg", "test/tea/4.jpg"]
    )
    assert sorted(set(found.labels)) == [composed, "tea"]


def test_own_output_and_what_systems_leave_is_never_data() -> None:
    debris = ["headstart-runs/demo/report.png", "__MACOSX/cat/1.jpg", ".ipynb_checkpoints/cat/1.jpg", "cat/._1.jpg"]
    assert read_tree("pets", [*debris, "cat/1.jpg", "dog/1.jpg"]).paths == ["cat/1.jpg", "dog/1.jpg"]


def test_a_study_folder_of_any_name_is_never_data_and_a_file_called_as_its_facts_alone_is_no_study() -> None:
    study = ["results/a/study.json", "results/a/runs/knn/seed-0/lime.png", "results/a/data/1/x.png"]
    pets = ["cat/1.jpg", "cat/study.json", "dog/1.jpg", "results/mine/1.jpg"]
    assert read_tree("pets", [*study, *pets]).labels == ["cat", "dog", "results"]


def test_a_part_without_class_folders_does_not_give_the_split() -> None:
    found = read_tree("pets", ["train/cat/1.jpg", "train/dog/1.jpg", "test/1.jpg", "test/2.jpg"])
    assert found.about["split"] == "given by the folder train (test has no class folders)"


def test_the_same_folders_in_each_class_are_told() -> None:
    told = "in each class are the folders cat, dog; if these are the classes,"
    told += " call the folders above them train and test"
    assert read_tree("pets", both("seen", "unseen")).about == {"folders": told}
    assert read_tree("pets", [*both("seen", "unseen"), "seen/1.jpg"]).about == {}
    assert read_tree("pets", [*both("seen", "unseen"), "seen/bird/1.jpg"]).about == {}
    assert read_tree("pets", ["cat/a/1.jpg", "dog/a/1.jpg"]).about == {}


def test_what_windows_and_network_drives_throw_away_is_never_data() -> None:
    thrown = ["$RECYCLE.BIN/1.jpg", "System Volume Information/1.jpg", "#recycle/1.jpg"]
    assert read_tree("pets", [*thrown, "cat/1.jpg", "dog/1.jpg"]).paths == ["cat/1.jpg", "dog/1.jpg"]


@pytest.mark.parametrize(("first", "second"), [("train", "test"), ("Training", "valid"), ("train_set", "hold-out")])
def test_parts_inside_of_the_classes_are_the_split(first: str, second: str) -> None:
    paths = [f"{name}/{part}/{n}.jpg" for name in ("cat", "dog") for part in (first, second) for n in (1, 2)]
    found = read_tree("pets", [*paths, "owl/train/1.jpg", "BACKGROUND_Google/1.jpg"])
    assert sorted(set(found.labels)) == ["cat", "dog", "owl"] and found.splits is not None
    expected = [f"/{first}/" in path or path.startswith("owl") for path in found.paths]
    assert [part == "train" for part in found.splits] == expected and sum(expected) == 5
    assert found.about["split"] == f"given by the folders {', '.join(sorted({first, second, 'train'}))} in each class"


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (["cat/train/1.jpg", "cat/test/1.jpg", "dog/1.jpg"], "'dog' has images beside them"),
        (["cat/train/1.jpg", "cat/test/1.jpg", "cat/2.jpg", "dog/train/1.jpg"], "'cat' has images beside them"),
        (["cat/train/1.jpg", "cat/test/1.jpg", "dog/train/1.jpg", "dog/wild/1.jpg"], "'dog' has the folder 'wild'"),
        (["cat/val/1.jpg", "cat/test/1.jpg", "dog/val/1.jpg", "dog/test/1.jpg"], "there is no training part"),
    ],
)
def test_parts_inside_of_some_classes_are_refused_with_both_readings(paths: list[str], says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read_tree("pets", paths)
    assert "rename" in str(caught.value)


def test_one_part_inside_of_the_classes_is_no_split() -> None:
    found = read_tree("pets", ["cat/train/1.jpg", "cat/indoors/1.jpg", "dog/train/1.jpg"])
    assert found.splits is None and found.labels == ["cat", "cat", "dog"]


def test_empty_folders_are_named_but_not_those_that_headstart_or_a_system_left(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"x")
    for name in ("piano", "headstart-runs/a/b", "mine/runs/old", "@eaDir", *(f"q{n}" for n in range(5))):
        (tmp_path / name).mkdir(parents=True)
    for name in ("mine/study.json", "mine/runs/record.json"):
        (tmp_path / name).write_bytes(b"{}")
    found = from_tree(folder_tree(tmp_path))
    assert found.about["empty folders"] == "piano, q0, q1, q2, q3 and 1 more" and found.classes == ("cat", "dog")
    for name in ("piano", *(f"q{n}" for n in range(5))):
        (tmp_path / name).rmdir()
    assert "empty folders" not in from_tree(folder_tree(tmp_path)).about
