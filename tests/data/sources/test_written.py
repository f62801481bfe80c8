from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from headstart.data.class_names import normal_form
from headstart.data.decoding.decode import View
from headstart.data.decoding.image_store import decode_images
from headstart.data.sources import written as written_module
from headstart.data.sources.arrays import from_mapping
from headstart.data.sources.load import load_dataset
from headstart.data.sources.manifest import from_manifest
from headstart.data.sources.text_column import MISSING
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


names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="|"), min_size=1, max_size=6)
words = st.sampled_from(sorted(MISSING - {""})) | names.map(normal_form).filter(bool)


@settings(max_examples=40, deadline=None)
@given(st.lists(words, min_size=2, max_size=4, unique=True), st.lists(words, min_size=6, max_size=6), st.data())
def test_names_and_absent_labels_are_read_back_as_they_were(classes: list[str], groups: list[str], data: Any) -> None:
    several = data.draw(st.booleans())
    row = st.lists(st.booleans(), min_size=len(classes), max_size=len(classes)) if several else st.sampled_from(classes)
    labels: Any = data.draw(st.lists(row, min_size=6, max_size=6))
    source = {"images": IMAGES, "labels": np.array(labels) if several else labels, "groups": groups}
    first = from_mapping({**source, "classes": classes} if several else source)
    with tempfile.TemporaryDirectory() as folder:
        second = from_manifest(written(first, Path(folder)))
        used = first.counts() > 0
        assert second.classes == tuple(name for name, it in zip(first.classes, used, strict=True) if it)
        assert second.groups is not None and second.groups.tolist() == groups and not second.skipped
        assert np.array_equal(second.labels, first.labels[:, used] if several else first.labels)


def test_only_tables_of_this_program_are_read_literally(tmp_path: Path) -> None:
    place = written({"images": IMAGES, "labels": ["NA", "None", "nan"] * 2}, tmp_path)
    assert load_dataset(place).classes == ("NA", "None", "nan")
    pq.write_table(pq.read_table(place).replace_schema_metadata(None), tmp_path / "another.parquet")
    with pytest.raises(DataError, match="no row has a label"):
        load_dataset(tmp_path / "another.parquet")


def test_an_image_without_any_label_stays(tmp_path: Path) -> None:
    many = np.eye(6, 3, dtype=bool)
    data = load_dataset(written({"images": IMAGES, "labels": many, "classes": ["a", "b", "NULL"]}, tmp_path))
    assert len(data) == 6 and data.counts().tolist() == [1, 1, 1] and not data.labels[3:].any()


def test_images_are_written_in_groups_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (600, 4, 4, 3), dtype=np.uint8)
    source = {"images": pixels, "labels": ["a", "b"] * 300}
    place = written(source, tmp_path)
    facts = pq.ParquetFile(place).metadata
    assert [facts.row_group(group).num_rows for group in range(facts.num_row_groups)] == [256, 256, 88]
    same(load_dataset(place), load_dataset(source))
    other = pixels.copy()
    other[599, 0, 0, 0] ^= 1
    assert written({**source, "images": other}, tmp_path) != place
    monkeypatch.setattr(written_module, "_bytes", lambda *_: pytest.fail("is there already"))
    assert written(source, tmp_path) == place
