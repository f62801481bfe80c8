from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from headstart.data.decoding.image_store import View, decode_images
from headstart.data.sources.arrays import from_mapping
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)


def test_images_and_labels_from_python() -> None:
    data = load_dataset({"images": IMAGES, "labels": ["b", "a", "b", "a", "b", "a"]})
    assert data.classes == ("a", "b") and data.labels.tolist() == [1, 0, 1, 0, 1, 0]
    np.testing.assert_array_equal(decode_images(data, View(4, None))[2], IMAGES[2])


def test_numbers_index_the_class_names_which_are_sorted() -> None:
    data = load_dataset({"images": IMAGES, "labels": np.arange(6) % 3, "classes": ["z", "y", "x"]})
    assert data.classes == ("x", "y", "z")
    assert [data.classes[label] for label in data.labels] == ["z", "y", "x"] * 2


def test_grey_images_and_images_of_several_sizes_and_pil_images() -> None:
    assert len(decode_images(load_dataset({"images": IMAGES[..., 0], "labels": [0, 1] * 3}), View(4, 4))) == 6
    mixed = [IMAGES[0], IMAGES[1][:3], Image.fromarray(IMAGES[2]).convert("L")]
    data = load_dataset({"images": mixed, "labels": [0, 1, 0]})
    assert decode_images(data, View(4, 4)).batch([0, 1, 2]).shape == (3, 4, 4, 3)


def test_the_same_images_as_floats_tensors_bytes_and_paths(tmp_path: Path) -> None:
    labels = ["b", "a", "b", "a", "b", "a"]
    paths = [tmp_path / f"{row}.png" for row in range(6)]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)
    for images in (
        IMAGES.astype(np.float32) / 255,
        torch.from_numpy(IMAGES).permute(0, 3, 1, 2),
        paths,
        [str(path) for path in paths],
        [path.read_bytes() for path in paths],
        [Image.open(path) for path in paths],
    ):
        data = load_dataset({"images": images, "labels": labels})
        np.testing.assert_array_equal(decode_images(data, View(4, 4)).batch(range(6)), IMAGES[:, :4, :])
    assert load_dataset({"images": paths, "labels": labels}).reader.name(3) == str(paths[3])


def test_what_cannot_be_read_is_left_out_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("text")
    images = [*IMAGES, tmp_path / "text.png", tmp_path / "absent.png", b""]
    data = load_dataset({"images": images, "labels": [0, 1] * 3 + [0, 1, 0]})
    reasons = [skip.reason for skip in data.skipped]
    assert len(data) == 6 and reasons == ["is not an image", "does not exist", "has zero bytes"]


def test_split_groups_and_several_labels() -> None:
    data = load_dataset(
        {
            "images": IMAGES,
            "labels": np.eye(6, 2, dtype=bool) | np.array([True, False]),
            "classes": ["y", "x"],
            "split": ["train", "val", "test"] * 2,
            "groups": [1, 1, 2, 2, 3, 3],
        }
    )
    assert data.multi_label and data.classes == ("x", "y")
    assert data.labels[:3].tolist() == [[False, True], [True, True], [False, True]]
    assert data.given_split is not None and data.given_split[1] == "validation"
    assert data.groups is not None and data.groups.tolist() == ["1", "1", "2", "2", "3", "3"]


def test_the_fingerprint_depends_on_the_pixels() -> None:
    labels = [0, 1] * 3
    first = load_dataset({"images": IMAGES, "labels": labels}).fingerprint
    assert load_dataset({"images": IMAGES.copy(), "labels": labels}).fingerprint == first
    assert load_dataset({"images": IMAGES + 1, "labels": labels}).fingerprint != first


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"images": IMAGES}, "needs 'images' and 'labels'"),
        ({"images": IMAGES, "label": [0] * 6}, "unknown key of a dataset from arrays 'label'; did you mean 'labels'"),
        ({"images": IMAGES, "labels": [0, 1]}, "6 images, but 2 labels"),
        ({"images": IMAGES[..., :2], "labels": [0, 1] * 3}, "image 0: .*neither 1, 3 nor 4 channels"),
        ({"images": [IMAGES[0], 7], "labels": [0, 1]}, "image 1: int 7 is not an image; an image is a path"),
        (
            {"images": IMAGES, "labels": [0, 5] * 3, "classes": ["a", "b"]},
            "label 5 of image 1 is not an index into 2 classes",
        ),
        ({"images": IMAGES, "labels": [0, 1] * 3, "split": ["foo"] * 6}, "unknown part of a split 'foo'"),
        ({"images": IMAGES[:0], "labels": []}, "no images"),
        ({"images": IMAGES, "labels": ["a"] * 6}, "only one class"),
    ],
)
def test_arrays_that_do_not_fit_together(source: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_dataset(source)


@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan"), pandas.NA])
def test_a_missing_label_is_no_class_and_a_text_is_one(missing: Any) -> None:
    for labels in (["a", missing, "b", "a"], pandas.Series(["a", missing, "b", "a"])):
        found = from_mapping({"images": IMAGES[:4], "labels": labels})
        assert found.classes == ("a", "b") and found.labels.tolist() == [0, 1, 0]
        assert [skip.reason for skip in found.skipped] == ["has no label"]
    with pytest.raises(DataError, match="no image has a label"):
        from_mapping({"images": IMAGES[:2], "labels": [missing, missing]})
    assert from_mapping({"images": IMAGES[:2], "labels": ["nan", "None"]}).classes == ("None", "nan")


@pytest.mark.parametrize("key", ["labels", "classes", "split", "groups"])
@pytest.mark.parametrize("value", [3, "abcabc", {"a": 1}, {1, 2}, np.array(1), iter("abcabc")])
def test_what_is_no_list_is_named(key: str, value: Any) -> None:
    with pytest.raises(DataError, match=f"{key} are a list or an array, not {type(value).__name__} "):
        load_dataset({"images": IMAGES, "labels": [0, 1] * 3, key: value})


def test_names_in_bytes_are_names() -> None:
    assert load_dataset({"images": IMAGES, "labels": np.array(["a", "b"] * 3, dtype="S1")}).classes == ("a", "b")
