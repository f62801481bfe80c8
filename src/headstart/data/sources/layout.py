"""What a tree of files means: which path is which class, and which part of a given split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

import numpy as np

from headstart.data.class_names import normal_form
from headstart.data.dataset import Dataset, Reader, Skip
from headstart.data.decoding.decode import SUFFIXES
from headstart.data.sources.debris import data_files
from headstart.data.sources.parts import USUAL, part_of
from headstart.errors import DataError, NoLabels

# Folders that a dataset's own convention leaves out.
LEFT_OUT = {"BACKGROUND_Google": "left out by the convention for Caltech-101"}
NOT_AN_IMAGE = "does not have the name of an image"
_NAMED = 5  # folders


@dataclass(frozen=True)
class Tree:
    """The files of a folder or an archive.

    Args:
        path: the folder or archive.
        files: relative POSIX paths.
        reader: gives the reader of some of them.
        empty: relative paths of folders without any file.
    """

    path: Path
    files: list[str]
    reader: Callable[[list[str]], Reader]
    empty: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """Images of a tree.

    Args:
        paths: relative to the source, sorted by class, then by path.
        labels: class name of each.
        splits: "train", "validation", "test" or "" of each, or None where the tree has no parts.
        skipped: files whose names or places are not those of images.
        about: what was left out or noticed.
    """

    paths: list[str]
    labels: list[str]
    splits: list[str] | None
    skipped: list[Skip] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)


def read_tree(name: str, paths: Iterable[str]) -> Layout:
    """Read class and split out of relative POSIX paths `[split/]class/…/file` or `class/split/…/file`.

    Raises:
        DataError: no image, or no class folder, or the folders can be read in two ways.
    """
    images, others = image_paths(paths)
    if not images:
        found = "no file"
        if others:
            found = (
                f"{len(others)} file{'s, none of them' if len(others) > 1 else ', which is not'} an image by its name"
            )
        raise DataError(f"{name}: no image was found ({found}); expected class folders")
    prefix = _common_top(images)
    parts = [PurePosixPath(path[len(prefix) :]).parts for path in images]
    split = _split_folders(name, parts)
    inside = {} if split else _split_in_classes(name, parts)
    depth = 1 if split else 0
    rows: list[tuple[str, str, str]] = []
    left_out: dict[str, int] = {}
    for path, part in zip(images, parts, strict=True):
        if split and part[0] not in split:
            others.append(Skip(path, f"is not in {', '.join(sorted(split))}, which are the parts of the split"))
        elif len(part) < depth + 2:
            others.append(Skip(path, "is in no class folder"))
        elif part[depth] in LEFT_OUT:  # never a class, nor a part of a split
            left_out[part[depth]] = left_out.get(part[depth], 0) + 1
        else:
            given = split[part[0]] if split else inside[part[1]] if inside else ""
            rows.append((normal_form(part[depth]), path, given))
    if not rows:
        raise NoLabels(
            f"{name}: {len(images)} images but no class folders; put each class in a folder of its own, "
            "or give a manifest (CSV or Parquet: path, label)"
        )
    about = _about_folders(split, parts, {path[len(prefix) :].partition("/")[0] for _, path, _ in rows})
    if inside:
        about = {"split": f"given by the folders {', '.join(sorted(inside))} in each class"}
    for folder, count in left_out.items():
        about["left out"] = f"{count} images of {folder}: {LEFT_OUT[folder]}"
    others = [skip for skip in others if not set(PurePosixPath(skip.name).parts) & set(left_out)]
    rows.sort()
    labels, ordered, splits = (list(column) for column in zip(*rows, strict=True))
    return Layout(ordered, labels, splits if depth or inside else None, others, about)


def _about_folders(split: dict[str, str], parts: Sequence[tuple[str, ...]], used: set[str]) -> dict[str, str]:
    """Return by which folders the split is given; or that each class has the same folders, as parts of a split do."""
    if split:
        folders = [top for top in split if top in used]
        empty = [top for top in split if top not in used]
        words = f"given by the folder{'s' * (len(folders) > 1)} {', '.join(folders)}"
        return {"split": words + (f" ({', '.join(empty)} has no class folders)" if empty else "")}
    inside: dict[str, set[str]] = {}
    for part in parts:
        inside.setdefault(part[0], set()).add(part[1] if len(part) > 2 else "")
    same = next(iter(inside.values()), set())
    if len(inside) < 2 or len(same) < 2 or "" in same or any(each != same for each in inside.values()):
        return {}
    return {
        "folders": f"in each class are the folders {_some(sorted(same))}; if these are the classes, call the folders"
        " above them train and test"
    }


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _split_in_classes(name: str, parts: Sequence[tuple[str, ...]]) -> dict[str, str]:
    """Return folder -> part of a split where the folders in the classes are one, as in `cat/train`, `cat/test`.

    Raises:
        DataError: they are in some of the places only, so that the folders can be read in two ways.
    """
    inside: dict[str, set[str]] = {}
    for part in parts:
        if len(part) > 1 and part[0] not in LEFT_OUT:
            inside.setdefault(part[0], set()).add(part[1] if len(part) > 2 else "")
    named = {folder: meant for found in inside.values() for folder in sorted(found) if (meant := part_of(folder))}
    divided = [top for top, found in sorted(inside.items()) if len({named.get(each, "") for each in found} - {""}) > 1]
    if not divided:
        return {}
    shown = ", ".join(repr(folder) for folder in sorted(named))
    if "train" not in named.values():
        raise DataError(
            f"{name}: in {divided[0]!r}, {shown} are named like parts of a split, but there is no training part; name"
            " one 'train', or, if these are not parts, rename them"
        )
    for top, found in sorted(inside.items()):
        if strangers := sorted(found - set(named)):
            what = f"the folder {strangers[-1]!r}" if strangers[-1] else "images"
            raise DataError(
                f"{name}: in {divided[0]!r}, {shown} are named like the parts of a split, but {top!r} has {what} beside"
                " them; move these into the parts to use the split, or, if they are not parts, rename them"
            )
    return named


def from_tree(tree: Tree, name: str | None = None) -> Dataset:
    """Return the images of a folder or archive, their class the name of the folder that contains them.

    Raises:
        DataError: there is no image, or no class folder.
    """
    layout = read_tree(str(tree.path), tree.files)
    dataset = to_dataset(name or tree.path.name, layout, tree.reader(layout.paths))
    empty = [path for path in data_files([*tree.files, *tree.empty]) if path in tree.empty] if tree.empty else []
    return with_note(dataset, "empty folders", _some(empty)) if empty else dataset


def to_dataset(name: str, layout: Layout, reader: Reader) -> Dataset:
    """Return the dataset of a layout whose paths are the rows of `reader`."""
    classes, labels = np.unique(np.array(layout.labels, dtype=np.str_), return_inverse=True)
    return Dataset(
        name=name,
        reader=reader,
        labels=labels.astype(np.int64),
        classes=tuple(str(each) for each in classes),
        given_split=None if layout.splits is None else np.array(layout.splits, dtype="U10"),
        skipped=tuple(layout.skipped),
        about=dict(layout.about),
    )


def with_note(dataset: Dataset, key: str, text: str) -> Dataset:
    """Return the dataset with one more fact about it; a fact already under `key` is kept before it."""
    said = dataset.about.get(key)
    return replace(dataset, about={**dataset.about, key: f"{said}; {text}" if said else text})


def image_paths(paths: Iterable[str], *, any_name: bool = False) -> tuple[list[str], list[Skip]]:
    """Return the sorted paths of images, and the other files that are not debris, each with its reason.

    A name that is not valid UTF-8 cannot be in a list or a manifest; `any_name` takes it all the same.
    """
    images: list[str] = []
    others: list[Skip] = []
    for path in sorted(data_files(paths)):
        if not (any_name or _is_text(path)):
            others.append(Skip(_as_text(path), "has a name that is not valid UTF-8; rename it"))
        elif not is_image_name(path):
            others.append(Skip(path, NOT_AN_IMAGE))
        else:
            images.append(path)
    return images, others


def is_image_name(path: str) -> bool:
    """Return whether a file's name ends as an image's does."""
    return PurePosixPath(path).suffix.lower() in SUFFIXES


def _is_text(path: str) -> bool:
    return path.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in path)


def _as_text(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _common_top(images: Sequence[str]) -> str:
    """Return the single folders above the tree proper, such as the one an archive wraps its content in."""
    prefix = ""
    while True:
        tops = {path[len(prefix) :].partition("/")[0] for path in images}
        top = next(iter(tops))
        if len(tops) != 1 or part_of(top) is not None:
            return prefix
        if not any("/" in path[len(prefix) + len(top) + 1 :] for path in images):
            return prefix
        prefix += f"{top}/"


def _check_misspelt(name: str, parts: Sequence[tuple[str, ...]], folders: set[str]) -> None:
    """Refuse folders such as `trian` and `tset` with the same class folders in each.

    Raises:
        DataError: which, and what they are taken for.
    """
    meant = {top: close[0] for top in sorted(folders) if (close := get_close_matches(top.lower(), USUAL, 1, 0.74))}
    if len(meant) < 2:
        return
    inside = [{part[1] for part in parts if part[0] == top and len(part) > 2} for top in meant]
    if set.intersection(*inside):
        taken = ", ".join(f"{top!r} ({word}?)" for top, word in meant.items())
        raise DataError(f"{name}: {taken} have the same folders in them; rename them if they are the parts of a split")


def _split_folders(name: str, parts: Sequence[tuple[str, ...]]) -> dict[str, str]:
    """Return top folder -> part of a split, or nothing where the top folders are classes.

    Raises:
        DataError: the folders can be read in two ways; the message gives both.
    """
    tops = {part[0] for part in parts if len(part) > 1}
    deep = {part[0] for part in parts if len(part) > 2}  # those that hold class folders
    named = {top: part for top in sorted(tops) if (part := part_of(top)) is not None}
    _check_misspelt(name, parts, deep - set(named))
    shown = ", ".join(repr(top) for top in named)
    if not named or (set(named.values()) == {"train"} and not deep & set(named)):
        return {}
    if not deep & set(named):
        if len(named) < 2 or "train" not in named.values():
            return {}
        raise DataError(
            f"{name}: {shown} are named like the parts of a split but hold no class folders; give a table of path,"
            " label and split, or, if these are classes, rename them"
        )
    if "train" not in named.values():
        raise DataError(
            f"{name}: {shown} are named like parts of a split, but there is no training part; name one 'train', or, if"
            " these are classes, rename them"
        )
    if strangers := sorted((tops & deep) - set(named)):
        raise DataError(
            f"{name}: {shown} are named like the parts of a split, {strangers[0]!r} is not; move it elsewhere to use"
            " the split, or, if all of them are classes, rename the others"
        )
    return named
