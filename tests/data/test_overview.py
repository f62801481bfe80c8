from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.data.dataset import Dataset, Skip
from headstart.data.overview import given_by, overview, split_words
from headstart.data.readers import FileReader
from headstart.data.sources.layout import NOT_AN_IMAGE
from headstart.data.splits import make_split


def dataset(counts: list[int], classes: str = "abcdefg", **more: object) -> Dataset:
    labels = np.repeat(np.arange(len(counts)), counts)
    files = [f"{n}.png" for n in range(len(labels))]
    reader = FileReader(Path("x"), files)
    return Dataset("photos", reader, labels, tuple(classes[: len(counts)]), **more)  # type: ignore[arg-type]


def test_images_classes_and_the_smallest_are_told() -> None:
    assert overview(dataset([4, 2, 3]), "none") == [
        "photos: 9 images, 3 classes: a, b, c; the smallest is b with 2, the largest has 4",
        "split: none",
    ]
    assert overview(dataset([2] * 7), "none")[0] == (
        "photos: 14 images, 7 classes: a, b, c, d, e and 2 more; 2 images of each"
    )


def test_several_labels_of_an_image_are_told() -> None:
    found = dataset([2])
    many = Dataset("many", found.reader, np.array([[True, True], [False, True]]), ("a", "b"))
    assert overview(many, "none")[0] == (
        "many: 2 images, 2 labels, several per image: a, b; the smallest is a with 1, the largest has 2"
    )


def test_what_was_left_out_is_told_by_reason_with_counts() -> None:
    skips = [Skip(name, NOT_AN_IMAGE) for name in ("a/1.HEIC", "a/2.heic", "notes.txt", "LICENSE")]
    skips += [Skip("b/1.png", "has zero bytes"), Skip("b/2.png", "is not an image"), Skip("b/3.png", "has zero bytes")]
    skips += [Skip(f"c/{n}.png", f"reason {n}") for n in range(5)]
    about = {"source": "x", "repeats": "3 rows repeat", "depth": "2 of 16 bits"}
    assert overview(dataset([1, 1], skipped=tuple(skips), about=about), "none")[2:] == [
        "left out: files that are not images by their names (2 .heic, 1 .txt, 1 without a suffix);"
        " 2 with zero bytes, 1 not an image, 1 reason 0, 1 reason 1, 1 reason 2, 2 for other reasons; 3 rows repeat",
        "depth: 2 of 16 bits",
    ]


@pytest.mark.parametrize(
    ("about", "given"), [({"split": "given by column 'fold'"}, "given by column 'fold'"), ({}, "given with the images")]
)
def test_the_split_is_told_with_where_it_comes_from(about: dict[str, str], given: str) -> None:
    parts = np.array(["train"] * 6 + ["test"] * 2)
    found = dataset([4, 4], given_split=parts, about=about)
    split = make_split(found, validation=0.5)
    assert given_by(found) == given
    assert split_words(found, split) == f"{given}; validation 50 % of the rest (seed 0): 3 train, 3 validation, 2 test"


def test_a_split_that_is_drawn_says_so() -> None:
    found = dataset([10, 10])
    words = split_words(found, make_split(found))
    assert words == "test 20 % (seed 0); validation 20 % of the rest (seed 0): 13 train, 3 validation, 4 test"
    assert given_by(found) == "none is given"


def test_classes_without_training_images_are_told_before_any_work() -> None:
    given = np.array(["train", "train", "test", "test", "validation"])
    found = dataset([2, 1, 1, 1], given_split=given)
    said = "no training images: b, c, d; no model can learn these; give the parts the same class names"
    assert overview(found, "given")[-1] == said
    assert not any("no training" in line for line in overview(replace(found, given_split=np.array([""] * 5)), "none"))
    alike = np.array(["train", "test", "train", "train", "train"])
    assert not any("no training" in line for line in overview(replace(found, given_split=alike), "given"))
