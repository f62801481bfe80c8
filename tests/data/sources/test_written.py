from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.data.decoding.decode import View
from headstart.data.decoding.image_store import decode_images
from headstart.data.sources.load import load_dataset
from headstart.data.sources.written import written
from headstart.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 9, 7, 3), dtype=np.uint8)
LABELS = ["b", "a", "b", "a", "b", "a"]


def same(first: Any, second: Any) -> None:
    assert first.classes == second.classes and (first.labels == second.labels).all()
    view = View(6, 6)
    rows = range(len(first))
    np.testing.assert_array_equal(decode_images(first, view).batch(rows), decode_images(second, view).batch(rows))


@pytest.mark.parametrize("kind", ["array", "floats", "deep", "PIL", "paths", "mixed"])
def test_what_is_written_is_read_back(kind: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{row}.jpg" for row in range(6)]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)
    images = {
        "array": IMAGES,
        "floats": IMAGES / 255,
        "deep": IMAGES[..., 0].astype(np.uint16) << 4,
        "PIL": [Image.fromarray(image) for image in IMAGES],
        "paths": paths,
        "mixed": [*paths[:3], *IMAGES[3:]],
    }[kind]
    source = {"images": images, "labels": LABELS, "split": ["train", "val", "test"] * 2, "groups": list("aabbcc")}
    place = written(source, tmp_path / "out")
    again, direct = load_dataset(place), load_dataset(source)
    same(again, direct)
    assert again.given_split.tolist() == direct.given_split.tolist() and again.groups.tolist() == list("aabbcc")
    assert written(source, tmp_path / "out") == place and len(list((tmp_path / "out").iterdir())) == 1


def test_a_loaded_dataset_is_written_with_its_rows_and_several_labels(tmp_path: Path) -> None:
    many = np.eye(6, 2, dtype=bool) | np.array([True, False])
    data = load_dataset({"images": IMAGES, "labels": many, "classes": ["y", "x"]}).select([4, 1, 0])
    same(load_dataset(written(data, tmp_path)), data)


def test_what_cannot_be_read_is_left_out_when_it_is_loaded(tmp_path: Path) -> None:
    images = [*IMAGES, tmp_path / "absent.png", b"text"]
    data = load_dataset(written({"images": images, "labels": [*LABELS, "a", "b"]}, tmp_path))
    assert len(data) == 6 and [skip.reason for skip in data.skipped] == ["has zero bytes", "is not an image"]


def test_a_class_name_with_the_mark_between_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"class 'a\|b': '\|' separates several labels"):
        written({"images": IMAGES, "labels": ["a|b", "c"] * 3}, tmp_path)
