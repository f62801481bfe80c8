from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from unlabelled_folder import draw_folder

from headstart.data.decoding.decode import UndecodableError
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError, ModelError
from headstart.labelling.embeddings import embed, images_of
from headstart.storage.presence import since
from headstart.study.resources import Resources


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
