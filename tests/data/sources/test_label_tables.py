from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from headstart.data.dataset import Dataset
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError

CELLS = ("oak", "ash", "oak", "ash")


def labelled(data: Dataset) -> dict[str, str]:
    return {data.reader.name(row): data.classes[int(data.labels[row])] for row in range(len(data))}


def parts(data: Dataset) -> dict[str, str]:
    assert data.given_split is not None
    return {data.reader.name(row): str(data.given_split[row]) for row in range(len(data))}


@pytest.fixture
def pictures(tmp_path: Path, draw: Any) -> Any:
    """Return pictures("train", "test"): a folder with 0.png … 3.png in each of these."""

    def make(*folders: str) -> Path:
        root = tmp_path / "trees"
        for number, folder in enumerate(folders):
            for seed in range(4):
                draw(root / folder / f"{seed}.png", 10 * number + seed)
        return root

    return make


def table(path: Path, header: str, names: str = "{}.png", cells: tuple[str, ...] = CELLS) -> None:
    rows = [f"{names.format(row)},{cell}" for row, cell in enumerate(cells)]
    path.write_text("\n".join([header, *rows]) + "\n")


def test_metadata_in_one_folder_with_its_images(pictures: Any) -> None:
    root = pictures("")
    table(root / "metadata.csv", "file_name,label")
    data = load_dataset(root)
    assert labelled(data) == {"0.png": "oak", "1.png": "ash", "2.png": "oak", "3.png": "ash"}
    assert data.given_split is None and data.about["labels"] == "column 'label' of metadata.csv"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_metadata_in_each_part_is_the_split_too(pictures: Any, kind: str) -> None:
    root = pictures("train", "test")
    for part in ("train", "test"):
        rows = [{"file_name": f"{row}.png", "tree": cell} for row, cell in enumerate(CELLS)]
        place = root / part / f"metadata.{kind}"
        if kind == "csv":
            table(place, "file_name,tree")
        elif kind == "jsonl":
            place.write_text("\n".join(map(json.dumps, rows)))
        else:
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), place)
    data = load_dataset(root)
    assert len(data) == 8 and labelled(data)["train/0.png"] == "oak" and labelled(data)["test/1.png"] == "ash"
    assert parts(data)["train/0.png"] == "train" and parts(data)["test/0.png"] == "test"
    assert data.about["split"] == f"given by test/metadata.{kind}, train/metadata.{kind}"


def test_one_metadata_above_the_parts(pictures: Any) -> None:
    root = pictures("train", "test")
    lines = ["file_name,label", *(f"{part}/{row}.png,{CELLS[row]}" for part in ("train", "test") for row in range(4))]
    (root / "metadata.csv").write_text("\n".join(lines))
    data = load_dataset(root)
    assert len(data) == 8 and parts(data)["test/3.png"] == "test" and data.about["split"] == "given by folders"


@pytest.mark.parametrize(
    ("folders", "file", "header", "names"),
    [
        (("train", "test"), "train.csv", "id,breed", "{}"),
        (("train", "test"), "trainLabels.csv", "id,label", "{}"),
        (("train", "test"), "train_labels.csv", "Id,Category", "{}.png"),
        (("train_images", "test_images"), "train.csv", "image_id,label", "{}.png"),
        (("images",), "train.csv", "image,species", "{}.png"),
        (("images",), "labels.csv", "image,species", "images\\{}.png"),
    ],
)
def test_a_table_and_a_folder_as_kaggle_gives_them(
    pictures: Any, folders: tuple[str, ...], file: str, header: str, names: str
) -> None:
    root = pictures(*folders)
    table(root / file, header, names)
    table(root / "sample_submission.csv", header, names, ("oak",) * 4)
    (root / "test.csv").write_text("id,sex\n0,m\n1,f\n2,m\n3,f\n")
    data = load_dataset(root)
    assert labelled(data) == {f"{folders[0]}/{row}.png": cell for row, cell in enumerate(CELLS)}
    assert data.given_split is None
    if len(folders) > 1:
        assert data.about["not listed"] == "4 images that no table names"


def test_the_same_in_an_archive(pictures: Any, tmp_path: Path) -> None:
    root = pictures("train", "test")
    table(root / "train.csv", "id,breed", "{}")
    archive = shutil.make_archive(str(tmp_path / "dogs"), "zip", root)
    data = load_dataset(archive)
    assert labelled(data) == labelled(load_dataset(root)) and data.fingerprint == load_dataset(root).fingerprint


def test_tables_of_two_parts_are_the_split(pictures: Any) -> None:
    root = pictures("train", "test")
    for part in ("train", "test"):
        table(root / f"{part}.csv", "id,label")
    data = load_dataset(root)
    assert len(data) == 8 and parts(data)["train/1.png"] == "train" and parts(data)["test/1.png"] == "test"


def test_a_column_of_parts_is_the_split(pictures: Any) -> None:
    root = pictures("images")
    table(root / "metadata.csv", "file_name,label,split", cells=("oak,train", "ash,train", "oak,test", "ash,"))
    data = load_dataset(root)
    assert list(parts(data).values()) == ["train", "train", "test", ""]


def test_several_labels_of_an_image(pictures: Any) -> None:
    root = pictures("")
    rows = [{"file_name": f"{row}.png", "labels": [cell, "tree"]} for row, cell in enumerate(CELLS)]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = load_dataset(root)
    assert (
        data.multi_label and data.classes == ("ash", "oak", "tree") and data.labels[0].tolist() == [False, True, True]
    )


def test_two_folders_that_may_be_classes_beside_a_list_of_one_are_refused(pictures: Any) -> None:
    root = pictures("images", "more")
    table(root / "list.csv", "filename,class", "images/{}.png")
    with pytest.raises(DataError, match=r"the folders \(images, more\) and column 'class' of list\.csv \(ash, oak\)"):
        load_dataset(root)


def test_folders_and_a_table_that_say_the_same_are_the_folders(pictures: Any) -> None:
    root = pictures("oak", "ash")
    lines = ["file_name,label", *(f"{kind}/{row}.png,{kind}" for kind in ("oak", "ash") for row in range(4))]
    (root / "metadata.csv").write_text("\n".join(lines))
    assert "labels" not in load_dataset(root).about and len(load_dataset(root)) == 8


def test_folders_and_a_table_that_differ_are_refused_with_both_readings_and_one_is_chosen(pictures: Any) -> None:
    root = pictures("summer", "winter")
    lines = [
        "file_name,label",
        *(f"{kind}/{row}.png,{CELLS[row]}" for kind in ("summer", "winter") for row in range(4)),
    ]
    (root / "metadata.csv").write_text("\n".join(lines))
    with pytest.raises(DataError) as refused:
        load_dataset(root)
    assert str(refused.value) == (
        f"{root}: has two readings, the folders (summer, winter) and column 'label' of metadata.csv (ash, oak);"
        " choose one: label='folder' (--label folder) or label='label' (--label label)"
    )
    assert load_dataset(root, label="folder").classes == ("summer", "winter")
    assert load_dataset(root, label="label").classes == ("ash", "oak")


def test_a_table_of_something_else_beside_class_folders_is_no_reading(pictures: Any) -> None:
    root = pictures("oak", "ash")
    (root / "labels.csv").write_text("id,name\n0,oak\n1,ash\n")
    (root / "prices.csv").write_text("file,price\noak/0.png,3\noak/1.png,3\nash/0.png,4\nash/1.png,4\n")
    (root / "notes.csv").write_bytes(b"\xff\xfe\x00broken")
    data = load_dataset(root)
    assert data.classes == ("ash", "oak") and data.about["tables"].startswith("notes.csv is not used: the manifest is")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig", "blank first line"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_table_is_seen_as_a_manifest_would_be(pictures: Any, encoding: str, packed: bool) -> None:
    root = pictures("seen", "unseen")
    text = "file_name,label\n" + "".join(f"{f}/{n}.png,{c}\n" for f in ("seen", "unseen") for n, c in enumerate(CELLS))
    content = b"\r\n" + text.encode() if encoding == "blank first line" else text.encode(encoding)
    (root / "metadata.csv").write_bytes(content)
    source = Path(shutil.make_archive(str(root), "zip", root)) if packed else root
    with pytest.raises(DataError, match=r"has two readings, the folders \(seen, unseen\) and column 'label'"):
        load_dataset(source)
    assert load_dataset(source, label="label").classes == ("ash", "oak")


@pytest.mark.parametrize("name", ["metadata.csv", "labels.tsv", "train.csv", "annotations.jsonl", "metadata.parquet"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_table_of_labels_that_cannot_be_read_is_said(pictures: Any, name: str, packed: bool) -> None:
    root = pictures("oak", "ash")
    (root / name).write_bytes("file_name,label\noak/0.png,café\n".encode("cp1252"))
    source = Path(shutil.make_archive(str(root), "zip", root)) if packed else root
    with pytest.raises(DataError, match=rf"{name} may hold the labels and cannot be read: .*--label folder\)$"):
        load_dataset(source)
    assert load_dataset(source, label="folder").classes == ("ash", "oak")


def test_a_table_that_cannot_be_read_is_said_where_there_are_no_classes(pictures: Any) -> None:
    root = pictures("images")
    (root / "data.csv").write_bytes("file_name,label\n0.png,café\n".encode("cp1252"))
    for label in (None, "label"):
        with pytest.raises(
            DataError, match=r"data\.csv may hold the labels and cannot be read: the manifest is not UTF-8"
        ):
            load_dataset(root, label=label)


def test_an_object_as_a_label_is_refused(pictures: Any) -> None:
    root = pictures("images")
    rows = [{"file_name": f"{n}.png", "label": {"name": "oak"}} for n in range(4)]
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"metadata\.jsonl: row 1, column 'label': .* is not text"):
        load_dataset(root)


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (None, "train.csv: sick, dry may each be the label; choose one, such as label='sick'"),
        ("wet", "no table has a column 'wet'; the columns are image, sick, dry"),
    ],
)
def test_a_table_of_several_columns_needs_the_label(pictures: Any, label: str | None, says: str) -> None:
    root = pictures("images")
    table(root / "train.csv", "image,sick,dry", cells=("1,0", "0,1", "1,0", "0,1"))
    with pytest.raises(DataError, match=says):
        load_dataset(root, label=label)
    assert load_dataset(root, label="dry").classes == ("0", "1")


def test_a_label_of_a_folder_without_tables_is_refused(pictures: Any) -> None:
    with pytest.raises(DataError, match=r"only in a manifest, or in a folder with a table such as metadata\.csv"):
        load_dataset(pictures("oak", "ash"), label="species")


def test_rows_that_name_no_image_or_two_of_the_same_name_are_listed(pictures: Any) -> None:
    root = pictures("one", "two")
    (root / "train.csv").write_text("id,label\none/0.png,oak\n1,ash\ntwo/2,ash\n9,oak\none/3,\n")
    data = load_dataset(root, label="label")
    assert labelled(data) == {"one/0.png": "oak", "two/2.png": "ash"}
    said = {skip.name: skip.reason for skip in data.skipped}
    assert said["train.csv, row 2"] == said["train.csv, row 4"] == "names no image, or several of the same name"
    assert any("has no label" in reason for reason in said.values())


def test_a_manifest_may_be_json_lines(pictures: Any) -> None:
    root = pictures("images")
    rows = [{"path": f"images/{row}.png", "label": cell, "n": row} for row, cell in enumerate(CELLS)]
    (root / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert load_dataset(root / "list.jsonl").classes == ("ash", "oak")
    (root / "list.jsonl").write_text("{no json")
    with pytest.raises(DataError, match=r"list\.jsonl: the manifest cannot be read"):
        load_dataset(root / "list.jsonl")
