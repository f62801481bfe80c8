"""How a CSV or TSV file is written: its encoding, what separates its cells, and in which line its header is."""

from __future__ import annotations

import codecs
import io
import re
from pathlib import Path
from typing import Any, BinaryIO

from headstart.errors import DataError
from headstart.storage.arrow import arrow_csv

_SEPARATED = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)  # Excel names the separator so, in a line before the header
_BLANK = ' \t\r\n,;"'  # of a line before the header, as Excel writes an empty row


def options_of(file: BinaryIO, place: Path | str) -> tuple[Any, Any]:
    """Return pyarrow's options for reading and for parsing an open file; its beginning is read.

    Raises:
        DataError: the file is empty.
        UnicodeDecodeError: it is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    coding = "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    file.seek(0)
    before, told, header = 0, "", ""
    text = io.TextIOWrapper(file, encoding=coding, newline="")
    try:
        for line in text:
            found = _SEPARATED.match(line)
            if line.strip(_BLANK) and (told or not found):
                header = line
                break
            before, told = before + 1, found[1] if found else told
    finally:
        text.detach()
    if not header:
        raise DataError(f"{place}: the manifest is empty")
    if "\0" in header:  # of UTF-16 without its mark
        raise UnicodeDecodeError("utf-8", header.encode(), header.index("\0"), header.index("\0") + 1, "no text")
    mark = told or max("\t;,", key=header.count)
    csv = arrow_csv()
    read = csv.ReadOptions(skip_rows=before, encoding="utf-16" if coding == "utf-16" else "utf8")
    return read, csv.ParseOptions(delimiter=mark, newlines_in_values=True)
