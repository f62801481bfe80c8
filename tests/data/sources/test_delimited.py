from __future__ import annotations

from pathlib import Path

import pytest

from headstart.data.sources.delimited import options_of, options_of_file
from headstart.errors import DataError


@pytest.mark.parametrize(
    ("text", "mark", "skipped"),
    [
        ("a,b\n1,2\n", ",", 0),
        ("a;b;c,d\n", ";", 0),
        ("a\tb\n", "\t", 0),
        ("sep=;\na;b\n", ";", 1),
        ('"sep=,"\r\na,b;c;d\r\n', ",", 1),
        ("separator\n", "\t", 0),
    ],
)
def test_the_separator_is_told_or_found_in_the_header(tmp_path: Path, text: str, mark: str, skipped: int) -> None:
    (tmp_path / "a.csv").write_text(text)
    for read, parse in (options_of(text.encode()), options_of_file(tmp_path / "a.csv")):
        assert (parse.delimiter, read.skip_rows, read.encoding) == (mark, skipped, "utf8")


def test_the_mark_of_utf_16_is_seen_and_an_empty_file_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("a;b\n".encode("utf-16"))
    read, parse = options_of_file(tmp_path / "a.csv")
    assert (parse.delimiter, read.encoding) == (";", "utf-16")
    for text in ("", " \n", "sep=;\n"):
        (tmp_path / "b.csv").write_text(text)
        with pytest.raises(DataError, match="the manifest is empty"):
            options_of_file(tmp_path / "b.csv")
