from __future__ import annotations

import functools
import hashlib
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headstart.data.sources import published
from headstart.data.sources.download import download
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADSTART_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("HEADSTART_DATA", raising=False)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def rows(data: Any) -> dict[str, tuple[str, str]]:
    return {
        data.reader.name(row): (data.classes[int(data.labels[row])], str(data.given_split[row]))
        for row in range(len(data))
    }


def make_cub(top: Path, draw: Any) -> None:
    for seed, name in enumerate(("001.Crow/a.png", "001.Crow/b.png", "002.Tern/c.png")):
        draw(top / "images" / name, seed)
    (top / "images.txt").write_text("1 001.Crow/a.png\n2 001.Crow/b.png\n3 002.Tern/c.png\n")
    (top / "image_class_labels.txt").write_text("1 1\n2 1\n3 2\n")
    (top / "classes.txt").write_text("1 001.Crow\n2 002.Tern\n")
    (top / "train_test_split.txt").write_text("1 1\n2 0\n3 1\n")


CUB = {
    "images/001.Crow/a.png": ("001.Crow", "train"),
    "images/001.Crow/b.png": ("001.Crow", "test"),
    "images/002.Tern/c.png": ("002.Tern", "train"),
}


def test_cub_links_images_classes_and_parts_by_number(place: Path, draw: Any) -> None:
    make_cub(place / "CUB_200_2011", draw)
    assert rows(load_dataset("cub200")) == CUB


def test_cub_is_read_from_its_archive(place: Path, draw: Any) -> None:
    make_cub(place / "x" / "CUB_200_2011", draw)
    shutil.make_archive(str(place / "CUB_200_2011"), "gztar", place / "x", "CUB_200_2011")
    (place / "CUB_200_2011.tar.gz").rename(place / "CUB_200_2011.tgz")
    assert rows(load_dataset("cub200")) == {f"CUB_200_2011/{name}": row for name, row in CUB.items()}


def test_tiny_imagenet_takes_train_and_val_with_their_labels(place: Path, draw: Any) -> None:
    top = place / "tiny-imagenet-200"
    for seed, name in enumerate(
        ("train/n01/images/n01_0", "train/n02/images/n02_0", "val/images/val_0", "test/images/t_0")
    ):
        draw(top / f"{name}.png", seed)
    (top / "wnids.txt").write_text("n02\nn01\n")
    (top / "val" / "val_annotations.txt").write_text("val_0.png\tn02\t0\t0\t62\t62\n")
    assert rows(load_dataset("tiny_imagenet")) == {
        "train/n01/images/n01_0.png": ("n01", "train"),
        "train/n02/images/n02_0.png": ("n02", "train"),
        "val/images/val_0.png": ("n02", "validation"),
    }


TRAIN, VALIDATION, TEST = "n01532829", "n01855672", "n01930112"


@pytest.mark.parametrize("layout", ["folders", "parts", "flat"])
def test_mini_imagenet_is_divided_by_class_in_each_of_its_layouts(place: Path, draw: Any, layout: str) -> None:
    for seed, (wnid, part) in enumerate(((TRAIN, "train"), (VALIDATION, "val"), (TEST, "test"))):
        name = {
            "folders": f"{wnid}/{wnid}_12.png",
            "parts": f"{part}/{wnid}/{wnid}_12.png",
            "flat": f"images/{wnid}00000012.png",
        }[layout]
        draw(place / "miniimagenet" / name, seed)
    got = set(rows(load_dataset("miniimagenet")).values())
    assert got == {(TRAIN, "train"), (VALIDATION, "validation"), (TEST, "test")}


def test_mini_imagenet_has_64_16_and_20_classes_that_differ() -> None:
    names = [published._package_lines(f"miniimagenet_{part}.txt") for part in ("train", "val", "test")]
    assert [len(each) for each in names] == [64, 16, 20]
    assert len(set().union(*names)) == 100
    assert all(len(name) == 9 and name[0] == "n" and name[1:].isdigit() for each in names for name in each)
    assert all(each == sorted(each) for each in names)


def test_a_folder_that_is_no_mini_imagenet_is_refused(place: Path, draw: Any) -> None:
    draw(place / "miniimagenet" / "cats" / "1.png")
    with pytest.raises(DataError, match=r"no class of miniImageNet is here \(found cats\)"):
        load_dataset("miniimagenet")


def test_rsscn7_is_a_folder_of_class_folders(place: Path, draw: Any) -> None:
    draw(place / "RSSCN7" / "aGrass" / "a001.png", 1)
    draw(place / "RSSCN7" / "bField" / "b001.png", 2)
    assert load_dataset("rsscn7").classes == ("aGrass", "bField")


def test_without_an_address_the_message_says_where_to_get_it_and_put_it(place: Path) -> None:
    with pytest.raises(DataError, match=rf"github.com/palewithout/RSSCN7; put it at {place}/RSSCN7"):
        load_dataset("rsscn7")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", folder
        running.shutdown()
        thread.join()


def test_a_download_is_checked_and_kept(server: tuple[str, Path], place: Path) -> None:
    url, folder = server
    (folder / "a.zip").write_bytes(b"content")
    md5 = hashlib.md5(b"content").hexdigest()
    target = download(f"{url}/a.zip", place / "a.zip", md5)
    assert target.read_bytes() == b"content"
    (folder / "a.zip").unlink()
    assert download(f"{url}/a.zip", place / "a.zip", md5) == target


def test_a_download_with_another_checksum_is_thrown_away(server: tuple[str, Path], place: Path) -> None:
    url, folder = server
    (folder / "a.zip").write_bytes(b"altered")
    with pytest.raises(DataError, match=r"gave a file with md5 .* it was deleted"):
        download(f"{url}/a.zip", place / "a.zip", "0" * 32)
    assert not (place / "a.zip").exists() and not (place / "a.zip.partial").exists()


def test_a_download_that_fails_says_where_to_put_the_file(server: tuple[str, Path], place: Path) -> None:
    with pytest.raises(DataError, match=rf"cannot be downloaded \(File not found\); .*put it at {place}/b.zip"):
        download(f"{server[0]}/b.zip", place / "b.zip", "0" * 32)


def test_a_published_archive_is_downloaded_by_name(
    server: tuple[str, Path], place: Path, draw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = server
    make_cub(place.parent / "made" / "CUB_200_2011", draw)
    shutil.make_archive(str(folder / "CUB_200_2011"), "gztar", place.parent / "made", "CUB_200_2011")
    (folder / "CUB_200_2011.tar.gz").rename(folder / "CUB_200_2011.tgz")
    recipe = published.Published(
        ("CUB_200_2011", "CUB_200_2011.tgz"),
        published.PUBLISHED["cub200"].read,
        f"{url}/CUB_200_2011.tgz",
        hashlib.md5((folder / "CUB_200_2011.tgz").read_bytes()).hexdigest(),
    )
    monkeypatch.setitem(published.PUBLISHED, "cub200", recipe)
    assert len(load_dataset("cub200")) == 3
