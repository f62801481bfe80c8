from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tuning_subject import network

from headstart.data.dataset import Dataset
from headstart.data.decoding.digests import digest_of
from headstart.data.sources.in_memory import PictureReader
from headstart.errors import DataError
from headstart.models.backbone import Backbone
from headstart.models.preprocessing import as_tensor, normalise
from headstart.storage.store import Store, cache_root
from headstart.transfer.frozen import feature_index
from headstart.transfer.frozen.feature_index import _Index, features_of
from headstart.transfer.frozen.features import KIND

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), np.uint8)


def dataset(*rows: int) -> Dataset:
    chosen = list(rows)
    digests = np.array([digest_of(PIXELS[row]).encode() for row in chosen])
    return Dataset("d", PictureReader(PIXELS[chosen]), np.zeros(len(chosen), np.int64), ("x", "y"), digests=digests)


@pytest.fixture
def backbone() -> Backbone:
    return network().bare().eval()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect how many images the network is run on, each time."""
    seen: list[int] = []
    plain = feature_index.extract

    def extract(images: np.ndarray, *rest: object, **how: object) -> np.ndarray:
        seen.append(len(images))
        return plain(images, *rest, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(feature_index, "extract", extract)
    return seen


def test_each_image_has_its_own_features_whatever_it_was_computed_with(
    backbone: Backbone, computed: list[int], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    with torch.no_grad():
        expected = backbone(normalise(as_tensor(PIXELS), backbone.preprocessing)).flatten(1).numpy()
    for rows, more in [((3, 1, 4), 3), ((4, 3), 0), ((1, 5, 3, 8), 2), ((0, 0, 8, 0), 1), ((5, 1), 0)]:
        before = len(computed)
        found = features_of(dataset(*rows), backbone, "cpu", store)
        assert found.dtype == np.float32 and np.allclose(found, expected[list(rows)], atol=1e-4), rows
        assert computed[before:] == ([more] if more else []), rows


def test_another_network_or_view_has_features_of_its_own(
    backbone: Backbone, computed: list[int], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    first = features_of(dataset(0, 1), backbone, "cpu", store)
    other = network(seed=1).bare().eval()
    assert not np.allclose(features_of(dataset(0, 1), other, "cpu", store), first)
    other.preprocessing = replace(other.preprocessing, resize=20)
    features_of(dataset(0, 1), other, "cpu", store)
    assert computed == [2, 2, 2]


def test_features_that_were_pruned_are_computed_again(backbone: Backbone, computed: list[int], tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = features_of(dataset(0, 1), backbone, "cpu", store)
    for entry in store.entries():
        if entry["kind"] == KIND:
            store.remove(KIND, entry["key"])
    assert np.array_equal(features_of(dataset(0, 1), backbone, "cpu", store), first) and computed == [2, 2]


def test_an_image_that_cannot_be_decoded_is_named(backbone: Backbone, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    reader = PictureReader([PIXELS[0], str(tmp_path / "bad.png")])
    digests = np.array([digest_of(reader.read(row)).encode() for row in (0, 1)])
    broken = Dataset("d", reader, np.zeros(2, np.int64), ("x", "y"), digests=digests)
    with pytest.raises(DataError, match=r"image .*bad\.png: "):
        features_of(broken, backbone, "cpu", Store(tmp_path / "store"))


def test_the_index_keeps_the_newest_place_of_more_images_than_one_question_holds(tmp_path: Path) -> None:
    places = {f"image {k}": ("entry", k) for k in range(2 * feature_index._QUERY + 3)}
    with _Index(tmp_path / "deep" / "index.sqlite") as index:
        index.add("network", places)
        index.add("network", {"image 7": ("newer", 0)})
        assert index.find("other", set(places)) == {}
    with _Index(tmp_path / "deep" / "index.sqlite") as index:
        assert index.find("network", {*places, "unknown"}) == {**places, "image 7": ("newer", 0)}
    assert sqlite3.connect(tmp_path / "deep" / "index.sqlite").execute("SELECT count(*) FROM places").fetchone() == (
        len(places),
    )


def test_without_a_place_for_the_index_features_are_computed_each_time(
    backbone: Backbone, computed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
    assert cache_root() == tmp_path / "file"
    with _Index(cache_root() / "features.sqlite") as index:
        index.add("network", {"image": ("entry", 0)})
        assert index.find("network", {"image"}) == {}
    store = Store(tmp_path / "store")
    features = [features_of(dataset(0, 1), backbone, "cpu", store) for _ in range(2)]
    assert np.array_equal(*features)
