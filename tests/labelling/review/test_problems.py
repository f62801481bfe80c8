from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from reviewed_folder import CLASSES, draw_classes, vectors_of

from headstart.data.dataset import Dataset
from headstart.data.sources.load import load_dataset
from headstart.labelling.review.problems import KINDS, find_problems
from headstart.storage.opening import default_store


def planted(tmp_path: Path) -> Dataset:
    """Return 36 images with an equal file in two classes, a re-encoded copy, a wrong label and a black image."""
    folder = draw_classes(tmp_path / "p", 12, side=80)
    shutil.copy(folder / "blue" / "00.png", folder / "green" / "copy.png")
    with Image.open(folder / "red" / "01.png") as image:
        image.save(folder / "red" / "again.jpg", quality=97)
    Image.new("RGB", (80, 80), (2, 2, 2)).save(folder / "red" / "black.png")
    return load_dataset(folder)


def test_what_is_planted_is_found_with_a_proposal(tmp_path: Path) -> None:
    dataset = planted(tmp_path)
    names = [dataset.reader.name(row) for row in range(len(dataset))]
    truth = {"green/copy.png": "blue", "green/05.png": "red"}
    problems = find_problems(dataset, vectors_of(names, truth), default_store())
    found = {each.kind: [] for each in problems}  # type: dict[str, list[set[str]]]
    for each in problems:
        found[each.kind].append({names[row] for row in each.rows})
    assert [{"blue/00.png", "green/copy.png"}, {"red/01.png", "red/again.jpg"}] == found["duplicate"]
    assert "labels differ" in problems[[each.kind for each in problems].index("duplicate")].words
    assert {"green/05.png"} in found["label"] and found["blank"] == [{"red/black.png"}]
    label = next(each for each in problems if each.kind == "label" and names[each.rows[0]] == "green/05.png")
    assert label.proposed == "red" and label.words.startswith("labelled green (") and label.marked == label.rows
    order = [list(KINDS).index(each.kind) for each in problems]
    assert order == sorted(order)


def test_of_copies_with_different_labels_the_likelier_label_is_kept(tmp_path: Path) -> None:
    folder = draw_classes(tmp_path / "p", 12, side=80)
    shutil.copy(folder / "blue" / "00.png", folder / "green" / "copy.png")
    shutil.copy(
        folder / "red" / "02.png", folder / "blue" / "another.png"
    )  # before the right one in the folder's order
    dataset = load_dataset(folder)
    names = [dataset.reader.name(row) for row in range(len(dataset))]
    truth = {"green/copy.png": "blue", "blue/another.png": "red"}
    problems = find_problems(dataset, vectors_of(names, truth), default_store())
    copies = {tuple(names[row] for row in each.marked): each.words for each in problems if each.kind == "duplicate"}
    assert copies == {
        ("green/copy.png",): "equal files, labels differ: blue is likelier",
        ("blue/another.png",): "equal files, labels differ: red is likelier",
    }


def test_of_copies_in_a_class_of_too_few_images_to_judge_no_label_is_called_likelier(tmp_path: Path) -> None:
    folder = draw_classes(tmp_path / "p", 12, side=80)
    for path in sorted((folder / "blue").iterdir())[4:]:
        path.unlink()
    shutil.copy(folder / "blue" / "00.png", folder / "red" / "copy.png")
    dataset = load_dataset(folder)
    names = [dataset.reader.name(row) for row in range(len(dataset))]
    problems = find_problems(dataset, vectors_of(names, {"blue/00.png": "red"}), default_store())
    (copies,) = (each for each in problems if each.kind == "duplicate")
    assert copies.words == "equal files, labels differ"
    assert [names[row] for row in copies.marked] == ["red/copy.png"]


def test_copies_across_a_split_are_leaks_and_the_training_copy_is_marked(tmp_path: Path) -> None:
    folder = draw_classes(tmp_path / "all", 12, side=80)
    for name in CLASSES:
        for number in range(12):
            part = "test" if number < 4 else "train"
            place = tmp_path / "p" / part / name / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name / f"{number:02d}.png", place)
    shutil.copy(tmp_path / "p" / "test" / "red" / "1.png", tmp_path / "p" / "train" / "red" / "again.png")
    dataset = load_dataset(tmp_path / "p")
    names = [dataset.reader.name(row) for row in range(len(dataset))]
    vectors = vectors_of([name.partition("/")[2] for name in names], {}, spread=0.2)
    burst = [names.index("test/blue/0.png"), names.index("train/blue/5.png")]
    vectors[burst[1]] = vectors[burst[0]]
    problems = find_problems(dataset, vectors, default_store())
    (leak,) = (each for each in problems if each.kind == "leak")
    assert [names[row] for row in leak.marked] == ["train/red/again.png"]
    assert leak.words == "equal files, in test and train"
    groups = [each for each in problems if each.kind == "group"]
    assert set(burst) <= set(groups[0].rows) and "in test and train" in groups[0].words
    assert all(names[row].startswith("train/") for each in groups for row in each.marked)
    assert np.all([len({names[row].split("/")[0] for row in each.rows}) == 2 for each in groups])
