from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.data.dataset import Skip
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError


def parts(data: Any) -> dict[str, str]:
    return {data.reader.name(row): str(data.given_split[row]) for row in range(len(data))}


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


TRAIN = ("rose/0.png", "rose/1.png", "tulip/0.png")
TEST = ("rose/2.png", "tulip/1.png")


@pytest.mark.parametrize("where", ["flowers.splits", ".", "flowers"])
def test_lists_are_found_inside_beside_and_in_the_splits_folder(flowers: Path, where: str) -> None:
    write(flowers.parent / where / "train.txt", *TRAIN)
    write(flowers.parent / where / "test.txt", *TEST)
    data = load_dataset(flowers, lists=["train.txt", "test.txt"])
    assert parts(data) == dict.fromkeys(TRAIN, "train") | dict.fromkeys(TEST, "test")
    assert data.classes == ("rose", "tulip")
    assert data.about["not listed"] == "10 images that no list names were left out"


def test_lists_in_the_splits_folder_are_used_unasked(flowers: Path) -> None:
    write(flowers.parent / "flowers.splits" / "train.txt", *TRAIN)
    write(flowers.parent / "flowers.splits" / "val.txt", *TEST)
    assert set(parts(load_dataset(flowers)).values()) == {"train", "validation"}


def test_lines_with_a_number_a_leading_folder_or_no_suffix(flowers: Path) -> None:
    write(flowers.parent / "train.txt", "rose/0.png 12", "./rose/1.png", "flowers/tulip/0.png\t3", "tulip/1")
    assert set(parts(load_dataset(flowers, lists=["train.txt"]))) == {
        "rose/0.png",
        "rose/1.png",
        "tulip/0.png",
        "tulip/1.png",
    }


def test_names_with_blanks_and_numbers_at_the_end(flowers: Path, draw: Any) -> None:
    draw(flowers / "rose" / "a 1.png", 70)
    draw(flowers / "my tulip" / "写真 2.png", 71)
    write(flowers.parent / "train.txt", "rose/a 1.png", "my tulip/写真 2.png 7")
    assert set(parts(load_dataset(flowers, lists=["train.txt"]))) == {"rose/a 1.png", "my tulip/写真 2.png"}


def test_lines_that_name_nothing_are_skipped_and_listed(flowers: Path) -> None:
    (flowers / "rose" / "tmp").write_text("x")
    write(flowers.parent / "train.txt", *TRAIN, "rose/99.png", "rose/tmp")
    data = load_dataset(flowers, lists=["train.txt"])
    assert set(data.skipped) >= {Skip("rose/99.png", "is named in train.txt, but does not exist")}
    assert sorted(skip.name for skip in data.skipped) == ["rose/99.png", "rose/tmp"]
    with pytest.raises(DataError, match="drop strict"):
        load_dataset(flowers, lists=["train.txt"], strict=True)


def test_lists_of_which_nothing_is_there_are_refused(flowers: Path) -> None:
    write(flowers.parent / "train.txt", "oak/1.png", "oak/2.png")
    with pytest.raises(DataError, match="none of the 2 images that the lists name is here"):
        load_dataset(flowers, lists=["train.txt"])


def test_an_image_in_two_parts_is_refused(flowers: Path) -> None:
    write(flowers.parent / "train.txt", *TRAIN)
    write(flowers.parent / "test.txt", "rose/0.png")
    with pytest.raises(DataError, match=r"rose/0.png is in train.txt \(train\) and in test.txt \(test\)"):
        load_dataset(flowers, lists=["train.txt", "test.txt"])


def test_a_list_that_is_nowhere_is_refused_with_the_places(flowers: Path) -> None:
    with pytest.raises(DataError, match=r"list file 'train.txt' is in none of .*flowers.splits"):
        load_dataset(flowers, lists=["train.txt"])


def test_the_part_is_said_by_the_name_or_by_the_key(flowers: Path) -> None:
    write(flowers.parent / "split1.txt", *TRAIN)
    write(flowers.parent / "my_test_1.txt", *TEST)
    with pytest.raises(DataError, match="does not say whether it lists train, validation or test"):
        load_dataset(flowers, lists=["split1.txt"])
    data = load_dataset(flowers, lists={"train": "split1.txt", "test": "my_test_1.txt"})
    assert set(parts(data).values()) == {"train", "test"}
    assert set(parts(load_dataset(flowers, lists=["my_test_1.txt"])).values()) == {"test"}


def test_a_flat_folder_takes_its_labels_from_the_lists(tmp_path: Path, draw: Any) -> None:
    for seed in range(4):
        draw(tmp_path / "flat" / f"im {seed}.png", seed)
    write(tmp_path / "train.txt", "im 0.png oak", "im 1.png ash")
    write(tmp_path / "test.txt", "im 2.png,oak", "im 3.png\tash", "im 9.png ash")
    data = load_dataset(tmp_path / "flat", lists=["train.txt", "test.txt"])
    assert data.classes == ("ash", "oak") and data.labels.tolist() == [0, 0, 1, 1]
    assert [skip.name for skip in data.skipped] == ["im 9.png"]
    write(tmp_path / "train.txt", "im 0.png")
    with pytest.raises(DataError, match=r"'im 0.png' has no label"):
        load_dataset(tmp_path / "flat", lists=["train.txt"])
