from __future__ import annotations

import errno
import io
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.sources.unlabelled import Unlabelled, find_images
from headstart.deploy.classifier import Prediction
from headstart.deploy.sorting import NO_CLASS, Sorter
from headstart.errors import DataError, SpecError

links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")


def picture(path: Path, grey: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), grey).save(path)
    return str(path)


def said(*labels: str) -> Prediction:
    return Prediction("x", "|".join(labels), 0.9, np.ones(2, np.float32), labels=labels)


def inside(root: Path) -> dict[str, int]:
    """Return the grey of each picture under a folder."""
    found = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        with Image.open(path) as opened:
            found[path.relative_to(root).as_posix()] = int(np.asarray(opened)[0, 0])
    return found


def sort(root: Path, pairs: list[tuple[Unlabelled, Prediction]], *classes: str, link: bool = False) -> None:
    sorter = Sorter(root, classes or ("ant", "bee"), link=link)
    for image, prediction in pairs:
        sorter.place(image, prediction)


def test_names_that_collide_get_numbers_and_nothing_is_overwritten(tmp_path: Path) -> None:
    paths = [picture(tmp_path / folder / "1.png", grey) for folder, grey in (("a", 10), ("b", 20), ("c", 20))]
    picture(tmp_path / "out" / "ant" / "1.png", 99)
    pairs = [(Unlabelled(path, path), said("ant")) for path in paths]
    expected = {"ant/1.png": 99, "ant/1-2.png": 10, "ant/1-3.png": 20, "ant/1-4.png": 20}
    for _ in range(2):  # sorting again finds the copies of the first time
        sort(tmp_path / "out", pairs)
        assert inside(tmp_path / "out") == expected


def test_unread_images_stay_and_several_labels_are_several_folders(tmp_path: Path) -> None:
    one = picture(tmp_path / "in" / "1.png", 10)
    failed = Prediction("x", "", float("nan"), np.zeros(2, np.float32), "is cut short")
    pairs = [(Unlabelled(one, one), each) for each in (failed, said("ant", "bee"), said())]
    sort(tmp_path / "out", pairs)
    assert inside(tmp_path / "out") == {"ant/1.png": 10, "bee/1.png": 10, f"{NO_CLASS}/1.png": 10}


def test_copies_keep_the_time_of_the_photograph(tmp_path: Path) -> None:
    one = picture(tmp_path / "1.png", 10)
    os.utime(one, (10**9, 10**9))
    sort(tmp_path / "out", [(Unlabelled(one, one), said("bee"))])
    assert (tmp_path / "out" / "bee" / "1.png").stat().st_mtime == 10**9


@links
def test_links_lead_to_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a" / "1.png", 10)
    picture(tmp_path / "b" / "1.png", 20)
    pairs = [(Unlabelled(path, path), said("ant")) for path in ("a/1.png", "b/1.png")]
    for _ in range(2):
        sort(Path("out"), pairs, link=True)
        made = sorted((tmp_path / "out" / "ant").iterdir())
        assert [path.name for path in made] == ["1-2.png", "1.png"]
        assert [path.readlink() for path in made] == [tmp_path / "b" / "1.png", tmp_path / "a" / "1.png"]


def test_members_of_archives_and_sent_images_are_written(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), 7).save(buffer, "PNG")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("deep/x\\evil.png", buffer.getvalue())
    images = [*find_images([tmp_path / "p.zip"]).images, Unlabelled("-", buffer.getvalue())]
    sort(tmp_path / "out", [(image, said("ant")) for image in images], link=True)
    assert inside(tmp_path / "out") == {"ant/evil.png": 7, "ant/standard input.png": 7}


CLASSES = ("a/b", "a\\b", "..", "Cat", "cat", "nul", "dot.", "ü" * 150, "ü" * 151, "no class", "", "a:b?")


def test_every_class_name_gives_a_folder_of_its_own_that_all_systems_take(tmp_path: Path) -> None:
    one = picture(tmp_path / "in" / "1.png", 10)
    predictions = [*map(said, CLASSES), said()]
    sort(tmp_path / "out", [(Unlabelled(one, one), each) for each in predictions], *CLASSES)
    folders = {path.name for path in (tmp_path / "out").iterdir()}
    assert len(folders) == len(CLASSES) + 1
    assert {"a_b", "a_b-2", "a_b_", "Cat", "cat-2", "_nul", "dot", "_", "_-2"} <= folders
    assert all(len(name.encode()) <= 220 and not set(name) & set('/\\:*?"<>|') for name in folders)
    assert not (tmp_path / "1.png").exists()


def test_a_folder_that_images_are_read_from_is_refused(tmp_path: Path) -> None:
    one = picture(tmp_path / "photos" / "ant" / "1.png", 10)
    root = tmp_path / "photos"
    for into, read in ((root, root), (root / "new", root), (root, root / "ant"), (root, one), (root / "ant", one)):
        with pytest.raises(SpecError, match="images are read from"):
            Sorter(into, ("ant", "bee")).check_apart(find_images([str(read)]))
    for into, read in ((tmp_path / "out", root), (tmp_path, root), (root, one), (tmp_path, one)):
        Sorter(into, ("wasp", "bee")).check_apart(find_images([str(read)]))


def test_an_image_that_cannot_be_read_any_more_is_named_and_the_target_is_not_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = Path(picture(tmp_path / "in" / "1.png", 10)), Path.read_bytes

    def refused(found: Path) -> bytes:
        if found == path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(found)

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(DataError, match=r"1\.png: can no longer be read \(Permission denied\)"):
        sort(tmp_path / "out", [(Unlabelled(str(path), str(path)), said("ant"))])
    assert not (tmp_path / "out").exists()
