from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from headstart.data.sources.table_files import SUFFIXES, read_table, text_cells, with_text
from headstart.errors import DataError

ROWS = [{"path": "a.png", "label": "café"}, {"path": "b.png", "label": "tea"}]


def content_of(suffix: str, encoding: str = "utf-8") -> bytes:
    if suffix == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode(encoding)
    if suffix in (".parquet", ".pq"):
        sink = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), sink)
        return sink.getvalue()
    mark = "\t" if suffix == ".tsv" else ","
    return "".join(f"{mark.join(row)}\r\n" for row in [list(ROWS[0]), *(row.values() for row in ROWS)]).encode(encoding)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_and_the_same_content_are_read_alike(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix.upper()}"
    path.write_bytes(content_of(suffix))
    assert read_table(path).to_pylist() == read_table(f"m{suffix}", path.read_bytes()).to_pylist() == ROWS
    assert read_table(path, columns=lambda schema: schema.names[1:]).to_pylist() == [
        {"label": r["label"]} for r in ROWS
    ]


@pytest.mark.parametrize(
    ("before", "encoding"), [(b"", "utf-16"), (b"\xef\xbb\xbf", "utf-8"), (b"\n\r\n", "utf-8"), (b",\r\n", "utf-8")]
)
@pytest.mark.parametrize("held", [False, True])
def test_what_excel_and_editors_write_is_read(tmp_path: Path, before: bytes, encoding: str, held: bool) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(before + content_of(".csv", encoding))
    assert read_table(path, path.read_bytes() if held else None).to_pylist() == ROWS


def test_json_lines_may_have_a_byte_order_mark() -> None:
    assert read_table("m.jsonl", b"\xef\xbb\xbf" + content_of(".jsonl")).to_pylist() == ROWS


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.csv", content_of(".csv", "cp1252"), "is not UTF-8"),
        ("m.csv", content_of(".csv", "utf-16-le"), "is not UTF-8"),
        ("m.csv", b"", "is empty"),
        ("m.csv", b"a,b\n1,2,3\n", "cannot be read"),
        ("m.jsonl", b'{"a": 1}\n{"a": "b"}\n', "cannot be read"),
        ("m.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    for place, data in ((tmp_path / name, None), (name, content)):
        with pytest.raises(DataError, match=words) as caught:
            read_table(place, data)
        assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{place}: ")


@pytest.mark.parametrize(
    ("cells", "texts"),
    [
        ([1, None, 30], ["1", None, "30"]),
        ([1.0, None], ["1", None]),
        ([True, False], ["true", "false"]),
        ([None, None], [None, None]),
        (["a", None], ["a", None]),
        ([b"a", None], ["a", None]),
    ],
)
def test_numbers_are_text(cells: list[Any], texts: list[str | None]) -> None:
    assert text_cells("m", pyarrow.table({"a": cells}), "a").to_pylist() == texts


@pytest.mark.parametrize(
    "cells", [[None, {"x": 1}], [None, ["a"]], [None, [{"x": 1}]], [None, [["a"]]], [None, b"\xff"]]
)
def test_what_is_no_text_is_named_with_its_row(cells: list[Any]) -> None:
    with pytest.raises(DataError, match=r"^m: row 2, column 'a': .* is not text; write text or a number there$"):
        text_cells("m", pyarrow.table({"a": cells}), "a")
    assert text_cells("m", pyarrow.table({"a": [["b"]]}), "a", lists=True).to_pylist() == [["b"]]


def test_a_table_keeps_what_is_said_about_it() -> None:
    table = pyarrow.table({"a": [1, 2], "b": [["x"], []]}).replace_schema_metadata({"headstart": "1"})
    found = with_text("m", table, ["a", "b"], lists=["b"])
    assert found.to_pydict() == {"a": ["1", "2"], "b": [["x"], []]}
    assert found.schema.metadata == {b"headstart": b"1"}


def test_two_columns_of_one_name_are_refused_where_one_is_needed() -> None:
    content = b"path,label,label,,\na.png,x,y,,\n"
    with pytest.raises(DataError, match=r"^m\.csv: two columns are called 'label'; rename or remove one$"):
        read_table("m.csv", content)
    assert read_table("m.csv", content, lambda _: ["path"]).to_pydict() == {"path": ["a.png"]}
    assert read_table("m.csv", b"path,label,,\na.png,x,,\n").column_names == ["path", "label"]
