"""How a CSV or TSV file is written: its encoding, what separates its cells, and in which line its header is."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

from headstart.errors import DataError

_SEPARATED = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)  # Excel names the separator so, in a line before the header
_BEGINNING = 1 << 16  # bytes within which the header ends


def options_of_file(path: Path) -> tuple[Any, Any]:
    """Return pyarrow's options for reading and for parsing a file.

    Raises:
        DataError: the file is empty.
        UnicodeDecodeError: it is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    with path.open("rb") as binary:
        coding = "utf-16" if binary.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    with path.open(encoding=coding, newline="") as file:
        lines = [file.readline()]
        if _SEPARATED.match(lines[0]):
            lines.append(file.readline())
    if not lines[-1].strip():
        raise DataError(f"{path}: the manifest is empty")
    return _options(lines, "utf-16" if coding == "utf-16" else "utf8")


def options_of(data: bytes) -> tuple[Any, Any]:
    """Return pyarrow's options for reading and for parsing the content of a file in UTF-8."""
    return _options(data[:_BEGINNING].decode("utf-8-sig", "replace").splitlines()[:2] or [""], "utf8")


def _options(lines: list[str], encoding: str) -> tuple[Any, Any]:
    import pyarrow.csv

    told = _SEPARATED.match(lines[0])
    header = lines[1] if told and len(lines) > 1 else lines[0]
    mark = told[1] if told else max("\t;,", key=header.count)
    read = pyarrow.csv.ReadOptions(skip_rows=1 if told else 0, encoding=encoding)
    return read, pyarrow.csv.ParseOptions(delimiter=mark, newlines_in_values=True)
