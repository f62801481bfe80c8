"""Datasets with a published layout of their own: miniImageNet, RSSCN7, CUB-200-2011 and Tiny-ImageNet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from headstart.data.dataset import Dataset
from headstart.data.sources.archives import SUFFIXES, archive_tree
from headstart.data.sources.download import download
from headstart.data.sources.folders import folder_tree
from headstart.data.sources.layout import Layout, Tree, from_tree, is_image_name, to_dataset
from headstart.data.sources.places import data_dir, find_local
from headstart.errors import DataAbsent, DataError


@dataclass(frozen=True)
class Published:
    """Where a dataset comes from and how it is read.

    Args:
        names: of the folder or archive that holds it, any of them, in one of the `places`.
        read: makes the dataset from its files.
        url, md5: of an archive that can be downloaded; "" where there is no stable address.
        hint: where to get it otherwise.
    """

    names: tuple[str, ...]
    read: Callable[[Tree, str], Dataset]
    url: str = ""
    md5: str = ""
    hint: str = ""


def published(key: str, name: str | None = None) -> Dataset:
    """Return a published dataset from a local copy, or from its download.

    Raises:
        DataAbsent: it is not here and cannot be downloaded; the message says where to get it and put it.
    """
    recipe = PUBLISHED[key]
    path = find_local(key, *recipe.names)
    if path is None and not recipe.url:
        raise DataAbsent(
            f"{key} is not here and has no stable address to download it from: {recipe.hint}; "
            f"put it at {data_dir() / recipe.names[0]}"
        )
    if path is None:
        path = download(recipe.url, data_dir() / PurePosixPath(recipe.url).name, recipe.md5)
    return read_published(key, path, name)


def read_published(key: str, path: Path, name: str | None = None) -> Dataset:
    """Return a published dataset from its folder or archive."""
    path = path.absolute()
    tree = archive_tree(path) if path.name.lower().endswith(SUFFIXES) else folder_tree(path)
    return PUBLISHED[key].read(tree, name or key)


def _cub(tree: Tree, name: str) -> Dataset:
    """Read `images.txt`, `image_class_labels.txt`, `classes.txt` and `train_test_split.txt`, linked by numbers."""
    top = _folder_of(tree, "images.txt")
    paths = _pairs(tree, f"{top}images.txt")
    labels = _pairs(tree, f"{top}image_class_labels.txt")
    classes = _pairs(tree, f"{top}classes.txt")
    in_train = _pairs(tree, f"{top}train_test_split.txt")
    rows = sorted(
        (classes[labels[number]], f"{top}images/{path}", "train" if in_train[number] == "1" else "test")
        for number, path in paths.items()
    )
    return _dataset(tree, name, rows)


def _tiny_imagenet(tree: Tree, name: str) -> Dataset:
    """Read `train/WNID/images/…` and `val/images/…` with `val_annotations.txt`; the test part has no labels."""
    top = _folder_of(tree, "wnids.txt")
    rows = []
    for path in tree.files:
        parts = path[len(top) :].split("/")
        if parts[0] == "train" and is_image_name(path):
            rows.append((parts[1], path, "train"))
    for line in _text(tree, f"{top}val/val_annotations.txt").splitlines():
        file, wnid = line.split("\t")[:2]
        rows.append((wnid, f"{top}val/images/{file}", "validation"))
    return _dataset(tree, name, sorted(rows))


def _mini_imagenet(tree: Tree, name: str) -> Dataset:
    """Read class folders, or `images/` with lists `train.csv`, `val.csv`, `test.csv` (filename,label)."""
    part_of = {
        wnid: part
        for part, file in (("train", "train"), ("validation", "val"), ("test", "test"))
        for wnid in _package_lines(f"miniimagenet_{file}.txt")
    }
    lists = [path for path in tree.files if PurePosixPath(path).name in ("train.csv", "val.csv", "test.csv")]
    label_of = {}
    for path in lists:
        for row in csv.DictReader(io.StringIO(_text(tree, path))):
            label_of[row.get("filename") or row.get("image_name", "")] = row.get("label") or row.get("class_name", "")
    rows, unknown = [], set()
    for path in filter(is_image_name, tree.files):
        where = PurePosixPath(path)
        wnid = next((each for each in (where.parent.name, where.name[:9]) if each in part_of), None)
        wnid = wnid or label_of.get(where.name)
        if wnid in part_of:
            rows.append((wnid, path, part_of[wnid]))
        else:
            unknown.add(where.parent.name)
    if not rows:
        found = ", ".join(sorted(unknown)[:3]) or "no image"
        raise DataError(
            f"{tree.path}: no class of miniImageNet is here (found {found}); expected folders like n01532829"
        )
    return _dataset(tree, name, sorted(rows))


def _dataset(tree: Tree, name: str, rows: list[tuple[str, str, str]]) -> Dataset:
    labels, paths, splits = (list(column) for column in zip(*rows, strict=True))
    return to_dataset(name, Layout(paths, labels, splits), tree.reader(paths))


def _folder_of(tree: Tree, file: str) -> str:
    """Return the folder ('' or ending in '/') that contains a file of this name."""
    found = sorted((path for path in tree.files if PurePosixPath(path).name == file), key=len)
    if not found:
        raise DataError(f"{tree.path}: {file} is missing, this is not the published layout")
    return found[0][: -len(file)]


def _text(tree: Tree, path: str) -> str:
    if path not in set(tree.files):
        raise DataError(f"{tree.path}: {path} is missing, this is not the published layout")
    content = tree.reader([path]).read(0)
    assert isinstance(content, bytes)
    return content.decode("utf-8-sig")


def _pairs(tree: Tree, path: str) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in _text(tree, path).splitlines() if line.strip())


def _package_lines(file: str) -> list[str]:
    return resources.files("headstart.data.sources").joinpath(file).read_text(encoding="utf-8").split()


PUBLISHED: dict[str, Published] = {
    "cub200": Published(
        ("CUB_200_2011", "CUB_200_2011.tgz", "cub"),
        _cub,
        "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
        "97eceeb196236b17998738112f37df78",
    ),
    "tiny_imagenet": Published(
        ("tiny-imagenet-200", "tiny-imagenet-200.zip"),
        _tiny_imagenet,
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        "90528d7ca1a48142e341f4ef8d21d0de",
    ),
    "miniimagenet": Published(
        ("miniimagenet", "miniImageNet", "mini-imagenet", "mini_imagenet", "mini-imagenet.tar", "mini-imagenet.zip"),
        _mini_imagenet,
        hint="make it from ImageNet (one folder of images for each of the 100 WordNet ids) or see "
        "https://github.com/yaoyao-liu/mini-imagenet-tools",
    ),
    "rsscn7": Published(
        ("RSSCN7", "RSSCN7-master", "RSSCN7.zip", "RSSCN7-master.zip"),
        from_tree,
        hint="see https://github.com/palewithout/RSSCN7",
    ),
}
