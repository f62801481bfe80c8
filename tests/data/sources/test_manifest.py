from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from headstart.data.decoding.image_store import View, decode_images
from headstart.data.sources.load import load_dataset
from headstart.data.sources.manifest import images_of_table
from headstart.data.splits import make_split
from headstart.errors import DataError


@pytest.fixture
def place(tmp_path: Path, draw: Any) -> Path:
    """Return a folder with images 0.png … 5.png in `img`."""
    for seed in range(6):
        draw(tmp_path / "img" / f"{seed}.png", seed)
    return tmp_path


def write(place: Path, text: str, name: str = "m.csv") -> Path:
    path = place / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_gives_rows_in_its_order_and_sorted_classes(place: Path) -> None:
    data = load_dataset(write(place, "path,label\nimg/3.png,oak\nimg/1.png,ash\nimg/2.png,oak\n"))
    assert data.classes == ("ash", "oak")
    assert data.labels.tolist() == [1, 0, 1]
    assert data.reader.name(0) == "img/3.png"
    assert data.reader.read(0) == (place / "img" / "3.png").read_bytes()


def test_split_and_group_columns(place: Path) -> None:
    text = "path,label,split,group\nimg/0.png,a,train,p1\nimg/1.png,b,val,p2\nimg/2.png,a,Test,\nimg/3.png,b,,p1\n"
    data = load_dataset(write(place, text))
    assert data.given_split is not None and data.groups is not None
    assert data.given_split.tolist() == ["train", "validation", "test", ""]
    assert data.groups.tolist() == ["p1", "p2", "row 2", "p1"]


def test_tabs_semicolons_byte_order_marks_quotes_and_other_scripts(place: Path, draw: Any) -> None:
    draw(place / "img" / 'a, "b" 写.png', 9)
    write(place, '\ufefffile;class\n"img/a, ""b"" 写.png";роза\nimg/1.png;ash\n')
    data = load_dataset(place / "m.csv")
    assert data.classes == ("ash", "роза") and data.reader.name(0) == 'img/a, "b" 写.png'
    tabs = write(place, "filename\tlabel\nimg/0.png\tx\nimg/1.png\ty\n", "m.tsv")
    assert len(load_dataset(tabs)) == 2


def test_numbers_are_labels_too_and_stay_text(place: Path) -> None:
    data = load_dataset(write(place, "path,label\nimg/0.png,10\nimg/1.png,9\n"))
    assert data.classes == ("10", "9")


def test_another_label_column_can_be_named(place: Path) -> None:
    path = write(place, "path,label,genus\nimg/0.png,a,x\nimg/1.png,b,y\nimg/2.png,c,y\n")
    assert load_dataset(path, label="genus").classes == ("x", "y")
    with pytest.raises(DataError, match="no column 'family'; the columns are path, label, genus"):
        load_dataset(path, label="family")


def test_several_labels_in_one_cell(place: Path) -> None:
    data = load_dataset(write(place, "path,label\nimg/0.png,cat|dog\nimg/1.png,dog\nimg/2.png, dog | cat\n"))
    assert data.multi_label and data.classes == ("cat", "dog")
    assert data.labels.tolist() == [[True, True], [False, True], [True, True]]
    assert data.counts().tolist() == [2, 3]


def test_several_labels_in_a_list_column(place: Path) -> None:
    table = pyarrow.table({"path": ["img/0.png", "img/1.png"], "labels": [["b"], ["a", "b"]]})
    pyarrow.parquet.write_table(table, place / "m.parquet")
    assert load_dataset(place / "m.parquet").labels.tolist() == [[False, True], [True, True]]


def test_parquet_with_bytes(tmp_path: Path, encoded: Any) -> None:
    images = [encoded(seed) for seed in range(5)]
    table = pyarrow.table({"image_data": images, "label": ["a", "b", "a", "b", "a"], "split": ["train"] * 5})
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet", row_group_size=2)
    data = load_dataset(tmp_path / "m.parquet")
    assert [data.reader.read(row) for row in range(5)] == images
    assert len(decode_images(data, View(8, 8))) == 5
    assert load_dataset(tmp_path / "m.parquet").fingerprint == data.fingerprint


def numbered(tmp_path: Path, encoded: Any, labels: list[Any]) -> Path:
    image = pyarrow.array(
        [{"bytes": encoded(seed), "path": f"{seed}.png"} for seed in range(4)],
        type=pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]),
    )
    features = '{"info": {"features": {"label": {"names": ["pear", "apple"], "_type": "ClassLabel"}}}}'
    table = pyarrow.table({"image": image, "label": labels})
    pyarrow.parquet.write_table(table.replace_schema_metadata({"huggingface": features}), tmp_path / "m.parquet")
    return tmp_path / "m.parquet"


def test_parquet_as_hugging_face_writes_it(tmp_path: Path, encoded: Any) -> None:
    data = load_dataset(numbered(tmp_path, encoded, [0, 1, 1, 0]))
    assert data.classes == ("apple", "pear") and data.labels.tolist() == [1, 0, 0, 1]
    assert data.reader.read(2) == encoded(2)


def test_a_numbered_label_of_minus_one_is_none(tmp_path: Path, encoded: Any) -> None:
    data = load_dataset(numbered(tmp_path, encoded, [0, -1, 1, None]))
    assert data.classes == ("apple", "pear") and data.labels.tolist() == [1, 0]
    assert [(skip.name, skip.reason) for skip in data.skipped] == [
        ("row 2: row 1", "has no label in the manifest"),
        ("row 4: row 3", "has no label in the manifest"),
    ]


@pytest.mark.parametrize("labels", [[0, 1, 99, 1], [0, 1, -2, 1], ["0", "1", "pear", "1"], [0.0, 1.0, 0.5, 1.0]])
def test_a_numbered_label_that_is_no_class_is_refused_by_row(tmp_path: Path, encoded: Any, labels: list[Any]) -> None:
    with pytest.raises(DataError, match=r"m.parquet, column 'label', row 3: the label '.*' is not the number of a cl"):
        load_dataset(numbered(tmp_path, encoded, labels))


def test_rows_without_a_label_or_a_path_are_skipped_and_listed(place: Path) -> None:
    path = write(place, "path,label\nimg/0.png,a\nimg/1.png,\n,b\nimg/3.png,b\nimg/4.png, \n")
    data = load_dataset(path)
    assert data.labels.tolist() == [0, 1]
    assert [(skip.name, skip.reason) for skip in data.skipped] == [
        ("row 2: img/1.png", "has no label in the manifest"),
        ("row 3", "has no path in the manifest"),
        ("row 5: img/4.png", "has no label in the manifest"),
    ]
    with pytest.raises(DataError, match=r"row 2: img/1.png has no label"):
        load_dataset(path, strict=True)


def test_files_that_are_not_there_are_skipped_and_listed(place: Path) -> None:
    data = load_dataset(write(place, "path,label\nimg/0.png,a\nimg/99.png,b\nimg/1.png,b\n"))
    assert [(skip.name, skip.reason) for skip in data.skipped] == [("img/99.png", "does not exist")]


def test_the_same_path_with_two_labels_is_refused(place: Path) -> None:
    path = write(place, "path,label\nimg/0.png,a\nimg/1.png,b\nimg/0.png,b\n")
    with pytest.raises(DataError, match=r"'img/0.png' has two labels, 'a' \(row 1\) and 'b' \(row 3\)"):
        load_dataset(path)


def test_rows_that_name_one_file_are_one_image(place: Path) -> None:
    data = load_dataset(write(place, "path,label\n" + "img/0.png,a\nimg/1.png,b\n" * 50))
    assert [data.reader.name(row) for row in range(len(data))] == ["img/0.png", "img/1.png"]
    assert data.about["repeats"] == "98 rows name a file that an earlier row names too; each counts once"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the manifest is empty"),
        ("path,label\n", "the manifest has no rows"),
        ("path,colour\nimg/0.png,red\n", "no column 'label'; the columns are path, colour"),
        ("name,label\nimg/0.png,red\n", r"no column 'path \(or bytes\)'"),
        ("path,label\nimg/0.png\n", "the manifest cannot be read"),
        ("path,label\nimg/0.png,\n", "no row has a label"),
        ("path,label,split\nimg/0.png,a,train\nimg/1.png,b,foo\n", "split 'foo' .* not one of train, validation, test"),
        ("path,label\nimg/0.png,a\nimg/1.png,a\n", "there is only one class"),
        ("path,label\nimg/0.png,|\nimg/1.png,|\n", "there are no classes; at least two are needed"),
        (
            "path,label\nx.png,a\ny.png,b\n",
            r"no usable image: 2 that do not exist \(the first: x\.png; looked for in /.*\)",
        ),
        ("a/1.png,rose\na/2.png,lily\n", "are a/1.png, rose; these are values: begin .* line path,label"),
        (
            "path,Class Name\nimg/0.png,red\n",
            r"name the one with the labels \(label=NAME, on the command line --label NAME\)",
        ),
        (
            "url,label\nhttps://a.org/b.png,red\n",
            "addresses are not fetched: download the images, and write their paths",
        ),
        (
            "path,label\nhttps://a.org/b.png,a\nhttps://a.org/c.png,b\n",
            r"2 given as an address; download .* \(the first: https://a\.org/b\.png\)",
        ),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said_in_one_line(place: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        load_dataset(write(place, text))
    assert "\n" not in str(caught.value)


def test_a_table_that_excel_wrote_for_windows_is_refused_with_what_to_do(place: Path) -> None:
    path = write(place, "path,label\nimg/0.png,a\n")
    path.write_bytes("path;label\nimg/0.png;für\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"the manifest is not UTF-8 .* save it as 'CSV UTF-8'"):
        load_dataset(path)


def test_a_parquet_file_that_is_none_is_refused(place: Path) -> None:
    with pytest.raises(DataError, match="the manifest cannot be read"):
        load_dataset(write(place, "hello", "m.parquet"))


def test_groups_of_a_manifest_are_kept_whole(place: Path, draw: Any) -> None:
    lines = ["path,label,group"]
    for seed in range(40):
        draw(place / "g" / f"{seed}.png", seed)
        lines.append(f"g/{seed}.png,{'ab'[seed % 2]},p{seed % 8}")
    data = load_dataset(write(place, "\n".join(lines) + "\n"))
    split = make_split(data)
    assert data.groups is not None
    assert not set(data.groups[split.train]) & set(data.groups[split.test])
    assert len(split.test) and len(split.validation)


def test_a_parquet_file_damaged_in_the_middle_is_named(tmp_path: Path, encoded: Any) -> None:
    table = pyarrow.table({"bytes": [encoded(seed) for seed in range(60)], "label": list("ab") * 30})
    path = tmp_path / "m.parquet"
    pyarrow.parquet.write_table(table, path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[4:64] = bytes(60)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"m.parquet: row group 0 cannot be read"):
        load_dataset(path)


@pytest.mark.parametrize("spelling", ["", "NaN", "nan", "N/A", "NA", "None", "null", "<NA>"])
def test_a_missing_label_is_missing_in_any_spelling(tmp_path: Path, draw: Any, spelling: str) -> None:
    for seed, name in enumerate("abc"):
        draw(tmp_path / f"{name}.png", seed)
    (tmp_path / "m.csv").write_text(f"path,label\na.png,cat\nb.png,dog\nc.png,{spelling}\n")
    found = load_dataset(tmp_path / "m.csv")
    assert found.classes == ("cat", "dog") and len(found) == 2
    assert [skip.reason for skip in found.skipped] == ["has no label in the manifest"]


def test_a_missing_number_in_parquet_is_no_class(tmp_path: Path, draw: Any) -> None:
    for seed, name in enumerate("abc"):
        draw(tmp_path / f"{name}.png", seed)
    table = pyarrow.table({"path": ["a.png", "b.png", "c.png"], "label": [1.0, 2.0, float("nan")]})
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet")
    assert load_dataset(tmp_path / "m.parquet").classes == ("1", "2")


def test_one_image_in_two_parts_is_refused(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "a.png", 0)
    draw(tmp_path / "b.png", 1)
    (tmp_path / "m.csv").write_text("path,label,split\na.png,cat,train\nb.png,dog,train\n./a.png,cat,test\n")
    with pytest.raises(DataError, match=r"'a.png' has two parts, 'train' \(row 1\) and 'test' \(row 3\)"):
        load_dataset(tmp_path / "m.csv")


def test_backslashes_of_windows_are_separators(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "cats" / "a.png", 0)
    draw(tmp_path / "dogs" / "b.png", 1)
    (tmp_path / "m.csv").write_text("path,label\ncats\\a.png,cat\n.\\dogs\\b.png,dog\n")
    found = load_dataset(tmp_path / "m.csv")
    assert [found.reader.name(row) for row in range(2)] == ["cats/a.png", "dogs/b.png"]


def test_labels_are_composed(tmp_path: Path, draw: Any) -> None:
    for seed, name in enumerate("abc"):
        draw(tmp_path / f"{name}.png", seed)
    (tmp_path / "m.csv").write_text("path,label\na.png,caf\u00e9\nb.png,cafe\u0301\nc.png,tea\n", encoding="utf-8")
    assert load_dataset(tmp_path / "m.csv").classes == ("caf\u00e9", "tea")


def test_a_table_whose_text_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    ends, text = np.array([0, 1, 2], dtype=np.int32), b"\xffb"
    broken = pyarrow.StringArray.from_buffers(2, pyarrow.py_buffer(ends), pyarrow.py_buffer(text))
    pyarrow.parquet.write_table(pyarrow.table({"path": ["a.png", "b.png"], "label": broken}), tmp_path / "m.parquet")
    with pytest.raises(DataError, match=r"m.parquet: the manifest (holds text that is not UTF-8|cannot be read)"):
        load_dataset(tmp_path / "m.parquet")


@pytest.mark.parametrize(
    ("text", "coding"),
    [
        ("sep=;\r\npath;label\r\nimg\\0.png;Rosé\r\nimg\\1.png;Lily\r\n", "utf-8"),
        ("sep=|\npath|label\nimg/0.png|Rosé\nimg/1.png|Lily\n", "utf-8-sig"),
        ("path\tlabel\nimg/0.png\tRosé\nimg/1.png\tLily\n", "utf-16"),
        ("File Name;Label\nimg/0.png;Rosé\nimg/1.png;Lily\n", "utf-8-sig"),
    ],
)
def test_a_table_that_excel_wrote_is_read_as_it_is(place: Path, text: str, coding: str) -> None:
    path = place / "excel.csv"
    path.write_bytes(text.encode(coding))
    found = load_dataset(path)
    assert found.classes == ("Lily", "Rosé") and found.labels.tolist() == [1, 0]


@pytest.mark.parametrize("column", ["path", "label", "split", "group"])
@pytest.mark.parametrize("cell", [{"a": 1}, [["a"]], [{"a": 1}]])
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_cell_that_is_no_text_is_refused_with_its_row(place: Path, column: str, cell: Any, suffix: str) -> None:
    rows = [{"path": f"img/{n}.png", "label": "ab"[n % 2], "split": "train", "group": "g"} for n in range(6)]
    rows = [{**row, column: cell if n else None} for n, row in enumerate(rows)]
    path = place / f"m.{suffix}"
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    with pytest.raises(DataError, match=rf"m\.{suffix}: row 2, column '{column}': .* is not text"):
        load_dataset(path)
    if column == "path":
        with pytest.raises(DataError, match=r"row 2, .* is not text"):
            images_of_table(path)


def test_numbers_in_json_lines_are_text(place: Path) -> None:
    rows = [{"path": 7, "label": n % 2, "split": None, "group": n} for n in range(4)]
    path = write(place, "".join(json.dumps(row) + "\n" for row in rows), "m.jsonl")
    assert images_of_table(path) == ["7"] * 4
    rows = [{"path": f"img/{n}.png", "label": [n % 2, None] if n else None, "group": n} for n in range(4)]
    data = load_dataset(write(place, "".join(json.dumps(row) + "\n" for row in rows), "n.jsonl"))
    assert data.classes == ("0", "1") and data.labels.tolist() == [[False, True], [True, False], [False, True]]


def test_a_label_in_a_list_that_is_missing_is_no_class(place: Path) -> None:
    labels = [["a", None], [None], ["NaN", "b"], ["a", "b"]]
    table = pyarrow.table({"path": [f"img/{n}.png" for n in range(4)], "label": labels})
    pyarrow.parquet.write_table(table, place / "m.parquet")
    data = load_dataset(place / "m.parquet")
    assert data.classes == ("a", "b") and data.labels.tolist() == [[True, False], [False, True], [True, True]]
    data = load_dataset(write(place, "path,label\nimg/0.png,a|NaN\nimg/1.png,b\nimg/2.png,a|b\n"))
    assert data.classes == ("a", "b") and data.labels.tolist() == [[True, False], [False, True], [True, True]]
