from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.dataset import Dataset
from headstart.data.overview import overview
from headstart.data.sources.corrections import Correction, read_corrections, text_of
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError, SpecError

HEADER = "path,problem,with,decision,before,after,who,when\n"


@pytest.fixture
def folder(tmp_path: Path, draw: Any) -> Path:
    for code, name in enumerate(("ash", "oak")):
        for seed in range(3):
            draw(tmp_path / "trees" / name / f"{seed}.png", 10 * code + seed)
    return tmp_path / "trees"


def file(folder: Path, *rows: str, header: str = HEADER) -> Path:
    place = folder.parent / "corrections.csv"
    place.write_text(header + "".join(f"{row}\n" for row in rows))
    return place


def labelled(data: Dataset) -> dict[str, str]:
    return {data.reader.name(row): data.classes[int(data.labels[row])] for row in range(len(data))}


def test_labels_change_images_go_and_everything_else_stays(folder: Path) -> None:
    rows = (
        "ash/0.png,label,,relabel,ash,oak,ann,2026-11-26T13:05:00Z",
        "oak/1.png,leak,ash/1.png,exclude,oak,,ann,",
        "ash/1.png,leak,oak/1.png,keep,ash,ash,ann,",
        "oak/2.png,dark,,not sure,oak,oak,ann,",
    )
    plain, data = load_dataset(folder), load_dataset(folder, corrections=file(folder, *rows))
    expected = labelled(plain) | {"ash/0.png": "oak"}
    del expected["oak/1.png"]
    assert labelled(data) == expected and data.fingerprint != plain.fingerprint
    assert [(each.name, each.before, each.after) for each in data.corrected] == [
        ("oak/1.png", "oak", ""),
        ("ash/0.png", "ash", "oak"),
    ]
    assert "corrections: 1 label changed, 1 image left out (corrections.csv)" in overview(data, "none is given")
    assert plain.corrected == () and load_dataset(folder, corrections=file(folder)).fingerprint == plain.fingerprint


def test_the_last_label_counts_and_exclusion_wins(folder: Path) -> None:
    rows = (
        "ash/0.png,label,,relabel,ash,oak",
        "ash/0.png,outlier,,relabel,,ash",
        "ash/1.png,label,,exclude,,",
        "ash/1.png,dark,,relabel,,oak",
    )
    data = load_dataset(folder, corrections=file(folder, *rows, header="path,problem,with,decision,before,after\n"))
    assert labelled(data)["ash/0.png"] == "ash" and "ash/1.png" not in labelled(data)
    assert [each.name for each in data.corrected] == ["ash/1.png"]  # a label that is as it was is no correction


def test_equal_images_with_two_labels_can_be_corrected_and_then_dropped(folder: Path, draw: Any) -> None:
    draw(folder / "oak" / "copy.png", 0)  # as ash/0.png
    with pytest.raises(DataError, match="the same image with two labels"):
        load_dataset(folder, drop_duplicates=True)
    place = file(folder, "oak/copy.png,duplicate,ash/0.png,relabel,oak,ash")
    assert len(load_dataset(folder, drop_duplicates=True, corrections=place)) == 6


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("ash/9.png,label,,relabel,ash,oak", "has no image 'ash/9.png'; did you mean 'ash/"),
        ("ash/0.png,label,,relabel,ash,oka", "ash/0.png: unknown class 'oka'; did you mean 'oak'"),
        ("ash/0.png,label,,relabel,ash,", "ash/0.png: unknown class ''"),
        ("ash/0.png,label,,relabel,elm,oak", "ash/0.png was labelled 'elm' when it was corrected, and is 'ash' now"),
        (",label,,exclude,ash,", "line 2: names no image"),
        ("ash/0.png,label,,delete,ash,", "unknown decision of ash/0.png"),
    ],
)
def test_a_wrong_row_is_named(folder: Path, row: str, says: str) -> None:
    with pytest.raises((DataError, SpecError)) as caught:
        load_dataset(folder, corrections=file(folder, row))
    assert says in str(caught.value) and "corrections.csv" in str(caught.value)


def test_a_file_that_is_none_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no-such\.csv: cannot be read"):
        load_dataset(folder, corrections=folder / "no-such.csv")
    with pytest.raises(DataError, match="has no column 'decision'"):
        load_dataset(folder, corrections=file(folder, header="path,label\n"))
    with pytest.raises(DataError, match=r"is not a CSV \(field larger than .*\); corrections have path, "):
        load_dataset(folder, corrections=file(folder, header="x" * 200_000))


def test_several_labels_are_corrected_together(tmp_path: Path, draw: Any) -> None:
    for seed in range(3):
        draw(tmp_path / f"{seed}.png", seed)
    (tmp_path / "m.csv").write_text("path,label\n0.png,a|b\n1.png,b\n2.png,a\n")
    place = tmp_path / "corrections.csv"
    place.write_text("path,decision,after\n1.png,relabel,a|b\n")
    data = load_dataset(tmp_path / "m.csv", corrections=place)
    assert np.array_equal(data.labels, [[True, True], [True, True], [True, False]])
    assert [(each.before, each.after) for each in data.corrected] == [("b", "a|b")]


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [
        Correction("a,b/0.png", "leak", 'x"y.png', "exclude", "ash", "", "ann", "2026-11-26T13:05:00Z"),
        Correction("c\nd.png", "label", "", "relabel", "ash", "oak tree"),
    ]
    place = tmp_path / "c.csv"
    place.write_text(text_of(rows), newline="")
    assert read_corrections(place) == rows
