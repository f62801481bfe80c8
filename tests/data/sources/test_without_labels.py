from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from unlabelled_folder import draw_folder

from headstart.data.dataset import ChosenRows
from headstart.data.sources.load import load_dataset
from headstart.data.sources.without_labels import UNKNOWN, file_of, load_without_labels
from headstart.errors import DataError
from tests.support.multispectral import BANDS, scene, write_folder, write_tiff


def test_a_folder_is_searched_to_any_depth_and_what_is_no_image_is_counted(tmp_path: Path) -> None:
    draw_folder(tmp_path / "photos", each=2)
    draw_folder(tmp_path / "photos" / "deep" / "er", each=1)
    (tmp_path / "photos" / "notes.txt").write_text("hello")
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    found = load_without_labels(tmp_path / "photos")
    assert len(found) == 9 and found.classes == () and (found.labels == UNKNOWN).all()
    assert [found.reader.name(row) for row in range(3)] == ["blue-000.png", "blue-001.png", "deep/er/blue-000.png"]
    reasons = {skip.name: skip.reason for skip in found.skipped}
    assert set(reasons) == {"*.txt", "broken.png"}
    assert found.name == "photos" and len(found.fingerprint) == 32


def test_equal_images_have_equal_digests_and_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    one, two = draw_folder(tmp_path / "one", each=1), draw_folder(tmp_path / "two", each=1)
    first, second = load_without_labels(one), load_without_labels(two)
    assert first.digests is not None and second.digests is not None
    assert (first.digests == second.digests).all() and first.fingerprint == second.fingerprint
    (two / "red-000.png").write_bytes((two / "blue-000.png").read_bytes())
    assert load_without_labels(two).fingerprint != first.fingerprint


def test_an_archive_is_read_and_its_members_have_no_file(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", each=1)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    inside, outside = load_without_labels(tmp_path / "photos.zip"), load_without_labels(folder)
    assert [inside.reader.read(row) for row in range(3)] == [outside.reader.read(row) for row in range(3)]
    assert inside.digests is not None and (inside.digests == outside.digests).all()
    assert file_of(inside.reader, 0) is None
    assert file_of(ChosenRows(outside.reader, np.array([2, 0])), 0) == folder / "red-000.png"


def test_a_place_without_a_usable_image_is_refused_with_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"no usable image: .*1 "):
        load_without_labels(tmp_path)
    with pytest.raises(DataError, match=r"/absent: no such file or folder$"):
        load_without_labels(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"/empty: no image in it$"):
        load_without_labels(tmp_path / "empty")


def test_images_are_read_in_the_bands_of_others_whatever_most_of_them_are(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    labelled = load_dataset(write_folder(tmp_path / "s2", 2), bands=["B08", "B04"], show=["B04"])
    more = tmp_path / "more"
    more.mkdir()
    write_tiff(more / "named.tif", scene(0, 7), BANDS)
    write_tiff(more / "plain.tif", scene(1, 7))  # bands without names are matched by their place
    for number in range(4):
        write_tiff(more / f"four{number}.tif", scene(2, number)[:, :, :4])
    write_tiff(more / "swapped.tif", scene(0, 8), BANDS[::-1])
    write_tiff(more / "floats.tif", scene(0, 8).astype(np.float32), BANDS)
    found = load_without_labels(more, like=labelled.bands)
    assert [found.reader.name(row) for row in range(len(found))] == ["named.tif", "plain.tif"]
    assert found.bands == labelled.bands and found.bands is not None and found.bands.indices == (7, 3)
    reasons = {skip.name: skip.reason for skip in found.skipped}
    assert reasons["four0.tif"] == "has 4 bands where 13 are needed"
    assert reasons["swapped.tif"] == "has B06 as band 7 where B08 is needed"
    assert reasons["floats.tif"] == "has numbers of float32 where uint16 are needed" and len(reasons) == 6
    assert len(load_without_labels(more, bands="all")) == 4  # by themselves, most are of four bands
