"""List files beside a folder: `train.txt` and `test.txt` name the images of each part, one a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from headstart.data.dataset import Dataset, Skip
from headstart.data.sources.layout import (
    LEFT_OUT,
    Layout,
    Tree,
    is_image_name,
    read_tree,
    to_dataset,
)
from headstart.data.sources.parts import part_of
from headstart.errors import DataError

Key = TypeVar("Key")
Lists = Sequence[str | Path] | Mapping[str, str | Path]


@dataclass(frozen=True)
class Listed:
    """One line of a list file: an image, perhaps a label, and the part it belongs to."""

    path: str
    label: str
    part: str
    file: str


def from_lists(tree: Tree, lists: Lists, name: str | None = None) -> Dataset:
    """Return the images of a folder or archive that the lists name, with the split that they give.

    The class is the folder that contains the image. Where there are no class folders, each line must end in the
    label: `picture.jpg tulip`.

    Raises:
        DataError: a list is absent, names an image for two parts, or names nothing that is there.
    """
    root, files, there = tree.path, tree.files, set(tree.files)
    lines = [line for path, part in find_lists(root, lists) for line in _read(path, part, there, root.name)]
    if any("/" in file for file in files):
        layout = _in_class_folders(root, read_tree(str(root), files), lines, there)
    else:
        layout = _flat(root, lines, there)
    given = ", ".join(sorted({line.file for line in lines}))
    layout = replace(layout, about={**layout.about, "split": f"given by {given}"})
    return to_dataset(name or root.name, layout, tree.reader(layout.paths))


def find_lists(root: Path, lists: Lists) -> list[tuple[Path, str]]:
    """Return (file, part) of each list: absolute, or in the folder, `FOLDER.splits`, beside the folder, or here.

    Raises:
        DataError: a list is nowhere, or its name does not say which part it lists.
    """
    pairs = lists.items() if isinstance(lists, Mapping) else [("", each) for each in lists]
    found = []
    for key, given in pairs:
        places = (root, root.with_name(f"{root.name}.splits"), root.parent, Path.cwd())
        path = next((place / given for place in places if (place / given).is_file()), None)
        if path is None:
            tried = ", ".join(str(place) for place in dict.fromkeys(places))
            raise DataError(f"list file {str(given)!r} is in none of {tried}")
        found.append((path, _part(key or path.stem, path)))
    return found


def default_lists(root: Path) -> list[Path]:
    """Return the lists in `FOLDER.splits`, if there are any."""
    folder = root.with_name(f"{root.name}.splits")
    return sorted(path for path in folder.glob("*.txt") if part_of(path.stem))


def _part(word: str, path: Path) -> str:
    known = [part for piece in (word, *word.replace("-", "_").split("_")) if (part := part_of(piece))]
    if not known:
        raise DataError(
            f"{path}: the name does not say whether it lists train, validation or test; "
            f"write it as {{train: {path.name}}}"
        )
    return known[0]


def _read(path: Path, part: str, there: set[str], top: str) -> Iterator[Listed]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of images ({error})") from error
    for raw in text.splitlines():
        entry = raw.strip()
        if entry:
            yield Listed(*_path_and_label(entry, there, top), part, path.name)


def _path_and_label(entry: str, there: set[str], top: str) -> tuple[str, str]:
    """Return (path, label): the whole entry where it is a file, else what precedes the last blank or comma."""
    candidates = [(entry, "")]
    for mark in ("\t", ",", " "):
        before, found, after = entry.rpartition(mark)
        if found:
            candidates.append((before.strip(), after.strip()))
    for path, label in candidates:
        tidy = path.replace("\\", "/").removeprefix("./").removeprefix("/")
        tries = [tidy, tidy.removeprefix(f"{top}/")]
        tries += [f"{each}{suffix}" for each in tries for suffix in (".jpg", ".png", ".jpeg", ".JPEG")]
        for each in tries:
            if each in there:
                return each, label
    path, label = next(((p, a) for p, a in candidates if is_image_name(p)), candidates[0])
    return path, label


def _in_class_folders(root: Path, layout: Layout, lines: list[Listed], there: set[str]) -> Layout:
    row_of = {path: row for row, path in enumerate(layout.paths)}
    parts: dict[int, Listed] = {}
    skipped = list(layout.skipped)
    for line in lines:
        row = row_of.get(line.path)
        if row is None:
            if not _silently_left_out(line.path, there):
                skipped.append(_absent(line, there))
            continue
        _enter(parts, row, line)
    if not parts:
        raise DataError(f"{root}: {_none_there(lines)}")
    rows = sorted(parts)
    about = dict(layout.about)
    if unnamed := len(layout.paths) - len(rows):
        about["not listed"] = f"{unnamed} images that no list names were left out"
    listed = {skip.name for skip in skipped}
    unique = [next(skip for skip in skipped if skip.name == name) for name in sorted(listed)]
    return replace(
        layout,
        paths=[layout.paths[row] for row in rows],
        labels=[layout.labels[row] for row in rows],
        splits=[parts[row].part for row in rows],
        skipped=unique,
        about=about,
    )


def _flat(root: Path, lines: list[Listed], there: set[str]) -> Layout:
    rows: dict[str, Listed] = {}
    skipped = []
    for line in lines:
        if line.path not in there or not is_image_name(line.path):
            skipped.append(_absent(line, there))
        elif not line.label:
            raise DataError(
                f"{line.file}: {line.path!r} has no label, and {root} has no class folders; write 'FILE LABEL'"
            )
        else:
            _enter(rows, line.path, line)
    if not rows:
        raise DataError(f"{root}: {_none_there(lines)}")
    ordered = sorted(rows.values(), key=lambda line: (line.label, line.path))
    return Layout(
        [line.path for line in ordered], [line.label for line in ordered], [line.part for line in ordered], skipped
    )


def _enter(rows: dict[Key, Listed], key: Key, line: Listed) -> None:
    before = rows.setdefault(key, line)
    if before.part != line.part:
        raise DataError(
            f"{line.path} is in {before.file} ({before.part}) and in {line.file} ({line.part}); "
            "the parts of a split have no image in common"
        )


def _silently_left_out(path: str, there: set[str]) -> bool:
    return path in there and is_image_name(path) and bool(set(PurePosixPath(path).parts) & set(LEFT_OUT))


def _absent(line: Listed, there: set[str]) -> Skip:
    if line.path in there:
        return Skip(line.path, f"is named in {line.file}, but does not have the name of an image")
    return Skip(line.path, f"is named in {line.file}, but does not exist")


def _none_there(lines: list[Listed]) -> str:
    if not lines:
        return "the lists are empty"
    return f"none of the {len(lines)} images that the lists name is here (the first: {lines[0].path!r})"
