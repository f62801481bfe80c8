from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from headstart.data.dataset import Dataset, Skip, Split
from headstart.data.decoding.decode import View
from headstart.data.sources.in_memory import PictureReader
from headstart.storage import arrow
from headstart.study.analysis.dataset_card import (
    THUMBNAIL,
    _decoded_preprocessing,
    _write_items,
    thumbnails,
    write_data,
)
from headstart.study.results.facts import write_facts
from tests.study.conftest import OpenStudy


def pictures_in(content: bytes) -> dict[int, Image.Image]:
    with np.load(io.BytesIO(content)) as file:
        rows, offsets, data = file["rows"], file["offsets"], file["data"].tobytes()
    assert offsets[0] == 0 and offsets[-1] == len(data) and len(offsets) == len(rows) + 1
    parts = zip(rows.tolist(), offsets[:-1], offsets[1:], strict=True)
    return {row: Image.open(io.BytesIO(data[start:stop])) for row, start, stop in parts}


def test_thumbnails_are_small_jpegs_of_the_rows_asked_for() -> None:
    images = np.zeros((5, 200, 400, 3), dtype=np.uint8)
    images[3] = 255
    found = pictures_in(thumbnails(images, np.array([3, 1])))
    assert list(found) == [3, 1]
    assert {(picture.format, picture.size) for picture in found.values()} == {("JPEG", (THUMBNAIL, THUMBNAIL // 2))}
    assert np.asarray(found[3]).mean() > 250 and np.asarray(found[1]).mean() < 5


def test_a_study_writes_facts_items_and_thumbnails_of_the_readable_test_images(open_study: OpenStudy) -> None:
    session = open_study({"pixels": {"backbone": "pixels", "strategy": "ridge"}})
    data = session.plan.tasks[0].run.data
    dataset, split = session.resources.dataset(data), session.resources.split(data, 0)
    broken = int(split.test[0])
    resources: Any = session.resources
    resources.bad_rows = lambda dataset: {broken: "cut off"}
    write_data(session, data, dataset, split)
    place = session.folder.data_folder(dataset.fingerprint)
    facts = json.loads((place / "dataset.json").read_text())
    assert (facts["n"], facts["classes"], facts["multi_label"]) == (42, ["blue", "green", "red"], False)
    assert facts["skipped"] == [{"name": dataset.reader.name(broken), "reason": "cut off"}]
    assert {part: sum(counts) for part, counts in facts["counts"].items()} == {
        part: len(getattr(split, part)) for part in ("train", "validation", "test")
    }
    items = pq.read_table(place / "items.parquet").to_pydict()
    assert items["label"] == dataset.labels.tolist() and items["row"] == list(range(42))
    assert items["name"][17] == dataset.reader.name(17)
    assert sorted(pictures_in((place / "thumbnails.npz").read_bytes())) == sorted(set(split.test.tolist()) - {broken})
    written = (place / "dataset.json").stat().st_ino
    write_data(session, data, dataset, split)
    assert (place / "dataset.json").stat().st_ino == written  # once
    write_facts(place / "dataset.json", {**facts, "key": "another dataset", "n": 7})  # intact, but of something else
    write_data(session, data, dataset, split)
    assert json.loads((place / "dataset.json").read_text()) == facts


def test_items_of_several_labels_show_the_first(tmp_path: Path) -> None:
    labels = np.array([[False, True], [True, True], [True, False]])
    images = np.zeros((3, 8, 8, 3), np.uint8)
    dataset = Dataset("d", PictureReader(images), labels, ("x", "y"), fingerprint="f", skipped=(Skip("a", "no"),))
    resources = SimpleNamespace(
        bad_rows=lambda dataset: {}, images=lambda data, preprocessing: images, bands=lambda data: None, decoded={}
    )
    folder = SimpleNamespace(data_folder=lambda fingerprint: tmp_path / fingerprint)
    split = Split(np.array([0]), np.array([], dtype=np.int64), np.array([1, 2]), "by hand", 0)
    data = SimpleNamespace(split=SimpleNamespace(fold=None))
    write_data(SimpleNamespace(resources=resources, folder=folder), data, dataset, split)  # type: ignore[arg-type]
    assert pq.read_table(tmp_path / "f" / "items.parquet").column("label").to_pylist() == [1, 0, 0]
    facts = json.loads((tmp_path / "f" / "dataset.json").read_text())
    assert facts["counts"] == {"train": [0, 1], "validation": [0, 0], "test": [2, 1]}
    assert facts["skipped"] == [{"name": "a", "reason": "no"}]


def test_thumbnails_come_from_the_largest_view_that_is_decoded() -> None:
    def chosen(*views: tuple[str, View]) -> tuple[int, int]:
        session: Any = SimpleNamespace(resources=SimpleNamespace(decoded=dict.fromkeys(views)))
        found = _decoded_preprocessing(session, SimpleNamespace(fingerprint="f"))  # type: ignore[arg-type]
        return found.size, found.resize

    views = [("f", View(32, 32)), ("f", View(256, 224)), ("f", View(512, None)), ("other", View(600, 600))]
    assert chosen(*views) == (224, 256)
    assert chosen(("other", View(600, 600))) == chosen() == (128, 128)


def test_arrow_is_not_called_without_memory_which_would_end_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise MemoryError

    monkeypatch.setattr(arrow, "check_room", none)
    monkeypatch.setattr("pyarrow.table", lambda columns: pytest.fail("Arrow was called"))
    reader = PictureReader(np.zeros((2, 4, 4), dtype=np.uint8))
    with pytest.raises(MemoryError):
        _write_items(tmp_path / "items.parquet", Dataset("two", reader, np.array([0, 1]), ("x", "y")))
    assert list(tmp_path.iterdir()) == []


def test_where_every_image_is_tested_in_turn_each_has_a_thumbnail(open_study: OpenStudy) -> None:
    session = open_study({"pixels": {"backbone": "pixels", "strategy": "ridge"}})
    given = session.plan.tasks[0].run.data
    dataset, split = session.resources.dataset(given), session.resources.split(given, 0)
    in_turn = given.split.model_copy(update={"folds": 3, "fold": "seed"})
    turned = given.model_copy(update={"split": in_turn})
    resources: Any = session.resources
    resources.images = lambda _, needs: np.zeros((len(dataset), 8, 8, 3), dtype=np.uint8)
    write_data(session, turned, dataset, split)
    place = session.folder.data_folder(dataset.fingerprint)
    assert sorted(pictures_in((place / "thumbnails.npz").read_bytes())) == list(range(len(dataset)))
