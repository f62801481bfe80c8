from __future__ import annotations

from pathlib import Path

import pytest
from lines_table import Lines

from headstart.data.sources.corrections import Correction
from headstart.errors import DataError
from headstart.labelling.label_file import LabelFile
from headstart.labelling.review.correction_file import CorrectionFile


def test_a_change_keeps_what_another_program_wrote_and_moves_what_it_changes_to_the_end(tmp_path: Path) -> None:
    mine, other = Lines(tmp_path / "t"), Lines(tmp_path / "t")
    assert mine.change({"a": "1", "b": "2"}) == ({}, {"a": "1", "b": "2"})
    other.change({"c": "3"})
    before, after = mine.change({"a": "9", "b": None})
    assert (before, after) == ({"a": "1", "b": "2", "c": "3"}, {"c": "3", "a": "9"})
    assert (tmp_path / "t").read_text() == "c=3\na=9\n" and list(after) == ["c", "a"]


def test_a_row_that_is_not_as_expected_is_left_as_it_is(tmp_path: Path) -> None:
    table = Lines(tmp_path / "t")
    table.change({"a": "1", "b": "2"})
    before, after = table.change({"a": "9", "b": None, "c": "3", "d": "4"}, {"a": "1", "b": "7", "c": "0"})
    assert before == {"a": "1", "b": "2"} and after == {"b": "2", "a": "9", "d": "4"} == table.read()


def test_what_a_killed_program_had_half_written_is_deleted_at_the_first_change(tmp_path: Path) -> None:
    """Of decisions as of labels; what belongs to another file stays."""
    half = tmp_path / ".c.csv.0123456789ab-01234567.tmp"
    others = tmp_path / ".d.csv.0123456789ab-01234567.tmp"
    half.touch()
    others.touch()
    CorrectionFile(tmp_path / "c.csv").change(
        {("a.jpg", "label", ""): Correction("a.jpg", "label", "", "keep", "x", "x")}
    )
    assert not half.exists() and others.exists()


def test_a_file_that_is_deleted_meanwhile_comes_back_with_the_next_change(tmp_path: Path) -> None:
    mine = Lines(tmp_path / "t")
    mine.change({"a": "1", "b": "2"})
    (tmp_path / "t").unlink()
    assert not mine.changed_elsewhere() and mine.rows() == {"a": "1", "b": "2"}
    assert mine.change({"c": "3"}) == ({"a": "1", "b": "2"}, {"a": "1", "b": "2", "c": "3"})
    assert (tmp_path / "t").read_text() == "a=1\nb=2\nc=3\n"
    assert Lines(tmp_path / "none").change({"a": "1"})[0] == {}


def test_a_file_that_is_another_table_is_refused_until_it_is_put_right(tmp_path: Path) -> None:
    file = LabelFile(tmp_path / "l.csv")
    file.path.write_text("x,y\n")
    for _ in range(2):
        assert file.changed_elsewhere()
        with pytest.raises(DataError, match="has no column 'path'"):
            file.rows()


def test_what_another_program_writes_is_noticed_and_what_one_writes_oneself_is_not(tmp_path: Path) -> None:
    mine, other = Lines(tmp_path / "t"), Lines(tmp_path / "t")
    assert not mine.changed_elsewhere()
    other.change({"a": "1"})
    assert mine.changed_elsewhere() and mine.rows() == {"a": "1"} and not mine.changed_elsewhere()
    mine.change({"b": "2"})
    assert not mine.changed_elsewhere() and other.changed_elsewhere()
    other.change({"a": "3"})  # of the same length
    assert mine.changed_elsewhere()
