from __future__ import annotations

import threading
from pathlib import Path

import pytest
from unlabelled_folder import draw_folder

from headstart.data.sources.load import load_dataset
from headstart.errors import DataError
from headstart.labelling.label_file import Given, LabelFile, count_tested


def given(label: str, how: str = "typical") -> Given:
    return Given(label, "ann", "2026-11-26T13:05:00Z", how)


def test_labels_are_written_as_a_table_that_loads_with_the_random_ones_for_testing(tmp_path: Path) -> None:
    photos = draw_folder(tmp_path / "photos", each=2)
    file = LabelFile(tmp_path / "labels" / "l.csv")
    file.change({photos / "red-000.png": given("red"), photos / "blue-000.png": given("blue, light")})
    assert (tmp_path / "labels" / "l.csv").read_text().splitlines() == [
        "path,label,who,when,how",
        "../photos/red-000.png,red,ann,2026-11-26T13:05:00Z,typical",
        '../photos/blue-000.png,"blue, light",ann,2026-11-26T13:05:00Z,typical',
    ]
    file.change({photos / "red-001.png": given("red", "random")})
    dataset = load_dataset(file.path)
    assert dataset.classes == ("blue, light", "red") and dataset.given_split is not None
    by_name = dict(zip([dataset.reader.name(row) for row in range(3)], dataset.given_split.tolist(), strict=True))
    assert by_name["../photos/red-000.png"] == "train" and by_name["../photos/red-001.png"] == "test"


@pytest.mark.parametrize(
    ("hows", "tested"),
    [
        ({"random": 1000}, None),
        ({"random": 1000, "rest": 1}, None),  # all in random order: a study may divide them itself
        ({"typical": 30, "uncertain": 9}, None),
        ({"random": 25, "typical": 75}, 25),
        ({"random": 1000, "uncertain": 1}, 300),
        ({"random": 1, "rest": 1, "chosen": 1}, 1),
    ],
)
def test_a_study_has_enough_left_to_learn_from(hows: dict[str, int], tested: int | None) -> None:
    assert count_tested([how for how, count in hows.items() for _ in range(count)]) == tested


def test_which_of_the_sample_are_tested_depends_on_their_names_alone(tmp_path: Path) -> None:
    def tested(file: LabelFile) -> set[str]:
        return {line.partition(",")[0] for line in file.path.read_text().splitlines() if line.endswith(",test")}

    file = LabelFile(tmp_path / "l.csv")
    file.change({tmp_path / f"{number}.png": given("x", "random") for number in range(60)})
    file.change({tmp_path / f"{number}.png": given("y") for number in range(60, 100)})
    first = tested(file)
    assert len(first) == 30 and all(int(name.removesuffix(".png")) < 60 for name in first)
    file.change({tmp_path / f"{number}.png": given("z", "random") for number in range(40)})  # they move to the end
    assert tested(file) == first
    file.change({tmp_path / f"{number}.png": given("y") for number in range(100, 120)})
    assert tested(file) > first and len(tested(file)) == 36


def test_a_table_of_random_labels_alone_has_no_split(tmp_path: Path) -> None:
    file = LabelFile(tmp_path / "l.csv")
    file.change({tmp_path / "a.png": given("x", "random")})
    assert file.path.read_text().splitlines()[0] == "path,label,who,when,how"


def test_a_change_returns_what_was_and_what_is_and_reads_back(tmp_path: Path) -> None:
    file, image = LabelFile(tmp_path / "l.csv"), tmp_path / 'odd, name\n of "two" lines.png'
    assert file.read() == {}
    assert file.change({image: given("x")}) == ({}, {image: given("x")})
    before, after = file.change({image: None, tmp_path / "b.png": given("y")})
    assert before == {image: given("x")} and after == {tmp_path / "b.png": given("y")} == file.read()
    file.change({image: given("z")})
    assert LabelFile(file.path).read()[image] == given("z")


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    def write(who: str) -> None:
        mine = LabelFile(tmp_path / "l.csv")
        for number in range(15):
            mine.change({tmp_path / f"{who}-{number}.png": given("x")})

    threads = [threading.Thread(target=write, args=(who,)) for who in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(LabelFile(tmp_path / "l.csv").read()) == 30


def test_another_table_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("path,label\na.png,x\n")
    with pytest.raises(DataError, match="has no column 'who'; choose another file"):
        LabelFile(other).change({tmp_path / "a.png": given("y")})
    assert other.read_text() == "path,label\na.png,x\n"
    other.write_bytes(b"path,label,who,when,how\n\xff\xfe,x,,,\n")
    with pytest.raises(DataError, match="cannot be read"):
        LabelFile(other).read()
    for text in ("x" * 200_000, "path,label,who,when,how\n" + "x" * 200_000):
        other.write_text(text)
        with pytest.raises(DataError, match=r"is not a CSV \(field larger than .*\); choose another file"):
            LabelFile(other).read()


def test_what_a_killed_program_had_half_written_is_deleted_at_the_next_change(tmp_path: Path) -> None:
    half, other = tmp_path / ".labels.csv.0123456789ab-01234567.tmp", tmp_path / ".labels.csv.bak.0123456789ab-01.tmp"
    half.write_text("path,la")
    other.write_text("somebody else's")
    LabelFile(tmp_path / "labels.csv").change({tmp_path / "1.png": Given("cat", "ann", "now", "chosen")})
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "labels.csv"]
