from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from multispectral import scene, write_folder, write_tiff
from unlabelled_folder import draw_folder

from headstart.data.decoding.decode import UndecodableError
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError, ModelError
from headstart.labelling.embeddings import embed, images_of
from headstart.storage.presence import since
from headstart.storage.store import Store
from headstart.study.resources import Resources
from headstart.study.spec.network import NetworkSpec
from headstart.study.spec.schema import DataSpec, WeightsSpec


def test_vectors_are_those_of_the_network_for_images_with_and_without_labels(tmp_path: Path) -> None:
    flat = draw_folder(tmp_path / "flat", 2)
    for path in flat.iterdir():
        place = tmp_path / "classes" / path.name.partition("-")[0] / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    plain = embed(flat, backbone="lenet5", weights="none")
    sorted_ = embed(tmp_path / "classes", backbone="lenet5", weights="none")
    assert plain.labels is None and sorted_.labels == ["blue", "blue", "green", "green", "red", "red"]
    assert plain.names[0] == "blue-000.png" and sorted_.names[0] == "blue/blue-000.png"
    assert np.array_equal(plain.vectors, sorted_.vectors) and plain.vectors.dtype == np.float32
    assert len(plain) == 6 and plain.network == "lenet5" and plain.weights == "random (seed 0)"
    assert np.allclose(plain.of(flat / "red-001.png"), plain.vectors[5], atol=1e-5)
    assert np.allclose(plain.of((flat / "red-001.png").read_bytes()), plain.vectors[5], atol=1e-5)
    with pytest.raises(UndecodableError):
        plain.of(b"no image")


def test_a_source_that_is_no_dataset_is_read_without_labels_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = draw_folder(tmp_path / "flat", 1)
    assert images_of(flat).classes == ()
    assert "read without labels: " in capsys.readouterr().err
    assert len(images_of(f"{flat}/*.png")) == 3
    with pytest.raises(DataError, match="a label can be chosen only"):
        images_of(flat, "colour")  # a label was asked for
    with pytest.raises(DataError, match="no dataset, file or folder 'no-such-name'"):
        images_of("no-such-name")
    dataset = load_dataset(
        {"images": [np.zeros((8, 8, 3), np.uint8), np.ones((8, 8, 3), np.uint8)], "labels": ["a", "b"]}
    )
    assert images_of(dataset) is dataset


def test_an_unknown_network_is_refused_before_the_images_are_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="resnet1800"):
        embed(tmp_path / "absent", backbone="resnet1800")


def test_the_cache_is_in_use_while_images_are_embedded(
    monkeypatch: pytest.MonkeyPatch, own_store: Path, tmp_path: Path
) -> None:
    flat = draw_folder(tmp_path / "flat", 1)
    seen: list[float | None] = []
    real = Resources.features_of
    monkeypatch.setattr(Resources, "features_of", lambda *given: (seen.append(since(own_store)), real(*given))[1])
    embed(flat, backbone="lenet5", weights="none")
    assert seen[0] is not None and since(own_store) is None


def test_vectors_of_bands_are_the_features_that_compare_takes(own_store: Path, tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    folder = write_folder(tmp_path / "s2", 6)
    found = embed(folder, backbone="small_cnn", weights="none", bands=["B08", 3, 2], show=[3])
    assert found.bands is not None and found.bands.choice.names == ("B08", "B04", "B03")
    data = DataSpec(source=str(folder), bands=[7, 3, 2], show=[3])
    network = NetworkSpec("small_cnn", WeightsSpec(name="none"), data=data)
    studied = Resources(Store(own_store), "cpu")
    assert studied.bands(data) == found.bands
    (stored,) = (own_store / "features").iterdir()
    assert stored.name == studied.features_key(data, network, 0)
    assert np.array_equal(studied.features(data, network, 0).reshape(18, -1), found.vectors)
    assert np.allclose(found.of(folder / "water" / "water001.tif"), found.vectors[13], atol=1e-5)
    assert np.allclose(found.of(scene(2, 1).astype(np.float32)), found.vectors[13], atol=1e-5)
    write_tiff(tmp_path / "four.tif", scene(0, 0)[:, :, :4])
    with pytest.raises(UndecodableError, match="has 4 bands where 13 are needed"):
        found.of(tmp_path / "four.tif")


def test_a_dataset_keeps_the_bands_in_which_it_was_read(own_store: Path, tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    folder = write_folder(tmp_path / "s2", 2)
    dataset = load_dataset(folder, bands=["B08"])
    assert embed(dataset, backbone="small_cnn", weights="none").vectors.shape[0] == 6
    assert images_of(folder, bands="all").bands == load_dataset(folder, bands="all").bands
    assert images_of(f"{folder}/*/*.tif", bands=[0]).bands is not None  # a glob has no labels
    with pytest.raises(DataError, match="s2: is read already; give the bands to load_dataset"):
        embed(dataset, bands="all")
    with pytest.raises(DataError, match="show says how bands are shown, and none are read; give bands, too"):
        images_of(f"{folder}/*/*.tif", show=[0])
