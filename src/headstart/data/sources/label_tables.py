"""Tables of labels in a folder of images: Hugging Face's metadata.csv, Kaggle's train.csv beside train/.

Where the folders can be read as classes too and a table says otherwise, neither reading is guessed: both are named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from headstart.data.class_names import normal_form
from headstart.data.dataset import ChosenRows, Dataset, IntArray, Reader, Skip
from headstart.data.sources.debris import data_files
from headstart.data.sources.layout import Tree, from_tree, is_image_name, with_note
from headstart.data.sources.manifest import COLUMNS, SEPARATOR, Listing, from_table
from headstart.data.sources.parts import part_of
from headstart.data.sources.table_files import SUFFIXES, read_table, text_cells
from headstart.data.sources.text_column import MISSING
from headstart.disclosure import typed
from headstart.errors import DataError
from headstart.storage.arrow import arrow

BY_FOLDER = "folder"  # the label that chooses the folders where a table has labels too
_FILES = (*COLUMNS["path"], "id", "image_id", "image_name", "img", "img_name", "image_file", "fname", "name")
_KNOWN = re.compile(r"metadata|labels?|annotations?", re.IGNORECASE)  # in the names of tables of labels
_NO_LABELS = re.compile(r"submission|sample", re.IGNORECASE)
_DEEPEST = 3  # folders and the table's own name
_SHOWN = 3


@dataclass(frozen=True)
class LabelTable:
    """A table whose rows name files of a tree.

    Args:
        file: its path in the tree.
        table: of Arrow.
        paths: the file that each row names, or None.
        labels: the columns that may be the label, the likeliest first; of several, none is sure.
        sure: whether the first of them is the label.
    """

    file: str
    table: Any
    paths: list[str | None]
    labels: tuple[str, ...]
    sure: bool

    @property
    def part(self) -> str | None:
        """The part of a split that its own name or its folder's is, or None."""
        path = PurePosixPath(self.file)
        own = part_of(_KNOWN.sub("", path.stem))
        return own or next((part for folder in path.parts[:-1] if (part := part_of(folder))), None)

    @property
    def usual(self) -> bool:
        """Return whether it is, or its column is, called as labels usually are, and half of its rows name an image."""
        stem = PurePosixPath(self.file).stem
        covers = 2 * self.paths.count(None) <= len(self.paths)
        named = bool(_KNOWN.search(stem)) or part_of(stem) is not None
        return covers and (named or self.labels[0].strip().lower() in COLUMNS["label"])

    def cells(self, column: str) -> list[str]:
        """Return a column as text, "" where a cell is missing; several labels are joined.

        Raises:
            DataError: a cell is no text and no list of texts.
        """
        return [_text(value) for value in text_cells(self.file, self.table, column, lists=True).to_pylist()]


@dataclass(frozen=True)
class Unreadable:
    """A table of a tree that cannot be read.

    Args:
        file: its path in the tree.
        why: in a few words.
    """

    file: str
    why: str

    @property
    def usual(self) -> bool:
        """Return whether it is called as tables of labels usually are."""
        stem = PurePosixPath(self.file).stem
        return bool(_KNOWN.search(stem)) or part_of(stem) is not None


def from_tree_or_tables(tree: Tree, label: str | None, name: str | None = None) -> Dataset:
    """Return the images of a tree; their classes are its folders, or what its tables say.

    Args:
        label: "folder", or the column of the tables; None where it is clear.

    Raises:
        DataError: both are possible and differ, or neither is.
    """
    tables, unread = ([], []) if label == BY_FOLDER else find_tables(tree)
    if label is not None and label != BY_FOLDER:
        _check_read(tree, [] if tables else unread)
        return _noted(_from_tables(tree, [_chosen(table, label) for table in _with(tables, label, tree)], name), unread)
    try:
        folders = from_tree(tree, name)
    except DataError:
        if not tables:
            _check_read(tree, unread)
            raise
        folders = None
    if folders is None or (len(folders.classes) < 2 and tables):
        return _noted(_from_tables(tree, _alike(tables), name), unread)
    table = next((each for each in tables if each.usual and each.sure and not _agrees(each, folders)), None)
    if table is None:
        few = len(folders.classes) < 2
        _check_read(tree, [each for each in unread if few or each.usual], folders)
        return _noted(folders, unread)
    cells = sorted({cell for cell in table.cells(table.labels[0]) if cell})
    raise DataError(
        f"{tree.path}: has two readings, the folders ({_listed(folders.classes)}) and column {table.labels[0]!r} of"
        f" {table.file} ({_listed(cells)}); choose one: {_choice(BY_FOLDER)} or {_choice(table.labels[0])}"
    )


def _check_read(tree: Tree, unread: Sequence[Unreadable], folders: Dataset | None = None) -> None:
    """Refuse a tree of which a table may hold the labels and cannot be read.

    Args:
        tree: the files.
        unread: the tables.
        folders: what the folders say, where they can be read as classes.

    Raises:
        DataError: which table, and why.
    """
    if not unread:
        return
    choice = f"; or choose the folders ({_listed(folders.classes)}): {_choice(BY_FOLDER)}" if folders else ""
    raise DataError(f"{tree.path}: {unread[0].file} may hold the labels and cannot be read: {unread[0].why}{choice}")


def _noted(dataset: Dataset, unread: Sequence[Unreadable]) -> Dataset:
    """Return the dataset with a note on the tables that cannot be read."""
    if not unread:
        return dataset
    more = f" (and {len(unread) - 1} more)" if len(unread) > 1 else ""
    return with_note(dataset, "tables", f"{unread[0].file} is not used: {unread[0].why}{more}")


def find_tables(tree: Tree) -> tuple[list[LabelTable], list[Unreadable]]:
    """Return the tables whose rows name images of the tree and that have a column which may be the label.

    The second list is of the tables that cannot be read.
    """
    files = data_files(tree.files)
    where = _places(files)
    found, unread = list[LabelTable](), list[Unreadable]()
    for file in sorted(files):
        path = PurePosixPath(file)
        if path.suffix.lower() in SUFFIXES and len(path.parts) <= _DEEPEST and not _NO_LABELS.search(path.stem):
            table = _read(tree, file, where)
            if isinstance(table, LabelTable):
                found.append(table)
            elif table is not None:
                unread.append(table)
    return found, unread


def _read(tree: Tree, file: str, where: dict[str, list[str]]) -> LabelTable | Unreadable | None:
    """Return a table of labels, or why it cannot be read; None where it is one of something else."""
    try:
        content = tree.reader([file]).read(0)
        assert isinstance(content, bytes)
        table = read_table(file, content)
    except OSError as error:
        return Unreadable(file, f"{error.strerror or error}")
    except DataError as error:
        return Unreadable(file, str(error).removeprefix(f"{file}: "))
    best: tuple[str, list[str | None]] = ("", [])
    by_lower = {column.strip().lower(): column for column in reversed(table.schema.names)}
    for column in (by_lower[each] for each in _FILES if each in by_lower):
        paths = [_located(_text(cell), file, where) for cell in table[column].to_pylist()]
        if len(paths) - paths.count(None) > len(best[1]) - best[1].count(None):
            best = (column, paths)
    labels, sure = _label_columns(table, best[0], by_lower)
    return LabelTable(file, table, best[1], labels, sure) if best[0] and labels else None


def _label_columns(table: Any, file_column: str, by_lower: dict[str, str]) -> tuple[tuple[str, ...], bool]:
    """Return the columns that may be the label, and whether the first is it: by its name, or as the only one."""
    for each in COLUMNS["label"]:
        if by_lower.get(each, file_column) != file_column:
            return (by_lower[each],), True
    others = {by_lower[each] for role in ("split", "group") for each in COLUMNS[role] if each in by_lower}
    left = []
    for column in table.schema.names:
        cells = {_text(cell) for cell in table[column].to_pylist()}
        if column != file_column and column not in others and 1 < len(cells) <= max(2, table.num_rows // 2):
            left.append(column)
    return tuple(left), len(left) == 1


def _places(files: Sequence[str]) -> dict[str, list[str]]:
    """Return the images by their names with and without the suffix."""
    found: dict[str, list[str]] = {}
    for file in files:
        if is_image_name(file):
            path = PurePosixPath(file)
            for key in {path.name, path.stem}:
                found.setdefault(key, []).append(file)
    return found


def _located(cell: str, table: str, where: dict[str, list[str]]) -> str | None:
    """Return the image that a cell means: from the table's folder, else the only one of that name, or of its part."""
    tidy, home = PurePosixPath(cell.replace("\\", "/").lstrip("/")), PurePosixPath(table)
    named = [PurePosixPath(file) for file in where.get(tidy.name, ())]
    candidates = [file for file in named if file.parts[-len(tidy.parts) : -1] == tidy.parts[:-1]]
    own = part_of(_KNOWN.sub("", home.stem))
    rules: tuple[Callable[[PurePosixPath], bool], ...] = (
        lambda file: file.parent == (home.parent / tidy).parent,
        lambda file: file.parent == (home.parent / home.stem / tidy).parent,
        lambda file: own is not None and any(part_of(folder) == own for folder in file.parts[:-1]),
        lambda file: home.parent in file.parents,
        lambda file: True,
    )
    for rule in rules:
        kept = [file for file in candidates if rule(file)]
        if len(kept) == 1:
            return str(kept[0])
    return None


def _with(tables: Sequence[LabelTable], label: str, tree: Tree) -> list[LabelTable]:
    """Return the tables that have a column of this name."""
    if not tables:
        raise DataError(
            f"{tree.path}: a label can be chosen only in a manifest, or in a folder with a table such as metadata.csv"
        )
    found = [table for table in tables if label in table.table.schema.names]
    if not found:
        columns = list(dict.fromkeys(column for table in tables for column in table.table.schema.names))
        raise DataError(f"{tree.path}: no table has a column {label!r}; the columns are {', '.join(columns)}")
    return found


def _chosen(table: LabelTable, label: str) -> LabelTable:
    return replace(table, labels=(label,), sure=True)


def _alike(tables: Sequence[LabelTable]) -> list[LabelTable]:
    """Return the tables that have the label column of the training table; the others describe something else.

    Raises:
        DataError: several of its columns may be the label.
    """
    first = next((table for table in tables if table.part == "train"), tables[0])
    if not first.sure:
        choice = _choice(first.labels[0])
        raise DataError(f"{first.file}: {', '.join(first.labels)} may each be the label; choose one, such as {choice}")
    column = first.labels[0]
    return [_chosen(table, column) for table in tables if column in table.table.schema.names]


def _agrees(table: LabelTable, folders: Dataset) -> bool:
    """Return whether a table gives every image that it names the label that its folder gives."""
    reader = folders.reader
    known = {reader.name(row): folders.classes[int(folders.labels[row])] for row in range(len(folders))}
    pairs = zip(table.paths, table.cells(table.labels[0]), strict=True)
    return all(known.get(path, normal_form(cell)) == normal_form(cell) for path, cell in pairs if path and cell)


def _from_tables(tree: Tree, tables: Sequence[LabelTable], name: str | None) -> Dataset:
    """Return the images that the tables name, with the labels and the split that they give."""
    parts = {table.part for table in tables}
    by_table = len(parts - {None}) > 1 and "train" in parts
    paths, labels, splits, skips = list[str](), list[str](), list[str](), list[Skip]()
    for table in tables:
        given = _column(table, "split")
        for row, (path, label) in enumerate(zip(table.paths, table.cells(table.labels[0]), strict=True)):
            if path is None:
                skips.append(Skip(f"{table.file}, row {row + 1}", "names no image, or several of the same name"))
                continue
            paths.append(path)
            labels.append(label)
            splits.append(given[row] if given else (table.part or "") if by_table else "")
    if not any(splits):
        splits = _by_folders(paths)
    table = arrow().table({"path": paths, "label": labels, "split": splits})

    def files(names: list[str], codes: IntArray) -> Reader:
        return ChosenRows(tree.reader(names), codes)

    columns = {"path": "path", "label": "label", **({"split": "split"} if any(splits) else {})}
    found = from_table(Listing(tree.path, table, columns, str, files), name or tree.path.name)
    files_used = ", ".join(table.file for table in tables)
    about = {"source": str(tree.path), "labels": f"column {tables[0].labels[0]!r} of {files_used}"}
    if any(splits):
        about["split"] = f"given by {files_used if by_table else 'folders'}"
    found = replace(found, about={**found.about, **about}, skipped=(*found.skipped, *skips))
    unnamed = len(set(filter(is_image_name, data_files(tree.files))) - set(paths))
    note = f"{unnamed} images that no table names"
    return with_note(found, "not listed", note) if unnamed else found


def _by_folders(paths: Sequence[str]) -> list[str]:
    """Return the part of the split of each image by its folder; "" for all where not both kinds are there."""
    found = [
        next((part for folder in PurePosixPath(path).parts[:-1] if (part := part_of(folder))), "") for path in paths
    ]
    return found if "train" in found and len(set(found) - {""}) > 1 else [""] * len(found)


def _column(table: LabelTable, role: str) -> list[str]:
    names = [column for column in table.table.schema.names if column.strip().lower() in COLUMNS[role]]
    return table.cells(names[0]) if names and names[0] != table.labels[0] else []


def _text(value: Any) -> str:
    if isinstance(value, list | tuple | np.ndarray):
        return SEPARATOR.join(_text(each) for each in value)
    text = "" if value is None else normal_form(str(value))
    return "" if text in MISSING else text


def _choice(label: str) -> str:
    """Return how a label is chosen, in Python and on the command line."""
    return f"label={label!r} (--label {typed([label])})"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
