from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.api import Results
from headstart.cli.predict import Output, _answers, _one_line
from headstart.deploy.classifier import Classifier
from headstart.errors import SpecError
from headstart.evaluate.uncertainty.answers import Uncertainty, held_out_of
from headstart.evaluate.uncertainty.costs import costs_of
from headstart.evaluate.uncertainty.stored import to_part
from headstart.models.bundle import model_bytes, read_ensemble
from tests.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("shared_cache")


@pytest.fixture
def inputs(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return two photographs, one of them twice, and five inputs that cannot be read, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(photos / "daisy" / "00.jpg", "[bold]1.jpg")
    shutil.copy(photos / "lily" / "00.jpg", "2.jpg")
    Path("torn.jpg").write_bytes(Path("2.jpg").read_bytes()[:300])
    Path("text.jpg").write_text("hello")
    return ["[bold]1.jpg", "torn.jpg", "2.jpg", "text.jpg", "absent.jpg", "https://a.org/x.jpg", "q*.png", "2.jpg"]


def rows_of(text: str, format: str) -> list[dict[str, Any]]:
    return json.loads(text) if format == "json" else list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("format", ["csv", "json"])
def test_every_input_has_a_row_and_the_status_says_that_some_were_not_read(
    call: Call, finished: Path, inputs: list[str], format: str
) -> None:
    code, out, err = call("predict", finished, *inputs, "--format", format)
    rows = rows_of(out, format)
    assert code == 1 and [row["image"] for row in rows] == inputs
    assert [bool(row.get("error")) for row in rows] == [False, True, False, True, True, True, True, False]
    assert [row.get("class") or "" for row in rows] == ["daisy", "", "lily", "", "", "", "", "lily"]
    line, shortfall = err.splitlines()
    assert shortfall.startswith("headstart: 3 held-out images are too few for sets of 95.0 %")
    assert line.endswith(f"; the model is {Results(finished).kept}")
    assert line.startswith("headstart: 3 of 8 images read; 5 not read (") and "1 given as an address; download" in line
    assert "1 no such file or folder" in line and "1 cut short" in line and "1 not an image" in line


def test_a_table_has_a_row_for_each_input_too(call: Call, finished: Path, inputs: list[str]) -> None:
    code, out, _ = call("predict", finished, *inputs)
    assert code == 1 and all(name in out for name in inputs)
    answer, heads, *rows = out.splitlines()
    assert heads.split() == ["image", "class", "probability", "answer", "next", "error"]
    classes = Counter(row.split()[1] for row in rows[:8] if row.split()[1] in ("daisy", "lily"))
    assert answer == f"3 images: {', '.join(f'{name} ({count})' for name, count in classes.most_common())}."
    assert "no such file or folder" in out and "matches no image" in out
    code, out, err = call("predict", finished, "torn.jpg")
    assert (code, out) == (2, "") and err.splitlines()[-1].startswith("headstart: torn.jpg: ")
    code, out, err = call("predict", finished, "2.jpg")
    assert code == 0 and "error" not in out and err.startswith("headstart: 1 image read; the model is ")


def test_formats_agree_and_the_table_shows_as_many_classes_as_asked_for(
    call: Call, finished: Path, photos: Path
) -> None:
    folder = photos / "lily"
    found = {format: call("predict", finished, folder, "--format", format)[1] for format in ("csv", "json")}
    assert found["csv"].splitlines()[0] == "image,class,probability,error,answer,set,familiarity,daisy,lily"
    for row, other in zip(rows_of(found["csv"], "csv"), rows_of(found["json"], "json"), strict=True):
        assert (row["image"], row["class"]) == (other["image"], other["class"])
        assert float(row["probability"]) == pytest.approx(other["probability"], abs=1e-6)
        assert float(row["lily"]) == pytest.approx(other["probabilities"]["lily"], abs=1e-6)
    one = folder / "00.jpg"
    code, out, _ = call("predict", finished, one, "--top", 1, "--device", "cpu", "--format", "table")
    assert code == 0 and "daisy" not in out
    assert "daisy" in call("predict", finished, one, "--top", 2)[1]
    top = rows_of(call("predict", finished, one, "--top", 1, "--format", "csv")[1], "csv")
    assert list(top[0])[7:] == ["class_1", "probability_1"] and top[0]["class_1"] == top[0]["class"]


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_file_is_written_whole_and_named(
    call: Call, finished: Path, inputs: list[str], photos: Path, suffix: str
) -> None:
    place = Path("new") / f"found.{suffix}"
    code, out, err = call("predict", finished, photos, "--out", place, "--least-sure-first", "--top", 2)
    assert (code, out.strip()) == (0, str(place)) and err.startswith("headstart: 20 of 20 images read; the model is ")
    values = [float(row["probability"]) for row in rows_of(place.read_text(), suffix)]
    assert len(values) == 20 and values == sorted(values)
    assert [path.name for path in Path("new").iterdir()] == [place.name]
    call("predict", finished, *inputs, "-o", place)
    assert len(rows_of(place.read_text(), suffix)) == 8


def test_the_sentence_above_a_table_names_the_most_frequent_classes() -> None:
    found = Counter({"a": 1, "b": 2, "c": 30, "d": 1200, "e": 3, "f": 1, "g\n": 4})
    assert _answers(found) == "1,241 images: d (1,200), c (30), g\\n (4), e (3), b (2), 2 other classes (2)."
    assert _answers(Counter({"a": 2})) == "2 images: a (2)."


def test_the_least_sure_are_the_first_of_a_table(call: Call, finished: Path, inputs: list[str]) -> None:
    lines = call("predict", finished, *inputs, "--least-sure-first")[1].splitlines()[2:]
    read = [float(line.split()[2]) for line in lines[:3]]
    assert read == sorted(read) and all("." not in line.split()[1] for line in lines[3:])


def test_images_are_sorted_into_folders_of_their_class(
    call: Call, finished: Path, inputs: list[str], photos: Path
) -> None:
    code, _, _ = call("predict", finished, photos, *inputs, "--sort-into", "sorted", "--format", "csv")
    found = [path.relative_to("sorted").as_posix() for path in Path("sorted").rglob("*.jpg")]
    assert code == 1 and len(found) == 20 + 2 and "daisy/[bold]1.jpg" in found and "lily/2.jpg" in found
    call("predict", finished, photos, "--sort-into", "linked", "--link")
    assert all(path.is_symlink() for path in Path("linked").rglob("*.jpg"))
    assert photos.joinpath("lily", "00.jpg") in {path.readlink() for path in Path("linked").rglob("*.jpg")}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--out", "found.xlsx"], "the name must end in .csv or .json"),
        (["--out", "found.csv", "--format", "json"], "is not a file of the format json"),
        (["--out", "list.csv"], "images are read from this file"),
        (["--link"], "add --sort-into DIR"),
        (["--sort-into", "2.jpg"], "--sort-into 2.jpg: 2.jpg is a file"),
        (["--sort-into", "."], "images are read from"),
        (["--format", "xml"], "unknown format 'xml'"),
    ],
)
def test_wishes_that_cannot_be_met_are_one_line(
    call: Call, finished: Path, inputs: list[str], arguments: list[str], says: str
) -> None:
    Path("list.csv").write_text("path\n2.jpg\n")
    code, out, err = call("predict", finished, "list.csv", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1) and says in err


def test_none_read_is_status_2_and_still_a_row_each(call: Call, finished: Path, inputs: list[str]) -> None:
    code, out, err = call("predict", finished, "absent.jpg", "text.jpg", "--format", "csv")
    assert code == 2 and [row["image"] for row in rows_of(out, "csv")] == ["absent.jpg", "text.jpg"]
    assert err == "headstart: none of the 2 images could be read (1 no such file or folder, 1 not an image)\n"
    assert call("predict", finished, "absent.jpg")[2] == "headstart: absent.jpg: no such file or folder\n"


def test_lists_images_and_archives_come_in(
    call: Call, finished: Path, inputs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile("photos.zip", "w") as archive:
        archive.write("2.jpg", "in/2.jpg")
        archive.writestr("notes.txt", "hello")
    code, out, err = call("predict", finished, "photos.zip", "--format", "csv")
    assert code == 0 and out.splitlines()[1].startswith("photos.zip!in/2.jpg,lily,")
    assert err.startswith("headstart: 1 image read; 1 other file skipped (1 .txt); the model is ")
    for sent, name in ((Path("2.jpg").read_bytes(), "-"), (b"2.jpg\n", "2.jpg")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(sent)))
        assert call("predict", finished, "-", "--format", "csv")[1].splitlines()[1].startswith(f"{name},lily,")


def test_the_format_follows_the_name_of_the_file() -> None:
    assert Output().chosen_format() == "table" and Output("json").chosen_format() == "json"
    assert Output(out=Path("A.CSV")).chosen_format() == "csv"
    with pytest.raises(SpecError, match="drop --format"):
        Output("table", Path("a.csv")).chosen_format()


def test_a_name_is_one_line_of_a_table() -> None:
    assert _one_line("a\nb\t\x1b[31m käfer 字.jpg") == "a\\nb\\t\\x1b[31m käfer 字.jpg"


@pytest.fixture
def middle(finished: Path, photos: Path) -> float:
    """Return the median confidence of the photographs."""
    return float(np.median([each.probability for each in Classifier.load(finished).predict(str(photos))]))


@pytest.fixture
def judged(finished: Path, middle: float, tmp_path: Path) -> Path:
    """Return the study's model with 400 held-out images of our saying: it is right above the median confidence only."""
    certain = np.concatenate([np.full(350, (1 + middle) / 2), np.full(50, middle)])
    labels = np.concatenate([np.zeros(350, int), np.arange(50) % 2])
    known = Uncertainty(
        2, held_out_of(np.stack([certain, 1 - certain], 1), labels), costs=costs_of(("daisy", "lily"), {})
    )
    model = tmp_path / "judged.safetensors"
    model.write_bytes(model_bytes(replace(read_ensemble(finished), uncertainty=to_part(known))))
    return model


def test_answers_and_sets_have_columns_of_their_own(call: Call, judged: Path, inputs: list[str]) -> None:
    code, out, _ = call("predict", judged, inputs[0], "--format", "csv")
    (row,) = rows_of(out, "csv")
    assert code == 0 and list(row)[:8] == [
        "image",
        "class",
        "probability",
        "error",
        "answer",
        "set",
        "familiarity",
        "decision",
    ]
    assert (row["answer"], row["set"]) in (
        ("sure", row["class"]),
        ("don't know", "daisy|lily"),
        ("don't know", "lily|daisy"),
    )
    assert (row["familiarity"], row["decision"]) == ("", row["class"])
    _, out, _ = call(
        "predict", judged, inputs[0], "--format", "json", "--level", "0.999", "--sets", "aps", "--by-class"
    )
    (row,) = rows_of(out, "json")
    assert row["answer"] == "don't know" and sorted(row["set"]) == ["daisy", "lily"] and row["familiarity"] is None
    assert "answer" in call("predict", judged, inputs[0])[1]


def test_what_is_not_certain_enough_goes_into_a_file_of_its_own(
    call: Call, judged: Path, inputs: list[str], photos: Path, middle: float
) -> None:
    many = [str(path) for path in sorted(photos.rglob("*.jpg"))]
    code, out, err = call(
        "predict", judged, *many, "torn.jpg", "--at-least", "0.98", "--out", "o.csv", "--sort-into", "s"
    )
    kept, rest = (rows_of(Path(name).read_text(), "csv") for name in ("o.csv", "o-rest.csv"))
    assert out.split() == ["o.csv", "o-rest.csv"] and code == 1
    assert [row["image"] for row in kept][-1] == "torn.jpg" and len(kept) + len(rest) == len(many) + 1
    assert all(float(row["probability"]) >= middle - 1e-6 for row in kept[:-1])
    assert rest and all(float(row["probability"]) <= middle + 1e-6 for row in rest)
    assert f"{len(rest)} images left for review. On images like those of the study, at least 98.0 % of the" in err
    assert sum(path.is_file() for path in Path("s").rglob("*")) == len(kept) - 1


def test_an_accuracy_that_is_not_guaranteed_is_refused(
    call: Call, judged: Path, finished: Path, inputs: list[str]
) -> None:
    for given, words in (
        ((judged, "--at-least", "0.98"), "add --out"),
        ((judged, "--at-least", "0.999", "--out", "o.csv"), "0.999 cannot be guaranteed from 400 held-out images"),
        ((finished / "runs" / "one" / "seed-0", "--at-least", "0.9", "--out", "o.csv"), "guarantees no accuracy"),
        ((finished / "runs" / "one" / "seed-0", "--level", "0.9"), "has no prediction sets: its file holds no cal"),
        ((judged, "--at-least", "0.98", "--out", "o.csv", "o-rest.csv"), "images are read from o-rest.csv"),
        ((judged, "--sets", "lap"), "lac"),
        ((judged, "--level", "1"), "above 0 and below 1"),
    ):
        code, _, err = call("predict", *given, inputs[0])
        assert code == 2 and words in err, err
