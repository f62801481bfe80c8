from __future__ import annotations

from pathlib import Path

import pytest
from unlabelled_folder import draw_folder

from headstart.errors import DataError
from headstart.labelling.folder_session import label_session


def test_a_folder_is_opened_and_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = draw_folder(tmp_path / "photos", 4)
    monkeypatch.chdir(tmp_path)
    session = label_session("photos", ["red", "blue"], backbone="lenet5", weights="none", share=0.5)
    assert session.file.path == tmp_path / "photos-labels.csv" and session.classes == ["red", "blue"]
    assert session.paths[0] == folder / "blue-000.png" and session.suggester.share == 0.5
    session.label([0], "blue", "ann")
    again = label_session(folder, file="photos-labels.csv", backbone="lenet5", weights="none")
    assert again.classes == ["blue"] and again.counts() == {"blue": 1}


def test_a_file_that_is_no_table_of_labels_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="has no column 'path'"):
        label_session(tmp_path / "absent", file=tmp_path / "l.csv")
