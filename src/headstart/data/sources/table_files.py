"""Reads tables of images (CSV, TSV, JSON Lines, Parquet), from a file or from an archive's member, and their cells."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from headstart.data.sources.delimited import options_of
from headstart.errors import DataError, first_line
from headstart.storage.arrow import arrow, arrow_csv, arrow_json, arrow_parquet

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", ".pq")
Columns = Callable[[Any], Sequence[str]]  # which columns of a schema are to be read


def read_table(place: Path | str, data: bytes | None = None, columns: Columns | None = None) -> Any:
    """Return an Arrow table; the cells of a CSV or TSV file are text, or missing.

    Args:
        place: the file, or what the content is called; its suffix says what kind of table it is.
        data: the content; by default that of the file.
        columns: chooses columns; by default all.

    Raises:
        DataError: it cannot be read.
    """
    pyarrow = arrow()

    def opened() -> BinaryIO:
        return Path(place).open("rb") if data is None else io.BytesIO(data)

    suffix = PurePosixPath(str(place)).suffix.lower()
    try:
        if suffix in (".parquet", ".pq"):
            return _read_parquet(opened, place, columns)
        return _read_json(opened, place, columns) if suffix == ".jsonl" else _read_csv(opened, place, columns)
    except UnicodeDecodeError as error:
        raise DataError(_not_utf_8(place, f" (byte {error.start})")) from error
    except (pyarrow.ArrowException, OSError) as error:
        if "UTF8" in str(error):
            raise DataError(_not_utf_8(place)) from error
        raise DataError(f"{place}: the manifest cannot be read ({first_line(error)})") from error


def text_cells(place: Path | str, table: Any, column: str, *, lists: bool = False) -> Any:
    """Return a column whose cells are text, numbers as text; with `lists`, lists of these are left as they are.

    Raises:
        DataError: a cell is neither; the message names the row.
    """
    pyarrow = arrow()
    cells = table[column]
    kind, within = cells.type, pyarrow.types
    if lists and (within.is_list(kind) or within.is_large_list(kind)) and not within.is_nested(kind.value_type):
        return cells
    if within.is_dictionary(kind) or within.is_string(kind):
        return cells
    try:
        if not within.is_nested(kind):
            return cells.cast(pyarrow.string())
    except pyarrow.ArrowException as error:
        raise DataError(_no_text(place, cells, column)) from error
    raise DataError(_no_text(place, cells, column))


def with_text(place: Path | str, table: Any, columns: Sequence[str], lists: Sequence[str] = ()) -> Any:
    """Return a table whose columns of these names hold text; those in `lists` may hold lists of it.

    Raises:
        DataError: a cell of them does not; the message names the row.
    """
    for column in dict.fromkeys(columns):
        cells = text_cells(place, table, column, lists=column in lists)
        table = table.set_column(table.schema.get_field_index(column), column, cells)
    return table


def _no_text(place: Path | str, cells: Any, column: str) -> str:
    row = next((row for row, cell in enumerate(cells) if cell.is_valid), 0)
    shown = " ".join(str(cells[row].as_py()).split())
    return f"{place}: row {row + 1}, column {column!r}: {shown:.60} is not text; write text or a number there"


def _not_utf_8(place: Path | str, where: str = "") -> str:
    return f"{place}: the manifest is not UTF-8{where}; in Excel, save it as 'CSV UTF-8'"


def _wanted(schema: Any, place: Path | str, columns: Columns | None) -> list[str]:
    """Return the columns to read; by default all that have a name.

    Raises:
        DataError: two have one name.
    """
    wanted = [name for name in schema.names if name.strip()] if columns is None else columns(schema)
    twice = next((name for name in wanted if schema.names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{place}: two columns are called {twice!r}; rename or remove one")
    return list(wanted)


def _read_csv(opened: Callable[[], BinaryIO], place: Path | str, columns: Columns | None) -> Any:
    pyarrow = arrow()
    with opened() as file:
        read, parse = options_of(file, place)
    with opened() as file, arrow_csv().open_csv(file, read_options=read, parse_options=parse) as stream:
        schema = stream.schema
    names = _wanted(schema, place, columns)
    convert = arrow_csv().ConvertOptions(
        include_columns=names,
        column_types=dict.fromkeys(names, pyarrow.string()),
        null_values=[""],
        strings_can_be_null=True,
    )
    with opened() as file:
        return arrow_csv().read_csv(file, read_options=read, parse_options=parse, convert_options=convert)


def _read_json(opened: Callable[[], BinaryIO], place: Path | str, columns: Columns | None) -> Any:
    with opened() as file:
        file.seek(len(codecs.BOM_UTF8) if file.read(3) == codecs.BOM_UTF8 else 0)
        table = arrow_json().read_json(file)
    return table.select(_wanted(table.schema, place, columns))


def _read_parquet(opened: Callable[[], BinaryIO], place: Path | str, columns: Columns | None) -> Any:
    with opened() as file:
        schema = arrow_parquet().read_schema(file)
    names = _wanted(schema, place, columns)
    with opened() as file:
        return arrow_parquet().read_table(file, columns=names)
