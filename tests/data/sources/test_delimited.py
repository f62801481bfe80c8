from __future__ import annotations

import io
from typing import Any

import pytest

from headstart.data.sources.delimited import options_of
from headstart.errors import DataError


def options(content: bytes) -> tuple[Any, Any]:
    return options_of(io.BytesIO(content), "a.csv")


@pytest.mark.parametrize(
    ("text", "mark", "skipped"),
    [
        ("a,b\n1,2\n", ",", 0),
        ("a;b;c,d\n", ";", 0),
        ("a\tb\n", "\t", 0),
        ("sep=;\na;b\n", ";", 1),
        ('"sep=,"\r\na,b;c;d\r\n', ",", 1),
        ("separator\n", "\t", 0),
        ("\n\na;b\n", ";", 2),
        (",,\r\na,b,c\r\n", ",", 1),
        ("sep=;\n\na;b\n", ";", 2),
    ],
)
def test_the_separator_is_told_or_found_in_the_header(text: str, mark: str, skipped: int) -> None:
    read, parse = options(text.encode())
    assert (parse.delimiter, read.skip_rows, read.encoding) == (mark, skipped, "utf8")


def test_the_mark_of_utf_16_is_seen_and_an_empty_file_refused() -> None:
    read, parse = options("a;b\n".encode("utf-16"))
    assert (parse.delimiter, read.encoding) == (";", "utf-16")
    for text in ("", " \n", "sep=;\n", "\n,,\n"):
        with pytest.raises(DataError, match=r"a\.csv: the manifest is empty"):
            options(text.encode())


def test_other_encodings_are_no_text() -> None:
    for content in ("a,b\n".encode("utf-16-le"), "é,b\n".encode("cp1252")):
        with pytest.raises(UnicodeDecodeError):
            options(content)
