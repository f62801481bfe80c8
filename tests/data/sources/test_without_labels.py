from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from unlabelled_folder import draw_folder

from headstart.data.dataset import ChosenRows
from headstart.data.sources.without_labels import UNKNOWN, file_of, load_without_labels
from headstart.errors import DataError


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
    with pytest.raises(DataError, match="no such file or folder"):
        load_without_labels(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"/empty: no image in it$"):
        load_without_labels(tmp_path / "empty")
