from __future__ import annotations

import gc
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from headstart.data.dataset import Skip
from headstart.data.decoding.image_store import View, decode_images
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError
from headstart.storage.opening import default_store

FORMATS = {".zip": "zip", ".tar": "tar", ".tar.gz": "gztar", ".tar.bz2": "bztar", ".tar.xz": "xztar"}


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_archive_holds_what_the_folder_holds(flowers: Path, tmp_path: Path, suffix: str) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "packed"), FORMATS[suffix], flowers.parent, "flowers"))
    plain, packed = load_dataset(flowers), load_dataset(path)
    assert packed.fingerprint == plain.fingerprint
    assert packed.classes == plain.classes
    assert packed.reader.name(0) == "flowers/aster/0.png"
    np.testing.assert_array_equal(
        decode_images(packed, View(8, 8)).batch(range(15)), decode_images(plain, View(8, 8)).batch(range(15))
    )
    assert load_dataset(path).fingerprint == plain.fingerprint


def test_nothing_is_unpacked_beside_the_archive(flowers: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    shutil.make_archive(str(place / "packed"), "gztar", flowers.parent, "flowers")
    load_dataset(place / "packed.tar.gz")
    assert [path.name for path in place.iterdir()] == ["packed.tar.gz"]
    assert len(list(default_store().root.glob("archives/*/content.tar"))) == 1


def test_lists_work_on_an_archive_too(flowers: Path, tmp_path: Path) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", flowers))
    (tmp_path / "train.txt").write_text("rose/0.png\ntulip/0.png\n")
    (tmp_path / "test.txt").write_text("rose/1.png\n")
    data = load_dataset(path, lists=["train.txt", "test.txt"])
    assert len(data) == 3 and data.given_split is not None
    assert data.given_split.tolist() == ["train", "test", "train"]


def test_split_folders_in_an_archive(flowers: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for part in ("train", "test"):
            for name in ("rose", "tulip"):
                number = 0 if part == "train" else 1
                archive.write(flowers / name / f"{number}.png", f"top/{part}/{name}/{number}.png")
        archive.writestr("top/readme.txt", "hello")
        archive.writestr("__MACOSX/top/train/rose/._0.png", "debris")
    data = load_dataset(tmp_path / "s.zip")
    assert data.given_split is not None and sorted(data.given_split) == ["test", "test", "train", "train"]
    assert data.skipped == (Skip("top/readme.txt", "does not have the name of an image"),)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tgz"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is no archive" * 100)
    with pytest.raises(DataError, match=f"{name}: the archive cannot be read"):
        load_dataset(tmp_path / name)


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_archive_cut_short_is_refused_or_its_images_are_skipped(flowers: Path, tmp_path: Path, suffix: str) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "packed"), FORMATS[suffix], flowers))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    try:
        assert len(load_dataset(path)) < 15
    except DataError as error:
        assert "packed" in str(error) and "\n" not in str(error)


def test_a_damaged_member_is_skipped_and_listed(flowers: Path, tmp_path: Path) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", flowers))
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("rose/3.png")
    with path.open("r+b") as file:
        file.seek(info.header_offset + 30 + len("rose/3.png") + 40)
        file.write(bytes(50))
    (skip,) = load_dataset(path).skipped
    assert skip.name == "rose/3.png" and "cannot be read" in skip.reason


def test_links_in_a_tar_are_no_images(flowers: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(flowers, ".")
        link = tarfile.TarInfo("rose/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert len(load_dataset(tmp_path / "x.tar")) == 15


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_compressed_archive_damaged_in_the_middle_is_refused(flowers: Path, tmp_path: Path, suffix: str) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "packed"), FORMATS[suffix], flowers))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 60] = bytes(range(60))
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"the archive cannot be read"):
        load_dataset(path)
    assert not list(default_store().root.glob("archives/*/manifest.json"))


def test_a_decompressed_archive_is_not_pruned_while_somebody_reads_it(flowers: Path, tmp_path: Path) -> None:
    store = default_store()
    packed = load_dataset(shutil.make_archive(str(tmp_path / "packed"), "gztar", flowers))
    copy = pickle.loads(pickle.dumps(packed))
    for reader in (packed.reader, copy.reader):
        store.prune(0)
        assert reader.read(0) == (flowers / reader.name(0).split("flowers/")[-1]).read_bytes()
    del packed, copy, reader
    gc.collect()
    assert store.prune(0) > 0 and not list(store.root.glob("archives/*/content.tar"))
