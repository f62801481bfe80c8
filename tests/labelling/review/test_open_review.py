from __future__ import annotations

from pathlib import Path

import pytest
from reviewed_folder import draw_classes

import headstart
from headstart.errors import DataError


def test_a_folder_is_reviewed_from_python_and_continued(tmp_path: Path) -> None:
    folder = draw_classes(tmp_path / "p", 6)
    (folder / "red" / "copy.png").write_bytes((folder / "red" / "00.png").read_bytes())
    how = {"file": tmp_path / "c.csv", "backbone": "lenet5", "weights": "none", "device": "cpu"}
    session = headstart.review_session(folder, **how)
    place = next(place for place in session.next(99, "ann") if session.problems[place].kind == "duplicate")
    session.decide(place, "exclude", "ann")
    assert len(headstart.load_dataset(folder, corrections=tmp_path / "c.csv")) == 18
    again = headstart.review_session(folder, **how)
    assert place not in again.next(99, "bob") and again.changed() == (0, 1)


def test_another_table_and_images_without_labels_are_refused_first(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="has no column 'path'"):
        headstart.review_session(tmp_path / "nowhere", file=tmp_path / "c.csv")
    with pytest.raises(DataError):
        headstart.review_session(tmp_path, file=tmp_path / "d.csv")
