"""Whatever a manifest says, it is read as an independent reader reads it, or is refused in one line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from headstart.data.sources.manifest import SEPARATOR, from_manifest
from headstart.data.sources.text_column import MISSING
from headstart.errors import DataError

FEW = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
FILES = ("a.png", "b/c.png", "d e.png", "é.png", "x,y;z.png")
PARTS = {"train": "train", "val": "validation", "Test": "test", "": ""}
text = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=SEPARATOR), min_size=1, max_size=8)
labels = text.map(lambda label: f"x{label}y")  # no space at its ends, and no word for "missing"
rows = st.lists(st.tuples(labels, st.sampled_from(sorted(PARTS))), min_size=2, max_size=len(FILES))
cells = st.text(max_size=12) | st.sampled_from(
    [*sorted(MISSING), "../x", "/etc/passwd", "a|b", "=1+1", "a.png", "train"]
)
tables = st.lists(st.lists(cells, min_size=1, max_size=5), max_size=5)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with small images."""
    folder = tmp_path_factory.mktemp("images")
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)
    return folder


def written(place: Path, table: list[list[str]], mark: str) -> Path:
    """Return a manifest that Python's own module has written."""
    file = io.StringIO()
    csv.writer(file, delimiter=mark).writerows(table)
    path = place / "m.csv"
    path.write_text(file.getvalue(), encoding="utf-8", newline="")
    return path


@FEW
@given(rows, st.sampled_from([",", ";", "\t"]))
def test_a_table_is_read_as_it_was_written(place: Path, rows: list[tuple[str, str]], mark: str) -> None:
    table = [(FILES[number], *row) for number, row in enumerate(rows)]
    data = from_manifest(written(place, [["path", "label", "split"], *map(list, table)], mark))
    assert data.classes == tuple(sorted({label for _, label, _ in table})) and not data.skipped
    assert [data.classes[label] for label in data.labels.tolist()] == [label for _, label, _ in table]
    assert [data.reader.name(row) for row in range(len(data))] == [path for path, _, _ in table]
    given_split: Any = [""] * len(table) if data.given_split is None else data.given_split.tolist()
    assert given_split == [PARTS[part] for _, _, part in table]


@FEW
@given(tables, st.sampled_from([",", ";", "\t"]), st.booleans())
def test_any_table_is_read_or_refused_in_one_line(
    place: Path, table: list[list[str]], mark: str, with_header: bool
) -> None:
    try:
        data = from_manifest(written(place, [*([["path", "label"]] if with_header else []), *table], mark))
    except DataError as error:
        assert "\n" not in str(error) and str(place / "m.csv") in str(error)
    else:
        assert len(data) + len(data.skipped) <= len(table) and (data.labels >= 0).all()
