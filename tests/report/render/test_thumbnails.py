from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_study import npz
from PIL import Image

from headstart.errors import StoreError
from headstart.report.read.errors import Cell, Details, Mistake
from headstart.report.read.study_files import DataFolder
from headstart.report.render.thumbnails import (
    AUDITED,
    CORRECT,
    EXPLAINED_SIDE,
    base64_pictures,
    explanation_pictures,
    paired_pictures,
    read_thumbnails,
    rows_wanted,
    short_audit,
)

JPEGS = {7: b"seven" * 20, 3: b"three", 9: b"nine" * 25}  # 100, 5 and 100 bytes


@pytest.fixture
def data(tmp_path: Path) -> DataFolder:
    offsets = np.cumsum([0, *map(len, JPEGS.values())])
    content = np.frombuffer(b"".join(JPEGS.values()), dtype=np.uint8)
    (tmp_path / "thumbnails.npz").write_bytes(npz(rows=np.array(list(JPEGS)), offsets=offsets, data=content))
    table = pa.table({"row": np.arange(10), "name": [f"{k}.png" for k in range(10)], "label": np.zeros(10, np.int64)})
    pq.write_table(table, tmp_path / "items.parquet")
    return DataFolder("f", {}, tmp_path)


def test_each_row_has_its_own_bytes(data: DataFolder) -> None:
    found = read_thumbnails(data.folder)
    assert {row: found.jpeg(row) for row in JPEGS} == JPEGS and found.jpeg(8) is None


def test_no_file_is_no_picture_and_a_damaged_one_an_error(tmp_path: Path) -> None:
    assert read_thumbnails(tmp_path).jpeg(0) is None
    (tmp_path / "thumbnails.npz").write_bytes(b"PK broken")
    with pytest.raises(StoreError, match=r"thumbnails\.npz: cannot be read as thumbnails"):
        read_thumbnails(tmp_path)


def test_rows_are_embedded_once_in_order_until_the_budget_is_spent(data: DataFolder) -> None:
    found = base64_pictures(data, [9, 8, 9, 3, 7], {9: 1}, budget=105)
    assert list(found) == ["9", "3"]  # 100 + 5 bytes; row 8 has no picture; row 7 no longer fits
    assert found["9"] == {"name": "9.png", "label": 1, "src": base64.b64encode(JPEGS[9]).decode()}
    assert found["3"]["label"] is None
    assert list(base64_pictures(data, [7, 3], {}, budget=99)) == []


def details(mistakes: list[int], cells: list[Cell]) -> Details:
    found = tuple(Mistake(row, 0, 1, 0.9, 0.1, 1) for row in mistakes)
    return Details("run", False, 1, tuple(cells), (), found, (), ())


def test_the_worst_mistakes_of_all_runs_come_before_the_cells() -> None:
    best = details([1, 2], [Cell(0, 1, 3, (30, 31, 32, 33)), Cell(0, 0, 9, tuple(range(40, 48)))])
    second = details([5], [Cell(1, 0, 2, (60, 61)), Cell(1, 1, 2, (70,))])
    rows = list(rows_wanted([best, second], first=[99]))
    assert rows[:4] == [99, 1, 5, 2]  # one mistake of each run in turn
    assert rows[4:] == [30, 31, 32, 33, *range(40, 40 + CORRECT), 60, 61]


def save(path: Path, size: tuple[int, int]) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)).save(path, quality=95)


def decoded(src: str) -> Image.Image:
    assert src.startswith("data:image/jpeg;base64,")
    return Image.open(io.BytesIO(base64.b64decode(src.partition(",")[2])))


def test_explanations_are_made_small_and_end_with_the_budget(tmp_path: Path) -> None:
    items = [{"row": k, "method": "lime", "file": f"{k}.jpg", "folder": str(tmp_path)} for k in range(3)]
    for item in items:
        save(tmp_path / str(item["file"]), (400, 200))
    first = explanation_pictures(items[:1])[0]
    assert decoded(first.pop("src")).size == (EXPLAINED_SIDE, EXPLAINED_SIDE // 2)
    assert first == {"row": 0, "method": "lime"}
    length = len(base64.b64decode(explanation_pictures(items[:1])[0]["src"].partition(",")[2]))
    assert len(explanation_pictures(items, budget=2 * length)) == 2
    assert len(explanation_pictures(items, budget=2 * length - 1)) == 1


def test_a_missing_explanation_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"gone\.jpg: cannot be read as a picture"):
        explanation_pictures([{"row": 0, "file": "gone.jpg", "folder": str(tmp_path)}])


def test_pairs_keep_their_size_and_one_without_a_file_its_notes(tmp_path: Path) -> None:
    save(tmp_path / "explained" / "a.jpg", (300, 100))
    pairs: list[dict[str, Any]] = [
        {"runs": ["a", "b"], "file": "explained/a.jpg"},
        {"runs": ["a", "c"], "file": None, "notes": ["lime: cannot"]},
    ]
    one, other = paired_pictures(tmp_path, pairs)
    assert decoded(one.pop("src")).size == (300, 100) and one == {"runs": ["a", "b"]}
    assert other == {"runs": ["a", "c"], "notes": ["lime: cannot"]}


def test_an_audit_is_cut_and_keeps_the_pictures_that_it_shows() -> None:
    def place(row: int) -> dict[str, Any]:
        return {"row": row, "thumbnail": f"0:{row}"}

    long = AUDITED + 5
    audit = {
        "exact": [{"places": [place(1), place(2), place(3)]}],
        "near": [{"a": place(4), "b": place(5)}],
        "label_errors": [place(100 + k) for k in range(long)],
        "drop": {"exact": [2, 3]},
        "thumbnails": {f"0:{row}": "jpeg" for row in range(200)},
        "counts": {"near": 70},
    }
    short = short_audit(audit)
    assert short is not None and "drop" not in short and len(short["label_errors"]) == AUDITED
    shown = [1, 2, 4, 5, *range(100, 100 + AUDITED)]  # two of each group of equal files
    assert sorted(short["thumbnails"]) == sorted(f"0:{row}" for row in shown)
    assert short["lengths"] == {"exact": 1, "near": 70, "label_errors": long}
    assert short_audit(None) is None
