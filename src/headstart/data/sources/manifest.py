"""A manifest: a table of images (CSV, JSON Lines, Parquet), one a row: path or bytes, label, perhaps split, group."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.addresses import is_address
from headstart.data.dataset import ChosenRows, Dataset, IntArray, Reader, Skip
from headstart.data.decoding.decode import SUFFIXES as IMAGES
from headstart.data.readers import FileReader
from headstart.data.sources.layout import with_note
from headstart.data.sources.numbered_labels import class_numbers
from headstart.data.sources.parquet import ParquetReader
from headstart.data.sources.parts import part_of
from headstart.data.sources.table_files import read_table, text_cells, with_text
from headstart.data.sources.text_column import MISSING, Encoded, encode
from headstart.errors import DataError
from headstart.storage.arrow import arrow

SEPARATOR = "|"  # between several labels of one image
WRITTEN = b"headstart"  # in the metadata of a Parquet file that this program wrote: its text is taken as it is
_ADDRESSES = ("url", "urls", "image_url", "uri", "link")
COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "filepath", "image_path", "image"),
    "bytes": ("bytes", "image_bytes", "image_data", "image"),
    "label": ("label", "labels", "class", "category", "target"),
    "split": ("split", "subset", "set", "partition"),
    "group": ("group", "groups"),
}


def from_manifest(path: Path, label: str | None = None, name: str | None = None) -> Dataset:
    """Return the images that a CSV, JSON Lines or Parquet file lists, in its order; paths are relative to the file.

    Args:
        label: the column that holds the label; several labels are separated by '|' or are a list.

    Raises:
        DataError: the table cannot be read, lacks a column, has no rows, or gives one path two labels.
    """
    table, columns = _read(path, label, ("label", "path"))

    def files(names: list[str], codes: IntArray) -> Reader:
        return FileReader(path.parent, names, codes)

    listing = Listing(path, table, columns, lambda text: tidy_path(text, path.parent), files)
    try:
        return from_table(listing, name or path.stem)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the manifest holds text that is not UTF-8; save it as UTF-8") from error


@dataclass(frozen=True)
class Listing:
    """A table of images.

    Args:
        path: where it is from.
        table: of Arrow.
        columns: which column plays which part; see `COLUMNS`.
        locate: the name of a file in `files`, from a cell.
        files: the reader of some files, with the number of the file of each row.
        images: the reader of the column of bytes, from the names of the rows; by default that of the file at `path`.
    """

    path: Path
    table: Any
    columns: dict[str, str]
    locate: Callable[[str], str]
    files: Callable[[list[str], IntArray], Reader]
    images: Callable[[list[str] | None], Reader] | None = None

    @property
    def exact(self) -> bool:
        """Return whether this program wrote the table: no text in it means "missing", and [] means no labels."""
        return WRITTEN in (self.table.schema.metadata or {})


def from_table(listing: Listing, name: str) -> Dataset:
    """Return the images of a table, in its order, without the rows that have no label or no path.

    Raises:
        DataError: it has no rows, or gives one path two labels or two parts.
    """
    path, columns = listing.path, listing.columns
    if not listing.table.num_rows:
        raise DataError(f"{path}: the manifest has no rows")
    texts = [column for role, column in columns.items() if role != "bytes"]
    table = with_text(path, listing.table, texts, lists=[columns["label"]])
    labels, classes, label_codes = _labels(table, columns["label"], path, exact=listing.exact)
    missing = label_codes < 0
    if "bytes" in columns:
        names = _texts(table[columns["path"]]) if "path" in columns else None
        reader: Reader = listing.images(names) if listing.images else ParquetReader(path, columns["bytes"], names)
        where = None
    else:
        where = encode(table[columns["path"]], listing.locate, exact=listing.exact)
        missing |= where.codes < 0
        _check_one_each(path, where, label_codes, table[columns["label"]], "labels", "write both as 'a|b'")
        if "split" in columns:
            parts = encode(table[columns["split"]])
            _check_one_each(path, where, parts.codes, table[columns["split"]], "parts", "keep it in one of them")
        codes = where.codes if (where.codes >= 0).all() else np.maximum(where.codes, 0)
        reader = listing.files(where.values or ["?"], codes)
    dataset = Dataset(
        name=name,
        reader=reader,
        labels=labels,
        classes=classes,
        given_split=_given(table, columns, path),
        groups=_groups(table, columns, exact=listing.exact),
        about=_about(path, columns),
    )
    dataset = _without_incomplete(dataset, np.flatnonzero(missing), label_codes)
    return dataset if where is None else _without_repeats(dataset, where.codes[~missing])


def images_of_table(path: Path) -> list[str] | ParquetReader:
    """Return what the rows of a table without labels name: the text of each path, "" where there is none, or bytes.

    Raises:
        DataError: the table cannot be read, or has no column of paths or bytes.
    """
    table, columns = _read(path, None, ("path",))
    cells = text_cells(path, table, columns["path"]).to_pylist() if "path" in columns else None
    texts = None if cells is None else [cell or "" for cell in cells]
    return texts or [] if "bytes" not in columns else ParquetReader(path, columns["bytes"], texts)


def tidy_path(text: str, folder: Path) -> str:
    """Return a path as this system writes it; what Windows wrote with backslashes is the same file."""
    text = text.strip()
    if is_address(text):
        return text
    if "\\" in text and not (folder / text).exists():
        text = text.replace("\\", "/")
    return posixpath.normpath(text) if text not in MISSING else ""


def _read(path: Path, label: str | None, needed: Sequence[str]) -> tuple[Any, dict[str, str]]:
    """Return the columns of the roles (but for the bytes) and which column has which role; `needed` must be there."""
    roles: dict[str, str] = {}
    binary = path.suffix.lower() in (".parquet", ".pq")

    def chosen(schema: Any) -> list[str]:
        roles.update(roles_of(path, schema, label, needed, binary=binary))
        return sorted({column for role, column in roles.items() if role != "bytes"})

    return read_table(path, columns=chosen), roles


def roles_of(
    path: Path | str, schema: Any, label: str | None, needed: Sequence[str], *, binary: bool
) -> dict[str, str]:
    """Return which column plays which part.

    Raises:
        DataError: one of those that are needed is not there.
    """
    pyarrow = arrow()

    def holds_bytes(column: str) -> bool:
        kind = schema.field(column).type
        if pyarrow.types.is_struct(kind):
            return "bytes" in [kind.field(index).name for index in range(kind.num_fields)]
        return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))

    by_lower = {re.sub(r"[ -]+", "_", column.strip().lower()): column for column in reversed(schema.names)}
    columns: dict[str, str] = {}
    for role, names in COLUMNS.items():
        for found in (by_lower[name] for name in names if name in by_lower):
            if role not in ("path", "bytes") or (role == "bytes") == (binary and holds_bytes(found)):
                columns.setdefault(role, found)
    if label is not None:
        if label not in schema.names:
            raise DataError(f"{path}: no column {label!r}; the columns are {', '.join(schema.names)}")
        columns["label"] = label
    for role, wanted in (("label", "label"), ("path", "path (or bytes)")):
        if role in needed and role not in columns and not (role == "path" and "bytes" in columns):
            shown = ", ".join(name.strip() for name in schema.names)
            raise DataError(f"{path}: no column {wanted!r}; the columns are {shown}; {_what_to_do(role, schema.names)}")
    return columns


def _what_to_do(role: str, columns: Sequence[str]) -> str:
    """Return how to make a table usable that lacks the column of a role."""
    if any(PurePosixPath(name.strip().replace("\\", "/")).suffix.lower() in IMAGES for name in columns):
        return "these are values: begin the file with the line path,label"
    if role == "label":
        return "name the one with the labels (label=NAME, on the command line --label NAME), or call it label"
    if any(name.strip().lower() in _ADDRESSES for name in columns):
        return "addresses are not fetched: download the images, and write their paths into a column 'path'"
    return "call the one with the paths 'path'"


def _labels(
    table: Any, column: str, path: Path, *, exact: bool
) -> tuple[npt.NDArray[np.int64] | npt.NDArray[np.bool_], tuple[str, ...], IntArray]:
    """Return (labels, classes, code of each row's label or set of labels; -1 where it has none)."""
    pyarrow = arrow()
    values = table[column]
    kind = values.type
    is_list = pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind)
    if is_list:
        values = pyarrow.chunked_array(
            [[_joined(each, exact=exact) for each in values.to_pylist()]], type=pyarrow.string()
        )
    encoded = encode(values, exact=exact)
    names = _names_of_numbers(table.schema, column)
    if names is not None:
        encoded = _named(encoded, names, f"{path}, column {column!r}")
    if is_list or any(SEPARATOR in value for value in encoded.values):
        return _several(encoded, frozenset() if exact else MISSING)
    if not encoded.values:
        raise DataError(f"{path}: no row has a label in column {column!r}")
    classes, place = np.unique(np.array(encoded.values, dtype=np.str_), return_inverse=True)
    codes = np.where(encoded.codes < 0, -1, place[encoded.codes]).astype(np.int64)
    return np.maximum(codes, 0), tuple(str(each) for each in classes), codes


def _named(encoded: Encoded, names: list[str], where: str) -> Encoded:
    """Return numbered labels by name."""
    used, first = np.unique(encoded.codes, return_index=True)
    rows = (first[used >= 0] + 1).tolist()  # every value is that of some row
    numbers = class_numbers(encoded.values, names, where, rows)
    order = {number: place for place, number in enumerate(dict.fromkeys(numbers[numbers >= 0].tolist()))}
    codes = np.array([*(order.get(number, -1) for number in numbers.tolist()), -1], dtype=np.int64)
    return Encoded(codes[encoded.codes], [names[number] for number in order])


def _several(encoded: Encoded, missing: frozenset[str]) -> tuple[npt.NDArray[np.bool_], tuple[str, ...], IntArray]:
    sets = [frozenset(filter(None, map(str.strip, value.split(SEPARATOR)))) - missing for value in encoded.values]
    classes = tuple(sorted(frozenset().union(*sets)))
    column = {name: index for index, name in enumerate(classes)}
    rows = np.zeros((len(sets) + 1, len(classes)), dtype=bool)
    for index, names in enumerate(sets):
        rows[index, [column[name] for name in names]] = True
    same = {names: code for code, names in enumerate(dict.fromkeys(sets))}
    canonical = np.array([same[names] for names in sets] + [-1], dtype=np.int64)
    return rows[encoded.codes], classes, canonical[encoded.codes]


def _joined(labels: list[Any] | None, *, exact: bool) -> str | None:
    """Return a list of labels as one text, without those that are missing; None where all are."""
    texts = [str(label) for label in labels or () if label is not None and (exact or str(label).strip() not in MISSING)]
    return SEPARATOR.join(texts) if texts or (exact and labels is not None) else None


def _names_of_numbers(schema: Any, column: str) -> list[str] | None:
    """Return the class names that Hugging Face writes into a Parquet file beside numbered labels."""
    facts = (schema.metadata or {}).get(b"huggingface")
    if facts is None:
        return None
    feature = json.loads(facts).get("info", {}).get("features", {}).get(column, {})
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if names else None


def _without_repeats(dataset: Dataset, codes: IntArray) -> Dataset:
    """Return the dataset with the first of the rows that name the same file: copies of a row are one image."""
    _, first = np.unique(codes, return_index=True)
    repeats = len(codes) - len(first)
    if not repeats:
        return dataset
    kept = dataset.select(np.sort(first))
    return with_note(kept, "repeats", f"{repeats} rows name a file that an earlier row names too; each counts once")


def _check_one_each(path: Path, where: Encoded, labels: IntArray, column: Any, what: str, remedy: str) -> None:
    """Refuse a path in two rows with two labels, or in two parts of the split."""
    usable = np.flatnonzero((where.codes >= 0) & (labels >= 0))
    first = np.full(len(where.values), -1, dtype=np.int64)
    first[where.codes[usable][::-1]] = usable[::-1]
    twins = first[where.codes[usable]]
    differs = usable[labels[usable] != labels[twins]]
    if len(differs):
        row = int(differs[0])
        twin = int(first[where.codes[row]])
        raise DataError(
            f"{path}: {where.values[where.codes[row]]!r} has two {what}, {column[twin].as_py()!r} (row {twin + 1}) "
            f"and {column[row].as_py()!r} (row {row + 1}); correct one, or {remedy}"
        )


def _given(table: Any, columns: dict[str, str], path: Path) -> npt.NDArray[np.str_] | None:
    if "split" not in columns:
        return None
    encoded = encode(table[columns["split"]])
    unknown = [value for value in encoded.values if part_of(value) is None]
    if unknown:
        raise DataError(
            f"{path}: split {unknown[0]!r} in column {columns['split']!r} is not one of train, validation, test"
        )
    parts = np.array([*(part_of(value) or "" for value in encoded.values), ""], dtype="U10")
    return parts[encoded.codes]


def _about(path: Path, columns: dict[str, str]) -> dict[str, str]:
    given = {"split": f"given by column {columns['split']!r}"} if "split" in columns else {}
    return {"source": str(path), **given}


def _groups(table: Any, columns: dict[str, str], *, exact: bool) -> npt.NDArray[np.str_] | None:
    if "group" not in columns:
        return None
    encoded = encode(table[columns["group"]], exact=exact)
    groups = np.array([*encoded.values, ""], dtype=np.str_)[encoded.codes]
    alone = np.flatnonzero(encoded.codes < 0)
    if len(alone):  # a row without a group is a group of its own
        groups = groups.astype(f"U{max(groups.dtype.itemsize // 4, 12)}")
        groups[alone] = [f"row {row}" for row in alone]
    return groups


def _without_incomplete(dataset: Dataset, rows: IntArray, label_codes: IntArray) -> Dataset:
    if not len(rows):
        return dataset
    skips = []
    for row in rows.tolist():
        if label_codes[row] < 0:
            reader = dataset.reader.base if isinstance(dataset.reader, ChosenRows) else dataset.reader
            skips.append(Skip(f"row {row + 1}: {reader.name(row)}", "has no label in the manifest"))
        else:
            skips.append(Skip(f"row {row + 1}", "has no path in the manifest"))
    return dataset.without(rows, *skips)


def _texts(column: Any) -> list[str]:
    return [str(value) for value in column.to_pylist()]
