"""Parquet files with the images' bytes: several as one data set, from a folder, a pattern or an address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.data.dataset import Dataset, IntArray, JoinedRows, Reader
from headstart.data.file_ranges import file_at
from headstart.data.sources.manifest import Listing, from_table, roles_of
from headstart.data.sources.parquet import ParquetReader, opened
from headstart.data.sources.shard_names import parts_of
from headstart.errors import DataError, first_line
from headstart.storage.arrow import arrow


def from_parquet_files(source: str, places: Sequence[str], label: str | None, name: str) -> Dataset:
    """Return the images of Parquet files with a column of bytes, in the order of the files.

    Args:
        source: what the user named.
        places: paths or addresses.
        label: the column that holds the label.

    Raises:
        DataError: a file is absent or no such table, or the files have different columns.
    """
    pyarrow = arrow()
    files = [file_at(place) for place in places]
    tables, columns = [], dict[str, str]()
    for file in files:
        parquet = opened(file)
        roles = roles_of(file.place, parquet.schema_arrow, label, ("label", "path"), binary=True)
        if "bytes" not in roles:
            raise DataError(
                f"{file.place}: no column of images' bytes; the columns are {', '.join(parquet.schema_arrow.names)}"
            )
        if columns and roles != columns:
            raise DataError(f"{file.place}: has other columns than {places[0]}")
        columns = roles
        taken = sorted({column for role, column in columns.items() if role != "bytes"})
        tables.append(_read(parquet, taken, file.place))
    try:
        table = pyarrow.concat_tables(tables)
    except pyarrow.ArrowException as error:
        raise DataError(f"{source}: its files have different columns ({first_line(error)})") from error
    columns, table = _with_parts(columns, table, parts_of(places), [each.num_rows for each in tables])

    def images(names: list[str] | None) -> Reader:
        readers, start = [], 0
        for file, rows in zip(files, tables, strict=True):
            chosen = None if names is None else names[start : start + rows.num_rows]
            readers.append(ParquetReader(file, columns["bytes"], chosen))
            start += rows.num_rows
        return readers[0] if len(readers) == 1 else JoinedRows(*readers)

    listing = Listing(Path(source), table, columns, str, _no_files, images)
    found = from_table(listing, name)
    return replace(found, about={**found.about, "source": source, "files": f"{len(places):,}"})


def _read(parquet: Any, columns: list[str], place: str) -> Any:
    pyarrow = arrow()
    try:
        return parquet.read(columns=columns)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{place}: cannot be read ({first_line(error)})") from error


def _with_parts(
    columns: dict[str, str], table: Any, parts: Sequence[str], counts: Sequence[int]
) -> tuple[dict[str, str], Any]:
    """Return columns and table, with the parts of the split by the files' names where no column has them."""
    if "split" in columns or not any(parts):
        return columns, table
    pyarrow = arrow()
    added = "split by file"
    values = [part for part, count in zip(parts, counts, strict=True) for _ in range(count)]
    return {**columns, "split": added}, table.append_column(added, pyarrow.array(values))


def _no_files(names: list[str], codes: IntArray) -> Reader:
    raise AssertionError("the images are in the files themselves")
