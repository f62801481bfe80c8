from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.decoding.decode import decode
from headstart.data.sources.load import load_dataset
from headstart.deploy.export.pictures import Pictures, folder_of, noise, rows_of
from headstart.errors import DataError


def test_a_folder_gives_its_readable_pictures_in_order(tmp_path: Path) -> None:
    for name in ("b/2.png", "a/1.png"):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(np.full((4, 5, 3), 7, np.uint8)).save(tmp_path / name)
    (tmp_path / "broken.jpg").write_bytes(b"x")
    found = folder_of(tmp_path)
    assert found.count == 2 and found.labels is None and found.read(0) == (tmp_path / "a" / "1.png").read_bytes()
    for place, words in ((tmp_path / "absent", "no such folder"), (tmp_path / "a" / "1.png", "no such folder")):
        with pytest.raises(DataError, match=words):
            folder_of(place)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no picture that can be read"):
        folder_of(tmp_path / "empty")


def test_a_part_is_evenly_spread_and_keeps_its_labels() -> None:
    given = Pictures("ten", 10, lambda k: bytes([k]), np.arange(10) * 2)
    some = given.first(4)
    assert list(some) == [b"\x00", b"\x03", b"\x06", b"\x09"]
    assert some.labels is not None and some.labels.tolist() == [0, 6, 12, 18] and some.what == "4 of ten"
    assert given.first(10) is given and given.first(99) is given


def test_noise_is_the_same_for_the_same_seed() -> None:
    np.testing.assert_array_equal(noise().read(3), noise().read(3))
    assert noise().count == 16 and not np.array_equal(noise(0).read(0), noise(1).read(0))


def test_rows_of_a_dataset_have_their_own_images_and_labels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    dataset = load_dataset({"images": images, "labels": ["b", "a", "b", "a", "b", "a"]})
    found = rows_of(dataset, np.array([4, 1]), "two")
    assert found.labels is not None and [dataset.classes[k] for k in found.labels] == ["b", "a"]
    np.testing.assert_array_equal(decode(found.read(1)), images[1])
